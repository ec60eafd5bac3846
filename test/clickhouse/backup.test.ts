// Backups of a real ClickHouse with everything in its place: 200 tables of many kinds are frozen,
// copied, released, verified, and restored as other tables, which are equal row for row. However a
// backup ends, nothing is left in shadow.
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { clickhouseDestination, clickhouseSource } from '../../lib/adapters/clickhouse/index.ts'
import { listedName, quoteTable, type TableName } from '../../lib/adapters/clickhouse/names.ts'
import { createBackup, type FreezeSource, type Target, type UnfreezeMode } from '../../lib/index.ts'
import { directoryTarget } from '../../lib/backup/directory-target.ts'
import { restoreBackup } from '../../lib/backup/restore.ts'
import { verifyBackup } from '../../lib/backup/verify.ts'
import { countOf } from '../support/tiers.ts'
import { describeIf } from '../support/tools.ts'
import { codeOf, memoryDirectory } from '../support/with-database.ts'
import { TestServer } from '../support/clickhouse-server.ts'
import { contentOf, makeTables } from './tables.ts'

const tableCount = countOf({ short: 40, ci: 200, long: 200 })
const batchRows = 10
const databases = ['show', 'odd. `db`\\ \u00fc', 'ordinary']
const busy: readonly TableName[] = [0, 1].map((index) => ({ database: 'busy', table: `w${index}` }))

/** Inserts a batch into a table whenever it is told to and is not at one. */
class Writer {
  readonly #server: TestServer
  readonly #name: TableName
  #running: Promise<void> | undefined
  #begun = 0
  #acknowledged = 0

  constructor(server: TestServer, name: TableName) {
    this.#server = server
    this.#name = name
  }

  get begun(): number {
    return this.#begun
  }

  get acknowledged(): number {
    return this.#acknowledged
  }

  /** Resolves when the batch is in that is being inserted. */
  write(): Promise<void> {
    this.#running ??= this.#insert().finally(() => (this.#running = undefined))
    return this.#running
  }

  async #insert(): Promise<void> {
    const rows = `SELECT ${this.#begun++}, number FROM numbers(${batchRows})`
    await this.#server.run(`INSERT INTO ${quoteTable(this.#name)} ${rows}`)
    this.#acknowledged++
  }
}

