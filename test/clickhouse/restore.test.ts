// What a restore into a real ClickHouse meets: tables that are there already, full or empty, parts
// that are not what they were, cancellation, somebody who was faster. Whatever goes wrong, the
// server has the tables that it had.
import { mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import {
  clickhouseDestination,
  clickhouseSource,
  type TableMetadata,
} from '../../lib/adapters/clickhouse/index.ts'
import { listedName, parseName, quoteTable } from '../../lib/adapters/clickhouse/names.ts'
import type { TableName } from '../../lib/adapters/clickhouse/names.ts'
import {
  createBackup,
  type Manifest,
  type ManifestTable,
  type RestoreDestination,
  type RestoreSession,
} from '../../lib/index.ts'
import { restoreBackup } from '../../lib/backup/restore.ts'
import { describeIf } from '../support/tools.ts'
import { codeOf, memoryDirectory } from '../support/with-database.ts'
import { TestServer } from '../support/clickhouse-server.ts'
import { contentOf, makeTables } from './tables.ts'

describeIf('chdb', 'restores into a real ClickHouse', () => {
  let directory = ''
  let server: TestServer
  let names: TableName[] = []
  let backup = { target: '', name: 'kept' }

  beforeAll(async () => {
    directory = mkdtempSync(join(memoryDirectory, 'hotbolt-clickhouse-'))
    server = new TestServer(join(directory, 'data'))
    await server.run('CREATE DATABASE d')
    names = await makeTables(server, ['d'], 8)
    backup = { ...backup, target: join(directory, 'backups') }
    await createBackup(await clickhouseSource({ client: server.sessions }), backup)
  })

  afterAll(() => {
    server[Symbol.dispose]()
    rmSync(directory, { recursive: true, force: true })
  })

  const contents = (database: string): Promise<string[][]> =>
    Promise.all(names.map(({ table }) => contentOf(server, { database, table })))

  const tables = (): Promise<string> =>
    server.text(
      `SELECT * FROM (
         SELECT database, name, uuid FROM system.tables
         WHERE database NOT IN ('system', 'INFORMATION_SCHEMA', 'information_schema')
         UNION ALL SELECT name, '', uuid FROM system.databases
       ) ORDER BY ALL`,
    )

  const into = (database: string): RestoreDestination =>
    clickhouseDestination({
      client: server.sessions,
      mapTable: (name) => listedName({ database, table: parseName(name).table }),
    })

  /** The same destination, with another manifest or session. */
  const meddling = (
    real: RestoreDestination,
    manifest: (manifest: Manifest) => Manifest,
    session: (session: RestoreSession) => RestoreSession = (same) => same,
  ): RestoreDestination => ({
    kind: real.kind,
    begin: async (given, options) => session(await real.begin(manifest(given), options)),
  })
  const sessionOf = (real: RestoreSession): RestoreSession => ({
    directoryFor: (table) => real.directoryFor(table),
    complete: (table, path, signal) => real.complete(table, path, signal),
    commit: () => real.commit(),
    abort: () => real.abort(),
  })

  /** The restore fails with the code, and has changed nothing. */
  const fails = async (
    destination: RestoreDestination,
    code: string,
    options: { overwrite?: boolean; signal?: AbortSignal } = {},
  ): Promise<void> => {
    const before = await tables()
    const content = await contents('d')
    expect(await codeOf(() => restoreBackup(destination, { ...backup, ...options }))).toBe(code)
    expect(await tables()).toBe(before)
    expect(await contents('d')).toEqual(content)
  }

  test('tables that are there are not touched', async () => {
    await fails(clickhouseDestination({ client: server.sessions }), 'ERR_EXISTS')
  })

  test('in a new database, under the same names, through either client', async () => {
    const content = await contents('d')
    const http = server.httpClient()
    for (const client of [server.sessions[0]!, http]) {
      const mapTable = (name: string): string =>
        listedName({ database: 'other', table: parseName(name).table })
      const destination = clickhouseDestination({ client, mapTable })
      const report = await restoreBackup(destination, backup)
      expect(report.tables).toBe(names.length)
      expect(await contents('other')).toEqual(content)
      await server.run('DROP DATABASE other SYNC')
    }
    await http.close()
  })

  test('with overwrite, tables are replaced by what was backed up', async () => {
    const content = await contents('d')
    for (const name of names) await server.run(`TRUNCATE TABLE ${quoteTable(name)}`)
    await server.run(`DROP TABLE ${quoteTable(names[0]!)} SYNC`)
    await server.run(
      `ALTER TABLE ${quoteTable(names[1]!)} ADD COLUMN later UInt8`,
      `INSERT INTO ${quoteTable(names[1]!)} (a) SELECT 1`,
    )
    const destination = clickhouseDestination({ client: server.sessions })
    await restoreBackup(destination, { ...backup, overwrite: true })
    expect(await contents('d')).toEqual(content)
    expect(await tables()).not.toContain('hotbolt_')
  })

  test('tables that are empty are filled, and keep their definition', async () => {
    await server.run('CREATE DATABASE filled')
    for (const { table } of names) {
      const [to, from] = ['filled', 'd'].map((database) => quoteTable({ database, table }))
      await server.run(`CREATE TABLE ${to} AS ${from}`, `ALTER TABLE ${to} MODIFY COMMENT 'mine'`)
    }
    await restoreBackup(into('filled'), backup)
    expect(await contents('filled')).toEqual(await contents('d'))
    const rows = await server.rows("SELECT comment FROM system.tables WHERE database = 'filled'")
    expect(rows).toEqual(names.map(() => ({ comment: 'mine' })))
    await server.run('DROP DATABASE filled SYNC')
  })

  test('of an empty table that does not fit nothing is changed', async () => {
    await server.run('CREATE DATABASE unfit')
    const table = quoteTable({ database: 'unfit', table: names[2]!.table })
    await server.run(`CREATE TABLE ${table} (other String) ENGINE = MergeTree ORDER BY other`)
    await fails(into('unfit'), 'ERR_SOURCE')
    await server.run('DROP DATABASE unfit SYNC')
  })

  const changing = (change: (table: ManifestTable) => ManifestTable) => {
    return (manifest: Manifest): Manifest => ({
      ...manifest,
      tables: manifest.tables.map((table, index) => (index === 5 ? change(table) : table)),
    })
  }
  const changingMetadata = (change: (metadata: TableMetadata) => object) =>
    changing((table) => ({ ...table, metadata: change(table.metadata as TableMetadata) }))

  test.each([
    [
      'another hash',
      changingMetadata((metadata) => ({
        ...metadata,
        parts: metadata.parts.map((part) => ({ ...part, hash: '0'.repeat(32) })),
      })),
    ],
    [
      'a part too many',
      changingMetadata((metadata) => ({
        ...metadata,
        parts: [...metadata.parts, { name: 'all_9_9_0' }],
      })),
    ],
    ['no metadata', changing(({ name, owner, files }) => ({ name, owner, files }))],
    ['no definition', changingMetadata((metadata) => ({ ...metadata, createQuery: 'SELECT 1' }))],
  ])('%s: ERR_BACKUP_CORRUPT, and nothing is left', async (_name, change) => {
    await fails(meddling(into('new'), change), 'ERR_BACKUP_CORRUPT')
    const destination = clickhouseDestination({ client: server.sessions })
    await fails(meddling(destination, change), 'ERR_BACKUP_CORRUPT', { overwrite: true })
  })

  test('cancelled after some of the tables: nothing is left', async () => {
    const cancel = new AbortController()
    let completed = 0
    const destination = meddling(
      into('new'),
      (manifest) => manifest,
      (real) => ({
        ...sessionOf(real),
        complete: async (table, path, signal) => {
          if (++completed === 4) cancel.abort()
          await real.complete(table, path, signal)
        },
      }),
    )
    await fails(destination, 'ERR_ABORTED', { signal: cancel.signal })
  })

  test('somebody makes one of the tables meanwhile: what was renamed goes back', async () => {
    await server.run('CREATE DATABASE new')
    const mine = quoteTable({ database: 'new', table: names[6]!.table })
    const destination = meddling(
      into('new'),
      (manifest) => manifest,
      (real) => ({
        ...sessionOf(real),
        commit: async () => {
          await server.run(`CREATE TABLE ${mine} (x UInt8) ENGINE = Memory`)
          await real.commit()
        },
      }),
    )
    expect(await codeOf(() => restoreBackup(destination, backup))).toBe('ERR_SOURCE')
    const left = await server.rows("SELECT name FROM system.tables WHERE database = 'new'")
    expect(left).toEqual([{ name: names[6]!.table }])
    await server.run('DROP DATABASE new SYNC')
  })

  test('two tables cannot become one, and names have to be names', async () => {
    const client = server.sessions
    const one = clickhouseDestination({ client, mapTable: () => 'new.one' })
    await fails(one, 'ERR_INVALID_ARGUMENT')
    const none = clickhouseDestination({ client, mapTable: () => 'nothing' })
    await fails(none, 'ERR_INVALID_ARGUMENT')
  })
})
