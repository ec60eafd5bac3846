// One restore into ClickHouse: tables in the making, and the renames that make them visible.

import { HotboltError, type ManifestTable, type RestoreSession } from '../../index.ts'
import type { Connection } from './client.ts'
import { createQueryFor, withoutReplication } from './create-query.ts'
import type { Disks } from './disks.ts'
import { sourceError } from './errors.ts'
import { IncomingParts } from './incoming-parts.ts'
import { inOrder, type TableMetadata } from './metadata.ts'
import {
  isTable,
  listedName,
  quoteIdentifier,
  quoteTable,
  quoteText,
  type TableName,
} from './names.ts'
import { throwIfAborted } from './waiting.ts'

export interface PlannedTable {
  /** In the backup. */
  readonly name: string
  readonly metadata: TableMetadata
  readonly final: TableName
  /** Its name until commit(). */
  readonly staged: TableName
  /** The name of what it replaces, between commit() and being dropped. */
  readonly replaced: TableName
  /** 'fill': its parts go into the empty table that is there. */
  readonly way: 'create' | 'replace' | 'fill'
}

type Undo = () => Promise<void>

export class ClickHouseRestore implements RestoreSession {
  readonly #connection: Connection
  readonly #disks: Disks
  readonly #planned: ReadonlyMap<string, PlannedTable>
  /** By name: whether this restore has made them. */
  readonly #databases = new Map<string, Promise<boolean>>()
  readonly #made = new Set<PlannedTable>()
  readonly #incoming = new Map<PlannedTable, IncomingParts>()
  #isCommitted = false

  constructor(connection: Connection, disks: Disks, planned: readonly PlannedTable[]) {
    this.#connection = connection
    this.#disks = disks
    this.#planned = new Map(planned.map((table) => [table.name, table]))
  }

  /** In the new table's own directory, where its parts are attached from. */
  async directoryFor({ name }: ManifestTable): Promise<string> {
    const table = this.#plan(name)
    await this.#requireDatabase(table.final.database)
    const { staged, metadata } = table
    const query = createQueryFor(staged, metadata.createQuery)
    this.#made.add(table)
    await this.#command(`${name} could not be made`, withoutReplication(query))
    // Parts that are merged at once could not be compared.
    await this.#connection.command(`SYSTEM STOP MERGES ${quoteTable(staged)}`).catch(() => {})
    const [row] = await this.#connection.rows(
      `SELECT data_paths FROM system.tables WHERE ${isTable(staged, 'name')}`,
    )
    const [path] = (row?.['data_paths'] ?? []) as string[]
    if (path === undefined) throw new HotboltError('ERR_SOURCE', `${name} has no place on a disk`)
    const incoming = await IncomingParts.begin(this.#disks.localOf(path), this.#disks.rootOf(path))
    this.#incoming.set(table, incoming)
    return incoming.directory
  }

