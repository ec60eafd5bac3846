// ClickHouse as a source of backups: ALTER TABLE ... FREEZE WITH NAME, hard links out of shadow,
// ALTER TABLE ... UNFREEZE WITH NAME.
//
// What the server says is not believed where the file system can tell:
// * UNFREEZE succeeds and does nothing for a table that was made anew under its name, and leaves
//   the directories of every table. So shadow is looked at afterwards, and what is left is removed.
// * A client that gives up, or is cancelled, stops nothing on the server. Queries are therefore
//   never cancelled, only no longer waited for, and a freeze is not released while it may still be
//   in the making: its files would appear again.

import { createHash } from 'node:crypto'
import { lstat } from 'node:fs/promises'
import { basename, join } from 'node:path'

import {
  HotboltError,
  type CopyOptions,
  type Freeze,
  type FreezeSource,
  type FrozenTable,
  type SourceTable,
  type TableFile,
} from '../../index.ts'
import { connect, type ClickHouseClient, type Connection, type Row } from './client.ts'
import { copyTree } from './copy-files.ts'
import { HeldDirectory, holding, serverOf } from './held-directory.ts'
import { Disks } from './disks.ts'
import { errorNumber, errorNumbers, sourceError, systemError, tableIsGone } from './errors.ts'
import type { PartMetadata, TableMetadata } from './metadata.ts'
import {
  isTable,
  listedName,
  parseName,
  quoteIdentifier,
  quoteTable,
  quoteText,
  type TableName,
} from './names.ts'
import {
  freezeDirectory,
  hasFiles,
  partsOf,
  prepareCounter,
  provenInside,
  checkedFreezeId,
  removeFreeze,
} from './shadow.ts'
import { pause, throwIfAborted, unlessAborted } from './waiting.ts'

export interface ClickHouseSourceOptions {
  /** A client of `@clickhouse/client`, a Session of chdb, a function, or several of them. */
  readonly client: ClickHouseClient | readonly ClickHouseClient[]
  /** Where this process finds the data of the disk 'default', if not where the server says. */
  readonly dataPath?: string | undefined
  /** Tables of `system` and `INFORMATION_SCHEMA` too. */
  readonly includeSystem?: boolean | undefined
}

const systemDatabases = ['system', 'INFORMATION_SCHEMA', 'information_schema']
const nobody = '00000000-0000-0000-0000-000000000000'
const drainPollMs = 200

/** A source of createBackup(). The server has to run on this machine: its files are linked. */
export async function clickhouseSource(options: ClickHouseSourceOptions): Promise<FreezeSource> {
  const connection = connect(options.client)
  const disks = await Disks.read(connection, options.dataPath)
  const id = await serverId(connection, disks.dataPath)
  return new ClickHouseSource(connection, disks, id, options.includeSystem === true)
}

async function serverId(connection: Connection, dataPath: string): Promise<string> {
  const sql = 'SELECT toString(serverUUID()) AS uuid'
  const rows = await connection.rows(sql).catch((): Row[] => [])
  const uuid = rows[0]?.['uuid']
  return typeof uuid !== 'string' || uuid === nobody ? dataPath : `${uuid}@${dataPath}`
}

/** A FREEZE that was sent: over, or perhaps still being done by the server. */
interface Sent {
  readonly answer: Promise<readonly Row[]>
  isOver: boolean
}

class ClickHouseSource implements FreezeSource {
  readonly kind = 'clickhouse'
  readonly id: string
  readonly #connection: Connection
  readonly #disks: Disks
  readonly #includeSystem: boolean
  readonly #sent = new Map<string, Sent>()
  readonly #releasing = new Map<string, Promise<unknown>>()
  /** Whether the server has its counter of freezes; until then one FREEZE goes alone. */
  #counter: Promise<boolean> | undefined
  #first: Promise<unknown> | undefined

  constructor(connection: Connection, disks: Disks, id: string, includeSystem: boolean) {
    this.#connection = connection
    this.#disks = disks
    this.id = id
    this.#includeSystem = includeSystem
  }

