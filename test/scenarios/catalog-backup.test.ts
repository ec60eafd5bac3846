// Backups of catalogs under load: one cut across all stores while money moves between them and
// stores are opened, evicted, dropped, renamed and defragmented; what an incremental backup takes
// for unchanged; what comes back.

import { copyFileSync, mkdirSync, readdirSync, utimesSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import {
  createBackup,
  databaseSource,
  deleteBackup,
  listBackups,
  open,
  openCatalog,
  restoreBackup,
  storeDestination,
  verifyBackup,
  type BackupReport,
  type Catalog,
  type CreateBackupOptions,
  type Freeze,
  type FrozenTable,
} from '../../lib/index.ts'
import { Gate, turns } from '../support/gate.ts'
import { seed } from '../support/property.ts'
import { randomFrom } from '../support/random.ts'
import { expectRefusal } from '../support/refusal.ts'
import { countOf } from '../support/tiers.ts'
import {
  codeOf,
  inDirectory,
  memoryDirectory,
  verifyFile,
  withDatabase,
} from '../support/with-database.ts'
import {
  get,
  put,
  storeFile,
  verifyCatalog,
  withCatalog,
  type TestCatalog,
} from '../support/with-catalog.ts'

const opening = 100

async function balanceOf(catalog: Catalog, name: string): Promise<number> {
  return Number(await get(catalog, name, 'balance'))
}

async function sumOf(catalog: Catalog): Promise<number> {
  let sum = 0
  for (const name of await catalog.list()) sum += await balanceOf(catalog, name)
  return sum
}

async function openAccounts(catalog: Catalog, count: number): Promise<string[]> {
  const names = Array.from({ length: count }, (_, n) => `account ${n}`)
  await Promise.all(names.map((name) => put(catalog, name, 'balance', String(opening))))
  return names
}

/** Both puts in one turn of the event loop: a cut sees both or none. */
async function transfer(catalog: Catalog, from: string, to: string, amount: number): Promise<void> {
  await using source = await catalog.open(from)
  await using target = await catalog.open(to)
  const [one, other] = [source.db.bucket('b'), target.db.bucket('b')]
  const [left, right] = [Number(one.get('balance')), Number(other.get('balance'))]
  const writes = [
    one.put('balance', String(left - amount)),
    other.put('balance', String(right + amount)),
  ]
  await Promise.all(writes)
}

/** Transfers between random accounts, a few at a time, until it is stopped. */
class Load {
  transfers = 0
  #stopped = false
  readonly #done: Promise<unknown>

  constructor(catalog: Catalog, names: readonly string[], lanes: number) {
    const run = async (lane: number): Promise<void> => {
      const random = randomFrom(seed + lane)
      while (!this.#stopped) {
        const from = random(names.length)
        const to = (from + 1 + random(names.length - 1)) % names.length
        await transfer(catalog, names[from]!, names[to]!, random(20))
        this.transfers++
      }
    }
    this.#done = Promise.all(Array.from({ length: lanes }, (_, lane) => run(lane)))
  }

  async stop(): Promise<void> {
    this.#stopped = true
    await this.#done
  }
}

function backUp(
  context: TestCatalog,
  name: string,
  options: Partial<CreateBackupOptions> = {},
): Promise<BackupReport> {
  const target = join(context.directory, 'backups')
  return createBackup(context.catalog, { target, name, freezeAllFirst: true, ...options })
}

function restore(context: TestCatalog, name: string, into: string): Promise<unknown> {
  return restoreBackup({ target: join(context.directory, 'backups'), name, into })
}

describe('one cut across the stores', () => {
  const count = countOf({ short: 200, ci: 1000, long: 1000 }, 'HOTBOLT_STORES')
  test(
    `${count} of them, of which few are open at a time: the total is kept`,
    withCatalog(
      async (context) => {
        const { catalog, directory } = context
        const names = await openAccounts(catalog, count)
        const load = new Load(catalog, names, 3)
        const report = await backUp(context, 'first', { tableConcurrency: 16 })
        const during = load.transfers
        await load.stop()
        console.info(`${during} transfers during ${report.durationMs} ms, seed ${seed}`)
        expect(during, 'money has moved meanwhile').toBeGreaterThan(0)
        expect(report).toMatchObject({ warnings: [], leftover: [] })
        expect(report.tables.filter(({ outcome }) => outcome === 'copied').length).toBe(count)
        expect(catalog.stats().freezes).toBe(0)
        expect(await sumOf(catalog)).toBe(count * opening)
        const target = join(directory, 'backups')
        expect(await verifyBackup({ target, name: 'first' })).toMatchObject({ ok: true })
        const restored = join(directory, 'restored')
        await restore(context, 'first', restored)
        expect((await verifyCatalog(restored)).size).toBe(count)
        await using copy = await openCatalog(restored, { readOnly: true })
        expect(await copy.list()).toEqual(await catalog.list())
        expect(await sumOf(copy)).toBe(count * opening)
      },
      { maxOpen: 50 },
      // It is about moments, not about syncs, of which there are a hundred thousand.
      memoryDirectory,
    ),
  )

  test(
    'again and again, without a cut the total would not be kept',
    withCatalog(
      async (context) => {
        const { catalog, directory } = context
        const names = await openAccounts(catalog, 20)
        const load = new Load(catalog, names, 6)
        const sums: number[] = []
        for (let round = 0; round < countOf({ short: 4, ci: 12, long: 200 }); round++) {
          const before = load.transfers
          await backUp(context, `cut-${round}`)
          expect(load.transfers).toBeGreaterThan(before)
          const restored = join(directory, `restored-${round}`)
          await restore(context, `cut-${round}`, restored)
          await using copy = await openCatalog(restored)
          sums.push(await sumOf(copy))
        }
        let torn = 0
        for (let round = 0; torn === 0 && round < 200; round++) {
          await backUp(context, `no-cut-${round}`, { freezeAllFirst: false, tableConcurrency: 1 })
          const restored = join(directory, `torn-${round}`)
          await restore(context, `no-cut-${round}`, restored)
          await using copy = await openCatalog(restored)
          if ((await sumOf(copy)) !== names.length * opening) torn++
        }
        await load.stop()
        expect(new Set(sums)).toEqual(new Set([names.length * opening]))
        expect(torn, 'the load would have shown it').toBe(1)
      },
      { maxOpen: 5 },
    ),
  )

  test(
    'while a store is defragmented',
    withCatalog(async (context) => {
      const { catalog, directory } = context
      const names = await openAccounts(catalog, 10)
      const load = new Load(catalog, names, 4)
      await using store = await catalog.open(names[0]!)
      for (let n = 0; n < 2000; n++) void store.db.bucket('more').put(`k${n}`, 'v'.repeat(100))
      await store.db.checkpoint()
      const controller = new AbortController()
      const defragmenting = (async () => {
        let runs = 0
        while (!controller.signal.aborted) {
          await store.db.defrag()
          runs++
        }
        return runs
      })()
      for (let round = 0; round < 5; round++) await backUp(context, `b${round}`)
      controller.abort()
      expect(await defragmenting).toBeGreaterThan(0)
      await load.stop()
      for (let round = 0; round < 5; round++) {
        const restored = join(directory, `r${round}`)
        await restore(context, `b${round}`, restored)
        await verifyCatalog(restored)
        await using copy = await openCatalog(restored)
        expect(await sumOf(copy)).toBe(names.length * opening)
      }
    }),
  )

  test(
    'what a store that is being closed still commits is not in the cut',
    withCatalog(async (context) => {
      const { catalog, directory } = context
      await openAccounts(catalog, 2)
      await using from = await catalog.open('account 0')
      await using to = await catalog.open('account 1')
      const gate = new Gate()
      const late = from.db.update(async (tx) => {
        await gate.pass()
        tx.bucket('b').put('balance', '0')
      })
      const closed = from.db.close()
      const source = catalog.freezeSource()
      const freezeAll = source.freezeAll!.bind(source)
      source.freezeAll = (freezes, signal) => {
        const frozen = freezeAll(freezes, signal)
        // From here on nothing that is written is in it.
        void to.db.bucket('b').put('balance', String(2 * opening))
        gate.open()
        return frozen
      }
      const target = join(directory, 'backups')
      const options = { target, name: 'b', freezeAllFirst: true }
      const error = await expectRefusal('ERR_SOURCE', () => createBackup(source, options))
      expect(error.message).toContain('was closed while it was frozen')
      await Promise.all([late, closed])
      expect(await sumOf(catalog)).toBe(2 * opening)
      await backUp(context, 'c')
    }),
  )
})

/** What a scheduler does, by hand. */
class HandMade {
  readonly #catalog: Catalog
  readonly #directory: string
  readonly #source: ReturnType<Catalog['freezeSource']>
  readonly #freezes = new Map<string, Freeze>()
  readonly #frozen = new Map<string, FrozenTable | Error>()
  #copies = 0

  constructor(context: TestCatalog) {
    this.#catalog = context.catalog
    this.#directory = context.directory
    this.#source = context.catalog.freezeSource()
  }

  async freezeAll(names: readonly string[]): Promise<void> {
    const createdAt = new Date(0).toISOString()
    const before = this.#freezes.size
    const freezes = names.map((table, n) => ({ id: `f${before + n}`, table, createdAt }))
    const { signal } = new AbortController()
    const frozen = await this.#source.freezeAll!(freezes, signal)
    for (const [index, freeze] of freezes.entries()) {
      this.#freezes.set(freeze.table, freeze)
      this.#frozen.set(freeze.table, frozen[index]!)
    }
  }

  outcomeOf(name: string): FrozenTable | Error | undefined {
    return this.#frozen.get(name)
  }

  /** The value of `k` in the copy. */
  async copy(name: string): Promise<string | undefined> {
    const frozen = this.#frozen.get(name)!
    if (frozen instanceof Error) throw frozen
    const directory = join(this.#directory, `copy-${this.#copies++}`)
    mkdirSync(directory)
    const { signal } = new AbortController()
    const options = { signal, bytesPerSecond: 0, onBytes: () => {} }
    const files = await frozen.copy(directory, options)
    expect(files).toMatchObject([{ path: 'store.db' }])
    expect(files[0]!.sha256).toMatch(/^[0-9a-f]{64}$/)
    const path = join(directory, 'store.db')
    await verifyFile(path)
    await using db = await open(path)
    return db.bucket('b', { value: 'utf8' }).get('k')
  }

  async unfreezeAll(): Promise<void> {
    const { signal } = new AbortController()
    for (const freeze of this.#freezes.values()) {
      await this.#source.unfreeze(freeze, signal)
      expect(await this.#source.isFrozen(freeze, signal)).toBe(false)
    }
    expect(this.#catalog.stats().freezes).toBe(0)
  }
}

describe('what is frozen stays as it was', () => {
  for (const maxOpen of [1, 100]) {
    test(
      `when it is written, dropped, renamed and made anew; maxOpen ${maxOpen}`,
      withCatalog(
        async (context) => {
          const { catalog, path } = context
          const names = ['written', 'dropped', 'renamed', 'anew', 'idle']
          for (const name of names) await put(catalog, name, 'k', 'frozen')
          const run = new HandMade(context)
          await run.freezeAll([...names, 'missing'])
          expect(run.outcomeOf('missing')).toMatchObject({ code: 'ERR_NOT_FOUND' })
          await put(catalog, 'written', 'k', 'later')
          await put(catalog, 'dropped', 'k', 'later')
          await catalog.drop('dropped')
          await put(catalog, 'renamed', 'k', 'later')
          await catalog.rename('renamed', 'new name')
          await catalog.drop('anew')
          await put(catalog, 'anew', 'k', 'later')
          await put(catalog, 'missing', 'k', 'later')
          for (const name of names) expect(await run.copy(name), name).toBe('frozen')
          expect(await catalog.list()).toEqual(['anew', 'idle', 'missing', 'new name', 'written'])
          for (const name of ['anew', 'missing', 'new name', 'written']) {
            expect(await get(catalog, name, 'k')).toBe('later')
          }
          await run.unfreezeAll()
          expect(readdirSync(path).filter((entry) => entry.startsWith('.aside'))).toEqual([])
        },
        { maxOpen },
      ),
    )
  }

  test(
    'also of a store that was never written here, or is a copy itself',
    withCatalog(
      async (context) => {
        const { catalog } = context
        await catalog.create('empty')
        await put(catalog, 'a', 'k', 'frozen')
        await backUp(context, 'first', { include: ['a'] })
        await context.close()
        const target = join(context.directory, 'backups')
        await restoreBackup({ target, name: 'first', into: context.path, overwrite: true })
        const restored = await context.open()
        const run = new HandMade(context)
        await run.freezeAll(['a'])
        for (let n = 0; n < 4; n++) await put(restored, `other ${n}`, 'k', 'v')
        await put(restored, 'a', 'k', 'later')
        for (let n = 0; n < 4; n++) await put(restored, `other ${n}`, 'k', 'w')
        expect(await run.copy('a')).toBe('frozen')
        await run.unfreezeAll()
        expect(await get(restored, 'a', 'k')).toBe('later')
      },
      { maxOpen: 1 },
    ),
  )

  test(
    'from the moment on that a new name is listed',
    withCatalog(async (context) => {
      const { catalog } = context
      await put(catalog, 'old', 'k', 'frozen')
      const run = new HandMade(context)
      for (const name of ['new', 'other']) {
        const change = name === 'new' ? catalog.rename('old', name) : catalog.create(name)
        while (!(await catalog.list()).includes(name)) await turns(1)
        await run.freezeAll([name])
        await change
      }
      expect(await run.copy('new')).toBe('frozen')
      await run.unfreezeAll()
    }),
  )

  test(
    'does not do without a store that is renamed before it; one that is dropped is gone',
    withCatalog(async ({ catalog }) => {
      for (const name of ['a', 'b']) await put(catalog, name, 'k', 'v')
      const source = catalog.freezeSource()
      const { signal } = new AbortController()
      const codeOfCut = async (table: string): Promise<unknown> => {
        const freezes = ['a', table].map((each) => ({
          id: `of_${each}`,
          table: each,
          createdAt: '',
        }))
        const [first, second] = (await source.freezeAll?.(freezes, signal)) ?? []
        expect(first).not.toBeInstanceOf(Error)
        for (const freeze of freezes) await source.unfreeze(freeze, signal)
        return second instanceof Error && 'code' in second && second.code
      }
      await source.listTables(signal)
      await catalog.rename('b', 'c')
      expect(await codeOfCut('b')).toBe('ERR_SOURCE')
      await source.listTables(signal)
      await catalog.drop('c')
      expect(await codeOfCut('c')).toBe('ERR_NOT_FOUND')
    }),
  )

  test(
    'unless its database is closed by hand after a write: then the copy fails',
    withCatalog(async (context) => {
      const { catalog } = context
      for (const name of ['a', 'b']) await put(catalog, name, 'k', 'frozen')
      const run = new HandMade(context)
      await run.freezeAll(['a', 'b'])
      await catalog.use('a', (db) => db.close())
      await catalog.use('b', async (db) => {
        await db.bucket('b').put('k', 'later')
        await db.close()
      })
      expect(await run.copy('a')).toBe('frozen')
      expect(await codeOf(() => run.copy('b'))).toBe('ERR_SOURCE')
      await run.unfreezeAll()
    }),
  )

  test(
    'until the catalog is closed: then a backup fails and leaves nothing',
    withCatalog(async (context) => {
      await openAccounts(context.catalog, 30)
      const failed = codeOf(() =>
        backUp(context, 'b', {
          onProgress: ({ tablesCopied }) => {
            if (tablesCopied === 3) void context.catalog.close()
          },
        }),
      )
      expect(['ERR_CLOSED', 'ERR_ABORTED']).toContain(await failed)
      await context.reopen()
      expect(await listBackups(join(context.directory, 'backups'))).toEqual([])
    }),
  )
})

describe('an incremental backup', () => {
  const outcomes = (report: BackupReport): Record<string, string> =>
    Object.fromEntries(report.tables.map(({ name, outcome }) => [name, outcome]))

  test(
    'copies what has changed, and takes nothing else for unchanged',
    withCatalog(
      async (context) => {
        const { catalog, directory } = context
        const names = ['unchanged', 'changed', 'anew', 'renamed', 'defragmented']
        for (const name of names) await put(catalog, name, 'k', name)
        await context.reopen()
        await backUp(context, 'first')
        await put(context.catalog, 'changed', 'k', 'other')
        await context.catalog.drop('anew')
        await put(context.catalog, 'anew', 'k', 'anew')
        await context.catalog.rename('renamed', 'new name')
        await put(context.catalog, 'added', 'k', 'added')
        await context.reopen()
        const report = await backUp(context, 'second', { diffFrom: 'first' })
        expect(outcomes(report)).toEqual({
          added: 'copied',
          anew: 'copied',
          changed: 'copied',
          'new name': 'copied',
          defragmented: 'reused',
          unchanged: 'reused',
        })
        const target = join(directory, 'backups')
        expect(await codeOf(() => deleteBackup({ target, name: 'first' }))).toBe(
          'ERR_BACKUP_REQUIRED',
        )
        await context.catalog.use('defragmented', (db) => db.defrag())
        const third = await backUp(context, 'third', { diffFrom: 'second' })
        expect(outcomes(third)).toMatchObject({ changed: 'reused', unchanged: 'reused' })
        await restore(context, 'third', join(directory, 'restored'))
        expect(await verifyCatalog(join(directory, 'restored'))).toEqual(await hashes(context))
      },
      { maxOpen: 2 },
    ),
  )

  test(
    'sees stores that stay open, and are read, written, checkpointed and defragmented',
    withCatalog(async (context) => {
      const { catalog } = context
      for (const name of ['a', 'b']) await put(catalog, name, 'k', 'v')
      await backUp(context, 'first')
      const second = await backUp(context, 'second', { diffFrom: 'first' })
      expect(outcomes(second)).toEqual({ a: 'reused', b: 'reused' })
      await catalog.use('a', (db) => db.checkpoint())
      await catalog.use('b', (db) => db.defrag())
      const merged = await backUp(context, 'merged', { diffFrom: 'first' })
      expect(outcomes(merged)).toEqual({ a: 'reused', b: 'reused' })
      await put(catalog, 'a', 'k', 'w')
      const third = await backUp(context, 'third', { diffFrom: 'second' })
      expect(outcomes(third)).toEqual({ a: 'copied', b: 'reused' })
    }),
  )

  test(
    'never takes a store for unchanged that was restored and written as often',
    withCatalog(async (context) => {
      const target = join(context.directory, 'backups')
      const write = (text: string): Promise<void> => put(context.catalog, 'a', 'k', text)
      await write('one')
      await context.reopen()
      await backUp(context, 'first')
      await write('two')
      await context.reopen()
      await backUp(context, 'second')
      const histories = [['first'], ['first'], ['second']]
      for (const [n, [name]] of histories.entries()) {
        await context.close()
        await restoreBackup({ target, name: name!, into: context.path, overwrite: true })
        await context.open()
        for (const base of ['first', 'second']) {
          const unwritten = await backUp(context, `u${n}-${base}`, { diffFrom: base })
          expect(outcomes(unwritten)).toEqual({ a: 'copied' })
        }
        await write('two')
        for (const reopens of [false, true]) {
          if (reopens) await context.reopen()
          for (const base of ['first', 'second']) {
            const report = await backUp(context, `w${n}-${base}-${reopens}`, { diffFrom: base })
            expect(outcomes(report)).toEqual({ a: 'copied' })
          }
        }
      }
    }),
  )

  test(
    'nor one whose file was exchanged for one of the same form and time',
    withCatalog(async (context) => {
      const { directory, path } = context
      const time = new Date('2026-01-31T12:00:00Z')
      await context.catalog.create('a')
      const seen: string[] = []
      for (const [n, text] of ['one', 'two'].entries()) {
        await context.close()
        const db = await open(join(directory, `${text}.db`))
        await db.bucket('b').put('k', text)
        await db.backup(join(directory, `${text}.copy`))
        await db.close()
        copyFileSync(join(directory, `${text}.copy`), storeFile(path, 'a'))
        utimesSync(storeFile(path, 'a'), time, time)
        await context.open()
        const base = n === 0 ? {} : { diffFrom: 'b0' }
        seen.push(...Object.values(outcomes(await backUp(context, `b${n}`, base))))
        expect(await get(context.catalog, 'a', 'k')).toBe(text)
      }
      expect(seen).toEqual(['copied', 'copied'])
    }),
  )
})

describe('restored copies', () => {
  test(
    'are catalogs of their own',
    withCatalog(async (context) => {
      const { catalog, directory } = context
      await put(catalog, 'a', 'k', 'v')
      await backUp(context, 'first')
      const paths = ['one', 'two'].map((name) => join(directory, name))
      for (const path of paths) await restore(context, 'first', path)
      await using one = await openCatalog(paths[0]!)
      await using two = await openCatalog(paths[1]!)
      await put(one, 'a', 'k', 'w')
      await two.drop('a')
      await two.create('b')
      expect(await get(catalog, 'a', 'k')).toBe('v')
      expect(await get(one, 'a', 'k')).toBe('w')
      expect(await one.list()).toEqual(['a'])
      expect(readdirSync(directory).toSorted()).toEqual(['backups', 'catalog', 'one', 'two'])
    }),
  )

  test(
    'are of the stores that were chosen, or of one as a file',
    withCatalog(async (context) => {
      const { catalog, directory } = context
      for (const name of ['a1', 'a2', 'b', 'x'.repeat(300)]) await put(catalog, name, 'k', name)
      const target = join(directory, 'backups')
      await backUp(context, 'first')
      const some = join(directory, 'some')
      await restoreBackup({ target, name: 'first', into: some, include: ['a*', 'x*'] })
      await using copy = await openCatalog(some)
      expect(await copy.list()).toEqual(['a1', 'a2', 'x'.repeat(300)])
      const file = join(directory, 'b.db')
      const into = storeDestination(file)
      expect(await codeOf(() => restoreBackup({ target, name: 'first', into }))).toBe(
        'ERR_INVALID_ARGUMENT',
      )
      await restoreBackup({ target, name: 'first', into, include: ['b'] })
      await verifyFile(file)
      const replaced = { target, name: 'first', overwrite: true, include: ['b'] }
      expect(await codeOf(() => restoreBackup({ ...replaced, into: join(directory, 'all') }))).toBe(
        'ERR_INVALID_ARGUMENT',
      )
      await restoreBackup({ ...replaced, into })
      await verifyFile(file)
      for (const inside of [catalog.path, join(catalog.path, 'backups', 'of', 'it')]) {
        const create = () => createBackup(catalog, { target: inside })
        expect(await codeOf(create)).toBe('ERR_INVALID_ARGUMENT')
      }
      expect(await catalog.list()).toEqual(['a1', 'a2', 'b', 'x'.repeat(300)])
      await using db = await open(file)
      expect(db.bucket('b', { value: 'utf8' }).get('k')).toBe('b')
      const elsewhere = () => restoreBackup({ target, name: 'first', into: target })
      expect(await codeOf(elsewhere)).toBe('ERR_INVALID_ARGUMENT')
    }),
  )
})

describe('one database', () => {
  test(
    'is a source with one table; its copy takes the place of what is there if it may',
    withDatabase(async (context) => {
      const { db, directory, path } = context
      const target = join(directory, 'backups')
      await db.bucket('b').put('k', 'v')
      const [report] = (await createBackup(db, { target, name: 'first' })).tables
      expect(report).toMatchObject({ name: 'data.db', outcome: 'copied', files: 1 })
      const second = await createBackup(db, { target, name: 'second', diffFrom: 'first' })
      expect(second.tables[0]?.outcome).toBe('reused')
      const compact = databaseSource(db, { compact: true })
      await createBackup(compact, { target, name: 'compact' })
      await db.bucket('b').put('k', 'w')
      const restoring = { target, name: 'first', into: path }
      expect(await codeOf(() => restoreBackup(restoring))).toBe('ERR_EXISTS')
      const overwriting = { ...restoring, overwrite: true }
      expect(await codeOf(() => restoreBackup(overwriting))).toBe('ERR_LOCKED')
      expect(String(db.bucket('b').get('k'))).toBe('w')
      await context.close()
      await restoreBackup(overwriting)
      expect(readdirSync(directory).toSorted()).toEqual(['backups', 'data.db'])
      expect(String((await context.open()).bucket('b').get('k'))).toBe('v')
      expect(await verifyBackup({ target, name: 'compact', depth: 'deep' })).toMatchObject({
        ok: true,
      })
    }),
  )
})

/** By name, of a catalog that is then open again. */
async function hashes(context: TestCatalog): Promise<Map<string, string>> {
  await context.close()
  const found = await verifyCatalog(context.path)
  await context.open()
  return found
}

test('a catalog and a store are found by what the backup is of', () =>
  inDirectory(async (directory) => {
    const target = join(directory, 'backups')
    await using catalog = await openCatalog(join(directory, 'catalog'))
    await put(catalog, 'a', 'k', 'v')
    await createBackup(catalog, { target, name: 'c' })
    await catalog.use('a', (db) => createBackup(db, { target, name: 's' }))
    for (const name of ['c', 's']) {
      await restoreBackup({ target, name, into: join(directory, name) })
    }
    await verifyFile(join(directory, 's'))
    await verifyFile(storeFile(join(directory, 'c'), 'a'))
    const into = 7 as unknown as string
    expect(await codeOf(() => restoreBackup({ target, name: 'c', into }))).toBe(
      'ERR_INVALID_ARGUMENT',
    )
  }))