  async complete({ name }: ManifestTable, _path: string, signal: AbortSignal): Promise<void> {
    const table = this.#plan(name)
    const { staged, metadata } = table
    await this.#incoming.get(table)?.install()
    await this.#closeIncoming(table)
    for (const part of inOrder(metadata.parts)) {
      throwIfAborted(signal)
      await this.#command(
        `The part ${part.name} of ${name} could not be attached`,
        `ALTER TABLE ${quoteTable(staged)} ATTACH PART ${quoteText(part.name)}`,
      )
    }
    await this.#compare(name, staged, metadata)
  }

  async commit(): Promise<void> {
    const undo: Undo[] = []
    try {
      for (const table of this.#made) await this.#install(table, undo)
    } catch (error) {
      for (const step of undo.toReversed()) await step().catch(() => {})
      throw error
    }
    this.#isCommitted = true
    await this.#clearUp()
  }

  async abort(): Promise<void> {
    if (this.#isCommitted) return
    // What root has made the server could not drop.
    await Promise.allSettled([...this.#incoming.keys()].map((table) => this.#closeIncoming(table)))
    const dropped = await Promise.allSettled(
      [...this.#made].map(({ staged }) => this.#drop(staged)),
    )
    for (const [name, made] of this.#databases) {
      if (await made.catch(() => false)) await this.#dropIfEmpty(name)
    }
    const failed = dropped.find((outcome) => outcome.status === 'rejected')
    if (failed !== undefined) throw failed.reason as Error
  }

  async #closeIncoming(table: PlannedTable): Promise<void> {
    const incoming = this.#incoming.get(table)
    this.#incoming.delete(table)
    await incoming?.close()
  }

  #plan(name: string): PlannedTable {
    const table = this.#planned.get(name)
    if (table !== undefined) return table
    throw new HotboltError('ERR_INVALID_ARGUMENT', `${name} is not in the manifest`)
  }

  async #command(doing: string, sql: string): Promise<void> {
    try {
      await this.#connection.command(sql)
    } catch (error) {
      throw sourceError(doing, error)
    }
  }

  #requireDatabase(name: string): Promise<boolean> {
    const known = this.#databases.get(name)
    if (known !== undefined) return known
    const made = this.#makeDatabase(name)
    this.#databases.set(name, made)
    return made
  }

  async #makeDatabase(name: string): Promise<boolean> {
    const sql = `SELECT 1 FROM system.databases WHERE name = ${quoteText(name)}`
    if ((await this.#connection.rows(sql)).length > 0) return false
    await this.#command(
      `The database ${name} could not be made`,
      `CREATE DATABASE ${quoteIdentifier(name)}`,
    )
    return true
  }

  /** ERR_BACKUP_CORRUPT when a part is not what it was. */
  async #compare(name: string, staged: TableName, metadata: TableMetadata): Promise<void> {
    const rows = await this.#connection.rows(
      `SELECT hash_of_all_files AS hash, rows FROM system.parts WHERE ${isTable(staged, 'table')}`,
    )
    const found = rows.map(({ hash, rows: count }) => `${String(hash)} ${Number(count)}`)
    for (const part of metadata.parts) {
      if (part.hash === undefined) continue
      const index = found.indexOf(`${part.hash} ${part.rows ?? 0}`)
      if (index < 0) {
        const message = `The part ${part.name} of ${name} is not what was backed up`
        throw new HotboltError('ERR_BACKUP_CORRUPT', message)
      }
      found.splice(index, 1)
    }
  }

  async #install(table: PlannedTable, undo: Undo[]): Promise<void> {
    const doing = `${table.name} could not be put in place`
    const [final, staged, replaced] = [table.final, table.staged, table.replaced].map(quoteTable)
    switch (table.way) {
      case 'create':
        await this.#command(doing, `RENAME TABLE ${staged} TO ${final}`)
        undo.push(() => this.#connection.command(`RENAME TABLE ${final} TO ${staged}`))
        return
      case 'replace': {
        const back = `RENAME TABLE ${final} TO ${staged}, ${replaced} TO ${final}`
        await this.#command(doing, `RENAME TABLE ${final} TO ${replaced}, ${staged} TO ${final}`)
        undo.push(() => this.#connection.command(back))
        return
      }
      case 'fill':
        for (const partition of await this.#partitionsOf(table.staged)) {
          const id = `PARTITION ID ${quoteText(partition)}`
          undo.push(() => this.#connection.command(`ALTER TABLE ${final} DROP ${id}`))
          await this.#command(doing, `ALTER TABLE ${final} ATTACH ${id} FROM ${staged}`)
        }
    }
  }

  async #partitionsOf(table: TableName): Promise<readonly string[]> {
    const rows = await this.#connection.rows(
      `SELECT DISTINCT partition_id FROM system.parts WHERE ${isTable(table, 'table')} AND active`,
    )
    return rows.map((row) => String(row['partition_id']))
  }

  /** What the restored tables do not need any more. */
  async #clearUp(): Promise<void> {
    for (const table of this.#made) {
      if (table.way === 'replace') await this.#drop(table.replaced)
      if (table.way === 'fill') await this.#drop(table.staged)
      else await this.#startMerges(table.final)
    }
  }

  async #startMerges(table: TableName): Promise<void> {
    await this.#connection.command(`SYSTEM START MERGES ${quoteTable(table)}`).catch(() => {})
  }

  async #drop(table: TableName): Promise<void> {
    await this.#command(
      `${listedName(table)} could not be dropped`,
      `DROP TABLE IF EXISTS ${quoteTable(table)} SYNC`,
    )
  }

  /** Not what others have begun to use meanwhile. */
  async #dropIfEmpty(name: string): Promise<void> {
    const sql = `SELECT 1 FROM system.tables WHERE database = ${quoteText(name)} LIMIT 1`
    if ((await this.#connection.rows(sql)).length > 0) return
    await this.#command(
      `The database ${name} could not be dropped`,
      `DROP DATABASE IF EXISTS ${quoteIdentifier(name)}`,
    )
  }
}