  async listTables(signal: AbortSignal): Promise<readonly SourceTable[]> {
    const others = this.#includeSystem
      ? ''
      : `AND database NOT IN (${systemDatabases.map(quoteText).join(', ')})`
    const rows = await this.#rows(
      'The tables could not be listed',
      `SELECT database, name, toString(uuid) AS uuid, data_paths FROM system.tables
       WHERE engine LIKE '%MergeTree' AND NOT is_temporary ${others} ORDER BY database, name`,
      signal,
    )
    return rows.map((row) => {
      const name = { database: String(row['database']), table: String(row['name']) }
      const dataPaths = pathsOf(row)
      return { name: listedName(name), details: { ...name, uuid: row['uuid'], dataPaths } }
    })
  }

  async freeze(freeze: Freeze, signal: AbortSignal): Promise<FrozenTable> {
    const id = checkedFreezeId(freeze.id)
    const name = tableOf(freeze)
    const table = await this.#describe(name, signal)
    for (const path of table.dataPaths) this.#disks.localOf(path)
    if (table.hasPatches) await this.#refusePatches(name, signal)
    const answer = this.#send(id, name)
    const rows = await this.#waitFor(`${freeze.table} could not be frozen`, answer, signal)
    const directories = await this.#partsOf(id, rows)
    const parts = await this.#partsMetadata(id, name, directories, signal)
    await this.#refuseRenaming(name, signal)
    const metadata: TableMetadata = { ...table.metadata, parts }
    return {
      ...versionOf(metadata),
      metadata,
      copy: (directory, options) => this.#copy(freeze, directories, directory, options),
    }
  }

  async unfreeze(freeze: Freeze, signal: AbortSignal): Promise<void> {
    const id = checkedFreezeId(freeze.id)
    await this.#untilOver(id, signal)
    const failure = await this.#release(id, tableOf(freeze), signal)
    await this.#sweep(id)
    this.#sent.delete(id)
    // What the server said is for the report; without an answer of it only the files count.
    const number = errorNumber(failure)
    if (number === undefined || number === errorNumbers.syntax) return
    throw sourceError(`${freeze.table} could not be unfrozen`, failure)
  }

  async isFrozen(freeze: Freeze): Promise<boolean> {
    const id = checkedFreezeId(freeze.id)
    for (const disk of this.#disks.localPaths) {
      const directory = await freezeDirectory(disk, id)
      if (directory !== undefined && (await hasFiles(directory))) return true
    }
    return false
  }

  errorNumber(error: unknown): number | undefined {
    return errorNumber(error)
  }

  /** Of a system table. */
  #rows(doing: string, sql: string, signal: AbortSignal): Promise<readonly Row[]> {
    return this.#waitFor(doing, this.#connection.rows(sql), signal, systemError)
  }

  async #waitFor<T>(
    doing: string,
    answer: Promise<T>,
    signal: AbortSignal,
    explain: typeof sourceError = sourceError,
  ): Promise<T> {
    try {
      return await unlessAborted(answer, signal)
    } catch (error) {
      throw explain(doing, error)
    }
  }

  async #describe(name: TableName, signal: AbortSignal): Promise<DescribedTable> {
    throwIfAborted(signal)
    const [row] = await this.#rows(
      `${listedName(name)} could not be described`,
      `SELECT toString(uuid) AS uuid, engine, data_paths, create_table_query,
       (SELECT count() FROM system.parts WHERE ${isTable(name, 'table')} AND active
        AND partition_id LIKE 'patch-%') AS patches
       FROM system.tables WHERE ${isTable(name, 'name')}`,
      signal,
    )
    if (row === undefined) throw tableIsGone(listedName(name))
    const createQuery = String(row['create_table_query'])
    if (createQuery === '') {
      const message = `The definition of ${listedName(name)} may not be read by this user`
      throw new HotboltError('ERR_SOURCE', message)
    }
    const metadata = {
      ...name,
      uuid: String(row['uuid']),
      engine: String(row['engine']),
      createQuery,
    }
    return { metadata, dataPaths: pathsOf(row), hasPatches: Number(row['patches'] ?? 0) > 0 }
  }

  /** The FREEZE of a table; nobody cancels it, whoever stops waiting. */
  #send(id: string, name: TableName): Promise<readonly Row[]> {
    const sent: Sent = { answer: this.#freezeInTurn(id, name), isOver: false }
    this.#sent.set(id, sent)
    sent.answer.then(
      () => (sent.isOver = true),
      // With a number it is the server that has failed; without one only the client is known to.
      (error: unknown) => (sent.isOver = errorNumber(error) !== undefined),
    )
    return sent.answer
  }

  async #freezeInTurn(id: string, name: TableName): Promise<readonly Row[]> {
    this.#counter ??= this.#prepareCounters()
    if (await this.#counter) return this.#freezeNow(id, name)
    while (this.#first !== undefined) await this.#first.catch(() => {})
    if (await this.#counter) return this.#freezeNow(id, name)
    const alone = this.#freezeNow(id, name)
    this.#first = alone
    try {
      const rows = await alone
      this.#counter = Promise.resolve(true)
      return rows
    } finally {
      this.#first = undefined
    }
  }

  async #prepareCounters(): Promise<boolean> {
    const prepared = await Promise.all(this.#disks.localPaths.map(prepareCounter))
    return prepared.every((isThere) => isThere)
  }

  /** The parts that it names; none from a server that cannot. */
  async #freezeNow(id: string, name: TableName): Promise<readonly Row[]> {
    const sql = `ALTER TABLE ${quoteTable(name)} FREEZE WITH NAME ${quoteText(id)}`
    try {
      return await this.#connection.rows(`${sql} SETTINGS alter_partition_verbose_result = 1`)
    } catch (error) {
      const number = errorNumber(error)
      if (number !== errorNumbers.syntax && number !== errorNumbers.unknownSetting) throw error
      await this.#connection.command(sql)
      return []
    }
  }

  /** The directories of the frozen parts here: as the server named them, or as they are found. */
  async #partsOf(id: string, rows: readonly Row[]): Promise<readonly string[]> {
    const own = await this.#directoriesOf(id)
    const named = rows.flatMap((row) => {
      const path = row['part_backup_path']
      return typeof path === 'string' && path !== '' ? [this.#disks.localOf(path)] : []
    })
    if (named.length === 0) return (await Promise.all(own.map(partsOf))).flat()
    const proven = named.map((path) => {
      const directory = own.find((each) => path.startsWith(`${each}/`))
      if (directory === undefined) throw strangePath(path)
      return provenInside(directory, path)
    })
    return Promise.all(proven)
  }

  async #directoriesOf(id: string): Promise<readonly string[]> {
    const found = await Promise.all(this.#disks.localPaths.map((disk) => freezeDirectory(disk, id)))
    return found.filter((directory) => directory !== undefined)
  }

  /** Hashes as the server has them, of exactly the parts that are frozen. */
  async #partsMetadata(
    id: string,
    name: TableName,
    directories: readonly string[],
    signal: AbortSignal,
  ): Promise<readonly PartMetadata[]> {
    // Those that have been merged since are listed too.
    const rows = await this.#rows(
      `The parts of ${listedName(name)} could not be listed`,
      `SELECT path, rows, hash_of_all_files FROM system.parts WHERE ${isTable(name, 'table')}`,
      signal,
    )
    const live = new Map(rows.map((row) => [this.#localIfKnown(String(row['path'])), row]))
    return Promise.all(
      directories.map(async (directory) => {
        const path = directory.replace(`/shadow/${id}/`, '/')
        const row = live.get(path)
        const part = { name: basename(directory) }
        if (row === undefined || !(await isSamePart(directory, path))) return part
        return { ...part, rows: Number(row['rows']), hash: String(row['hash_of_all_files']) }
      }),
    )
  }

  #localIfKnown(serverPath: string): string | undefined {
    return this.#disks.diskAt(serverPath)?.localPath === undefined
      ? undefined
      : this.#disks.localOf(serverPath)
  }

  /** Parts of before a renaming of columns would lack these columns in the table of after it. */
  async #refuseRenaming(name: TableName, signal: AbortSignal): Promise<void> {
    const rows = await this.#rows(
      `The mutations of ${listedName(name)} could not be listed`,
      `SELECT command FROM system.mutations WHERE ${isTable(name, 'table')} AND NOT is_done`,
      signal,
    )
    const renaming = rows.find((row) => /^\(?\s*RENAME COLUMN/i.test(String(row['command'])))
    if (renaming === undefined) return
    const message = `A column of ${listedName(name)} is being renamed; try again when that is done`
    throw new HotboltError('ERR_BUSY', message)
  }

  /** FREEZE leaves out the parts that hold lightweight updates; applied ones are not needed. */
  async #refusePatches(name: TableName, signal: AbortSignal): Promise<void> {
    const parts = `FROM system.parts WHERE ${isTable(name, 'table')} AND active`
    const rows = await this.#rows(
      `The updates of ${listedName(name)} could not be listed`,
      `SELECT count() AS needed
       FROM (SELECT partition_id AS patch, max_block_number ${parts} AND patch LIKE 'patch-%') AS p
       CROSS JOIN (SELECT partition_id, data_version ${parts}) AS b
       WHERE endsWith(p.patch, '-' || b.partition_id) AND b.data_version < p.max_block_number`,
      signal,
    )
    if (Number(rows[0]?.['needed'] ?? 0) === 0) return
    const message =
      `${listedName(name)} has lightweight updates, which a FREEZE leaves out: run` +
      ` ALTER TABLE ${quoteTable(name)} APPLY PATCHES, and try again when it is done`
    throw new HotboltError('ERR_BUSY', message)
  }

  async #copy(
    freeze: Freeze,
    directories: readonly string[],
    target: string,
    options: CopyOptions,
  ): Promise<readonly TableFile[]> {
    const files: TableFile[] = []
    try {
      for (const directory of directories) {
        const name = basename(directory)
        const part = HeldDirectory.open(directory, await serverOf(this.#disks.holding(directory)))
        const copy = (held: HeldDirectory) => copyTree(held, join(target, name), name, options)
        files.push(...(await holding(part, copy)))
      }
    } catch (error) {
      throw sourceError(`${freeze.table} could not be copied`, error)
    }
    return files
  }

  /** Until the server is not at this freeze any more. */
  async #untilOver(id: string, signal: AbortSignal): Promise<void> {
    const sent = this.#sent.get(id)
    if (sent !== undefined) await unlessAborted(sent.answer.then(nothing, nothing), signal)
    if (sent?.isOver === true) return
    while (await this.#isAtWork(id, signal)) await pause(drainPollMs, signal)
  }

  /** Whether the server is at a FREEZE of this name; false when it does not tell. */
  async #isAtWork(id: string, signal: AbortSignal): Promise<boolean> {
    const rows = this.#connection.rows(
      `SELECT count() AS running FROM system.processes WHERE startsWith(query, 'ALTER TABLE')
       AND position(query, ${quoteText(`FREEZE WITH NAME '${id}'`)}) > 0`,
    )
    const [row] = await unlessAborted(
      rows.catch((): Row[] => []),
      signal,
    )
    return Number(row?.['running'] ?? 0) > 0
  }

  /** Resolves to what went wrong. One UNFREEZE of a name at a time: two would trip each other. */
  async #release(id: string, name: TableName, signal: AbortSignal): Promise<unknown> {
    const earlier = this.#releasing.get(id)
    const sql = `ALTER TABLE ${quoteTable(name)} UNFREEZE WITH NAME ${quoteText(id)}`
    const running = (async () => {
      await earlier?.catch(nothing)
      await this.#connection.command(sql)
    })()
    this.#releasing.set(id, running)
    const forget = (): unknown => this.#releasing.get(id) === running && this.#releasing.delete(id)
    running.then(forget, forget)
    try {
      await unlessAborted(running, signal)
      return undefined
    } catch (error) {
      return error
    }
  }

  /** By path, and where that is forbidden by the server, if it is allowed to. */
  async #sweep(id: string): Promise<void> {
    try {
      for (const disk of this.#disks.localPaths) await removeFreeze(disk, id)
    } catch (error) {
      const { code } = error as { code?: string }
      if (code !== 'EACCES' && code !== 'EPERM' && code !== 'EROFS') {
        throw sourceError(`shadow/${id} could not be removed`, error)
      }
      // Most servers refuse this (`enable_system_unfreeze`); isFrozen() says what is left.
      await this.#connection
        .command(`SYSTEM UNFREEZE WITH NAME ${quoteIdentifier(id)}`)
        .catch(nothing)
    }
  }
}

