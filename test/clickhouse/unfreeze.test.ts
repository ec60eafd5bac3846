// A real ClickHouse does not release what it was asked to: tables that are dropped, made anew or
// renamed while they are frozen, and an UNFREEZE that fails, hangs, or says that it has done it.
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { mkdtempSync, rmSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { clickhouseSource, type ClickHouseClient } from '../../lib/adapters/clickhouse/index.ts'
import { createBackup, type Freeze, type FreezeSource } from '../../lib/index.ts'
import { describeIf } from '../support/tools.ts'
import { codeOf } from '../support/with-database.ts'
import { TestServer } from '../support/clickhouse-server.ts'

const signal = new AbortController().signal
const sqlOf: readonly string[] = ['d.plain', 'o.ordinary', "d.`o'dd. \\`t\\`\\\\ \u00fc`"]

describeIf('chdb', 'freezes of a real ClickHouse', () => {
  let directory = ''
  let server: TestServer
  let number = 0

  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), 'hotbolt-clickhouse-'))
    server = new TestServer(directory)
    await server.run(
      'CREATE DATABASE d',
      'SET allow_deprecated_database_ordinary = 1',
      'CREATE DATABASE o ENGINE = Ordinary',
    )
  })

  afterAll(() => {
    server[Symbol.dispose]()
    rmSync(directory, { recursive: true, force: true })
  })

  const make = async (table: string, from = 0): Promise<void> =>
    server.run(
      `CREATE TABLE ${table} (a UInt64, b Nullable(String)) ENGINE = MergeTree ORDER BY a`,
      `INSERT INTO ${table} SELECT number, toString(number) FROM numbers(${from}, 5)`,
      `INSERT INTO ${table} SELECT number, NULL FROM numbers(${from + 5}, 5)`,
    )

  /** Freezes a new table, as a backup would. */
  const freezeNew = async (
    table: string,
    client: ClickHouseClient | readonly ClickHouseClient[] = server.sessions,
  ): Promise<{ source: FreezeSource; freeze: Freeze }> => {
    await make(table)
    const source = await clickhouseSource({ client })
    const listed = await source.listTables(signal)
    expect(listed.length).toBe(1)
    const [found] = listed
    const id = `hotbolt_${++number}`
    const createdAt = new Date().toISOString()
    const freeze = { id, table: found!.name, details: found!.details, createdAt }
    await source.freeze(freeze, signal)
    expect(await source.isFrozen(freeze, signal)).toBe(true)
    return { source, freeze }
  }

  /** The number of the error that the release ends with; afterwards nothing is left. */
  const release = async (source: FreezeSource, freeze: Freeze): Promise<number | undefined> => {
    const error = await source.unfreeze(freeze, signal).then(
      () => undefined,
      (thrown: unknown) => thrown,
    )
    expect(await source.isFrozen(freeze, signal)).toBe(false)
    expect(server.shadow()).toEqual([])
    return source.errorNumber?.(error)
  }

  test.each(sqlOf)(
    '%s: an ordinary release leaves no directory behind, twice too',
    async (table) => {
      const { source, freeze } = await freezeNew(table)
      expect(await release(source, freeze)).toBeUndefined()
      expect(await release(source, freeze)).toBeUndefined()
      await server.run(`DROP TABLE ${table} SYNC`)
    },
  )

  test.each(sqlOf)('%s: dropped between freeze and unfreeze', async (table) => {
    const { source, freeze } = await freezeNew(table)
    await server.run(`DROP TABLE ${table} SYNC`)
    expect(server.shadow()).not.toEqual([])
    expect(await release(source, freeze)).toBe(60)
  })

  test.each(sqlOf)('%s: made anew between freeze and unfreeze', async (table) => {
    const { source, freeze } = await freezeNew(table)
    await server.run(`DROP TABLE ${table} SYNC`)
    await make(table, 100)
    expect(await release(source, freeze)).toBeUndefined()
    await server.run(`DROP TABLE ${table} SYNC`)
  })

  test.each(sqlOf)('%s: renamed between freeze and unfreeze', async (table) => {
    const { source, freeze } = await freezeNew(table)
    const other = `${table.split('.')[0]}.renamed`
    await server.run(`RENAME TABLE ${table} TO ${other}`)
    expect(await release(source, freeze)).toBe(60)
    await server.run(`DROP TABLE ${other} SYNC`)
  })

  test('the database dropped between freeze and unfreeze', async () => {
    await server.run('CREATE DATABASE gone')
    const { source, freeze } = await freezeNew('gone.t')
    await server.run('DROP DATABASE gone SYNC')
    expect(await release(source, freeze)).toBe(81)
  })

  test('a table that is gone cannot be frozen, and both clients say so by number', async () => {
    const http = server.httpClient()
    for (const client of [server.sessions[0]!, http]) {
      const source = await clickhouseSource({ client })
      for (const [database, expected] of [
        ['d', 60],
        ['nowhere', 60],
      ] as const) {
        const details = { database, table: 'gone' }
        const freeze = { id: 'hotbolt_gone', table: `${database}.gone`, details, createdAt: '' }
        const error = await source.freeze(freeze, signal).catch((thrown: unknown) => thrown)
        expect(source.errorNumber?.(error)).toBe(expected)
        const answer = await source.unfreeze(freeze, signal).catch((thrown: unknown) => thrown)
        expect(source.errorNumber?.(answer)).toBe(database === 'd' ? 60 : 81)
      }
    }
    await http.close()
  })

  test('a later process releases what an earlier one has frozen', async () => {
    const { freeze } = await freezeNew('d.earlier')
    const http = server.httpClient()
    expect(await release(await clickhouseSource({ client: http }), freeze)).toBeUndefined()
    await http.close()
    await server.run('DROP TABLE d.earlier SYNC')
  })

  /** A client that answers UNFREEZE itself, and leaves all else to ClickHouse. */
  const meddling = (
    answer: (real: () => Promise<unknown>) => Promise<unknown>,
  ): ClickHouseClient => {
    const session = server.sessions[0]!
    return async (sql, options) => {
      const real = async (): Promise<string> => (await session.queryAsync(sql, options)).text()
      return /\bUNFREEZE\b/.test(sql) ? answer(real) : real()
    }
  }
  const fail = (message: string, properties: object): (() => Promise<never>) => {
    return () => Promise.reject(Object.assign(new Error(message), properties))
  }

  test.each([
    ['succeeds without doing anything', async () => [], undefined],
    ['does not exist (62)', fail('Code: 62, e.displayText() = Syntax error', {}), undefined],
    ['fails with a number', fail('Code: 1001. remove_all: Directory not empty', {}), 1001],
    ['fails without an answer', fail('socket hang up', { code: 'ECONNRESET' }), undefined],
    [
      'fails after it was done',
      async (real: () => Promise<unknown>) => {
        await real()
        throw new Error('socket hang up')
      },
      undefined,
    ],
  ] as const)('an UNFREEZE that %s', async (_name, answer, expected) => {
    const { source, freeze } = await freezeNew('d.t', meddling(answer))
    expect(await release(source, freeze)).toBe(expected)
    await server.run('DROP TABLE d.t SYNC')
  })

  test('an UNFREEZE that is refused is a warning with its number, or is ignored', async () => {
    const tables = ['d.t1', 'd.t2']
    for (const table of tables) await make(table)
    const refuse = fail('Code: 999. Coordination::Exception: Session expired', {})
    const source = await clickhouseSource({ client: meddling(refuse) })
    const told: unknown[] = []
    const onWarning = (message: unknown): unknown => told.push(message)
    subscribe('hotbolt:backup-warning', onWarning)
    const target = join(directory, 'refused')
    const report = await createBackup(source, { target, name: 'one' })
    unsubscribe('hotbolt:backup-warning', onWarning)
    const each = (expected: unknown): unknown[] => tables.map(() => expected)
    expect(report.tables).toMatchObject(each({ unfreeze: 'refused', unfreezeError: 999 }))
    expect(report.warnings).toEqual(each(expect.stringContaining('Code: 999')))
    expect(told).toHaveLength(tables.length)
    expect(server.shadow()).toEqual([])
    const ignored = await createBackup(source, { target, name: 'two', ignoreErrors: [999] })
    expect(ignored.tables).toMatchObject(each({ unfreeze: 'ignored', unfreezeError: 999 }))
    expect(ignored.warnings).toEqual([])
    for (const table of tables) await server.run(`DROP TABLE ${table} SYNC`)
  })

  test('an UNFREEZE that hangs', async () => {
    const deadline = new AbortController()
    const hang = (): Promise<never> => {
      deadline.abort()
      return new Promise(() => {})
    }
    const { source, freeze } = await freezeNew('d.t', meddling(hang))
    await source.unfreeze(freeze, deadline.signal)
    expect(await source.isFrozen(freeze, signal)).toBe(false)
    expect(server.shadow()).toEqual([])
    await server.run('DROP TABLE d.t SYNC')
  })

  test('only what has the name of the freeze is removed', async () => {
    const { source, freeze } = await freezeNew('d.t')
    await server.run("ALTER TABLE d.t FREEZE WITH NAME 'of_somebody'", 'ALTER TABLE d.t FREEZE')
    const others = (): string[] => server.shadow().filter((name) => !name.startsWith(freeze.id))
    const before = others()
    expect(before.length).toBeGreaterThan(10)
    await source.unfreeze(freeze, signal)
    expect(server.shadow()).toEqual(before)
    for (const name of before.filter((path) => !path.includes('/'))) {
      rmSync(join(server.dataPath, 'shadow', name), { recursive: true })
    }
    await server.run('DROP TABLE d.t SYNC')
  })

  test('many first freezes at once: none meets a counter that is empty', async () => {
    rmSync(join(server.dataPath, 'shadow'), { recursive: true })
    await make('d.t')
    const source = await clickhouseSource({ client: server.sessions })
    const freezes = Array.from({ length: 40 }, (_, index): Freeze => {
      return { id: `hotbolt_many_${index}`, table: 'd.t', createdAt: '' }
    })
    await Promise.all(freezes.map((freeze) => source.freeze(freeze, signal)))
    expect(server.shadow().filter((name) => !name.includes('/')).length).toBe(40)
    await Promise.all(freezes.map((freeze) => source.unfreeze(freeze, signal)))
    expect(server.shadow()).toEqual([])
    await server.run('DROP TABLE d.t SYNC')
  })

  test('a copy whose freeze was released meanwhile fails, and is no empty backup', async () => {
    await make('d.t')
    const source = await clickhouseSource({ client: server.sessions })
    const freeze: Freeze = { id: 'hotbolt_early', table: 'd.t', createdAt: '' }
    const frozen = await source.freeze(freeze, signal)
    await source.unfreeze(freeze, signal)
    const target = join(directory, 'target')
    await mkdir(target)
    const options = { signal, bytesPerSecond: 0, onBytes: () => {} }
    expect(await codeOf(() => frozen.copy(target, options))).toBe('ERR_SOURCE')
    await server.run('DROP TABLE d.t SYNC')
  })
})