describeIf('chdb', 'backups of a real ClickHouse', () => {
  let directory = ''
  let backups = ''
  let server: TestServer
  let names: TableName[] = []

  beforeAll(async () => {
    // Not on a disk: 10,000 files would be synced there.
    directory = mkdtempSync(join(memoryDirectory, 'hotbolt-clickhouse-'))
    backups = join(directory, 'backups')
    server = new TestServer(join(directory, 'data'))
    await server.run(
      'CREATE DATABASE show',
      'CREATE DATABASE `odd. \\`db\\`\\\\ \u00fc`',
      'SET allow_deprecated_database_ordinary = 1',
      'CREATE DATABASE ordinary ENGINE = Ordinary',
      'CREATE DATABASE busy',
    )
    names = await makeTables(server, databases, tableCount)
    for (const name of busy) {
      await server.run(
        `CREATE TABLE ${quoteTable(name)} (batch UInt64, row UInt64)
         ENGINE = MergeTree ORDER BY batch`,
      )
    }
  }, 240_000)

  afterAll(() => {
    server[Symbol.dispose]()
    rmSync(directory, { recursive: true, force: true })
  })

  /** Every table under a number, since no two may share a name. */
  const fresh = (name: string): string => {
    const index = [...names, ...busy].findIndex((each) => listedName(each) === name)
    return `fresh.t${index}`
  }

  test(`${tableCount} tables under writes, restored as others, equal row for row`, async () => {
    const writers = busy.map((name) => new Writer(server, name))
    for (const writer of writers) for (let batch = 0; batch < 3; batch++) await writer.write()
    const source = await clickhouseSource({ client: server.sessions })
    const options = { target: backups, name: 'all' }
    const onProgress = (): void => writers.forEach((writer) => void writer.write())
    const report = await createBackup(source, { ...options, onProgress })
    await Promise.all(writers.map((writer) => writer.write()))
    // Three batches before it, one after.
    expect(writers.every(({ acknowledged }) => acknowledged > 4)).toBe(true)

    expect(report.tables.length).toBe(tableCount + busy.length)
    expect(report.tables.filter(({ outcome }) => outcome !== 'copied')).toEqual([])
    expect(report.tables.filter(({ unfreeze }) => unfreeze !== 'released')).toEqual([])
    expect(report).toMatchObject({ warnings: [], leftover: [] })
    expect(server.shadow()).toEqual([])

    const verified = await verifyBackup({ target: backups, name: 'all', depth: 'full' })
    expect(verified).toMatchObject({ ok: true, issues: [] })
    const destination = clickhouseDestination({ client: server.sessions, mapTable: fresh })
    const restored = await restoreBackup(destination, { target: backups, name: 'all' })
    for (const [index, name] of names.entries()) {
      const copy = { database: 'fresh', table: `t${index}` }
      expect(await contentOf(server, copy), listedName(name)).toEqual(await contentOf(server, name))
    }
    for (const [index] of busy.entries()) {
      const copy = `fresh.t${tableCount + index}`
      const [found] = await server.rows(
        `SELECT toUInt32(max(batch) + 1) AS batches, uniqExact(batch) AS different,
         uniqExact(batch, row) AS pairs, count() AS count FROM ${copy}`,
      )
      const batches = Number(found?.['batches'])
      expect(batches).toBeGreaterThanOrEqual(3)
      expect(batches).toBeLessThanOrEqual(writers[index]!.begun)
      // Whole batches, all up to the last, each once.
      expect(Number(found?.['different'])).toBe(batches)
      expect(Number(found?.['pairs'])).toBe(batches * batchRows)
      expect(Number(found?.['count'])).toBe(batches * batchRows)
    }
    const show = (ms: number): string => `${Math.round(ms)} ms`
    const counts = `${report.tables.length} tables, ${verified.files} files`
    console.info(
      `${counts}: backup ${show(report.durationMs)},` +
        ` at most ${report.maxFrozen} frozen; restore ${show(restored.durationMs)}`,
    )
  }, 240_000)

  test('a second backup copies only what has changed', async () => {
    const changed = names[3]!
    await server.run(`INSERT INTO ${quoteTable(changed)} SELECT * FROM ${quoteTable(changed)}`)
    const source = await clickhouseSource({ client: server.sessions })
    const options = {
      target: backups,
      name: 'more',
      diffFrom: 'all',
      exclude: ['busy.*', 'fresh.*'],
    }
    const report = await createBackup(source, options)
    const copied = report.tables.filter(({ outcome }) => outcome === 'copied')
    expect(copied.map(({ name }) => name)).toEqual([listedName(changed)])
    expect(report.tables.filter(({ outcome }) => outcome === 'reused').length).toBe(tableCount - 1)
    expect(server.shadow()).toEqual([])
    expect(await verifyBackup({ target: backups, name: 'more' })).toMatchObject({ ok: true })
  })

  /** Some of the tables, with whatever else a test asks for. */
  const some = { include: ['show.*'], tableConcurrency: 3 }

  /** A target to which something happens when the `count`-th object is put. */
  const meddling = (path: string, count: number, meddle: () => void): Target => {
    const target = directoryTarget(path)
    let puts = 0
    return {
      location: target.location,
      stagingDirectory: target.stagingDirectory!,
      stateDirectory: target.stateDirectory!,
      put: async (key, body, signal) => {
        if (++puts === count) meddle()
        await target.put(key, body, signal)
      },
      get: (key, signal) => target.get(key, signal),
      list: (prefix, signal) => target.list(prefix, signal),
      delete: (key, signal) => target.delete(key, signal),
    }
  }

  const nothingLeft = (path: string): void => {
    expect(server.shadow()).toEqual([])
    const found = readdirSync(path, { recursive: true, encoding: 'utf8', withFileTypes: true })
    const objects = found.filter((entry) => entry.isFile() && !entry.parentPath.includes('.state'))
    expect(objects.map(({ name }) => name)).toEqual([])
  }

  const modes: readonly UnfreezeMode[] = ['pipelined', 'deferred', 'inline']

  test.each(modes)('%s: a target that fails leaves nothing frozen', async (unfreeze) => {
    const path = join(directory, `failing-${unfreeze}`)
    const target = meddling(path, 50, () => {
      throw Object.assign(new Error('no space left'), { code: 'ENOSPC' })
    })
    const source = await clickhouseSource({ client: server.sessions })
    const backup = createBackup(source, { ...some, target, name: 'failing', unfreeze })
    expect(await codeOf(() => backup)).toMatch(/^ERR_(IO|NO_SPACE)$/)
    nothingLeft(path)
  })

  test.each(modes)('%s: a cancelled backup leaves nothing frozen', async (unfreeze) => {
    const path = join(directory, `cancelled-${unfreeze}`)
    const cancel = new AbortController()
    const target = meddling(path, 50, () => cancel.abort())
    const source = await clickhouseSource({ client: server.sessions })
    const options = { ...some, target, name: 'cancelled', unfreeze, signal: cancel.signal }
    expect(await codeOf(() => createBackup(source, options))).toBe('ERR_ABORTED')
    nothingLeft(path)
  })

  test('cancelled as it freezes: the FREEZE that goes on is released too', async () => {
    const cancel = new AbortController()
    let asked = 0
    const session = server.sessions[0]!
    const client = async (sql: string, options: { format: string }): Promise<string> => {
      const isFreeze = /^ALTER TABLE .* FREEZE/.test(sql)
      const answer = session.queryAsync(sql, options)
      if (isFreeze && ++asked === 5) cancel.abort()
      return (await answer).text()
    }
    const path = join(directory, 'cancelled-freezing')
    const options = { ...some, target: path, name: 'cancelled', signal: cancel.signal }
    const source = await clickhouseSource({ client })
    expect(await codeOf(() => createBackup(source, options))).toBe('ERR_ABORTED')
    expect(asked).toBeGreaterThanOrEqual(5)
    nothingLeft(path)
  })

  test('a copy that fails in the source leaves nothing frozen', async () => {
    const real = await clickhouseSource({ client: server.sessions })
    let copies = 0
    const source: FreezeSource = {
      kind: real.kind,
      id: real.id,
      listTables: (signal) => real.listTables(signal),
      freeze: async (freeze, signal) => {
        const frozen = await real.freeze(freeze, signal)
        const copy: typeof frozen.copy = async (target, options) => {
          const files = await frozen.copy(target, options)
          if (++copies === 7) throw new Error('the disk is gone')
          return files
        }
        return { ...frozen, copy }
      },
      unfreeze: (freeze, signal) => real.unfreeze(freeze, signal),
      isFrozen: (freeze, signal) => real.isFrozen(freeze, signal),
    }
    const path = join(directory, 'failing-copy')
    const options = { ...some, target: path, name: 'failing' }
    expect(await codeOf(() => createBackup(source, options))).toBe('ERR_SOURCE')
    nothingLeft(path)
  })

  test('tables dropped in the middle are gone from the backup, and leave nothing', async () => {
    await server.run('CREATE DATABASE dropped')
    const doomed = await makeTables(server, ['dropped'], 8)
    const path = join(directory, 'dropping')
    let dropping: Promise<void> | undefined
    const drop = doomed.slice(2).map((name) => [`DROP TABLE ${quoteTable(name)} SYNC`])
    const target = meddling(path, 1, () => {
      dropping = server.run(...drop.flat())
    })
    const source = await clickhouseSource({ client: server.sessions })
    const options = { target, name: 'dropping', include: ['dropped.*'], tableConcurrency: 1 }
    const report = await createBackup(source, options)
    await dropping
    expect(report.leftover).toEqual([])
    expect(report.tables.length).toBe(8)
    expect(report.tables.filter(({ outcome }) => outcome === 'gone').length).toBeGreaterThan(0)
    expect(server.shadow()).toEqual([])
    expect(await verifyBackup({ target: path, name: 'dropping' })).toMatchObject({ ok: true })
    await server.run('DROP DATABASE dropped SYNC')
  })

  test('lightweight updates that a FREEZE would leave out are not lost silently', async () => {
    await server.run(
      `CREATE TABLE busy.patched (a UInt64, b UInt64) ENGINE = MergeTree ORDER BY a
       SETTINGS enable_block_number_column = 1, enable_block_offset_column = 1`,
      'INSERT INTO busy.patched SELECT number, 0 FROM numbers(5)',
      'SET allow_experimental_lightweight_update = 1, enable_lightweight_update = 1',
      'UPDATE busy.patched SET b = 7 WHERE a = 3',
    )
    const path = join(directory, 'patched')
    const options = { target: path, include: ['busy.patched'] }
    const source = await clickhouseSource({ client: server.sessions })
    expect(await codeOf(() => createBackup(source, options))).toBe('ERR_BUSY')
    await server.run('ALTER TABLE busy.patched APPLY PATCHES SETTINGS mutations_sync = 2')
    const { name } = await createBackup(source, options)
    const mapTable = (): string => 'fresh.patched'
    const destination = clickhouseDestination({ client: server.sessions, mapTable })
    await restoreBackup(destination, { target: path, name })
    const rows = await server.rows('SELECT a, b FROM fresh.patched WHERE b != 0')
    expect(rows).toEqual([{ a: 3, b: 7 }])
    expect(server.shadow()).toEqual([])
  })
})