interface DescribedTable {
  readonly metadata: Omit<TableMetadata, 'parts'>
  readonly dataPaths: readonly string[]
  readonly hasPatches: boolean
}

function nothing(): void {}

function strangePath(path: string): HotboltError {
  const message = `The server froze a part to a place outside its shadow directory: ${path}`
  return new HotboltError('ERR_SOURCE', message, { path })
}

function pathsOf(row: Row): readonly string[] {
  const paths = row['data_paths']
  return Array.isArray(paths) ? paths.map(String) : []
}

/** The record of a freeze outlives the table's name being readable: what was listed counts. */
function tableOf(freeze: Freeze): TableName {
  const { database, table } = (freeze.details ?? {}) as Partial<Record<string, unknown>>
  if (typeof database === 'string' && typeof table === 'string') return { database, table }
  return parseName(freeze.table)
}

/** A path of an Ordinary database may be that of another table by now; the files tell. */
async function isSamePart(frozen: string, live: string): Promise<boolean> {
  try {
    const [one, other] = await Promise.all(
      [frozen, live].map((part) => lstat(join(part, 'checksums.txt'))),
    )
    return one?.ino === other?.ino && one?.dev === other?.dev
  } catch {
    return false
  }
}

/** None when the server has not told every hash. */
function versionOf(metadata: TableMetadata): { version?: string } {
  if (metadata.parts.some(({ hash }) => hash === undefined)) return {}
  const parts = metadata.parts.map(({ name, hash }) => `${name} ${hash}`).toSorted()
  const text = JSON.stringify([metadata.createQuery, parts])
  return { version: createHash('sha256').update(text).digest('hex') }
}
