// A catalog: many stores in a directory, leased, listed, made, dropped, renamed; and which of them
// are open.

import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { open, openCatalog } from '../../lib/index.ts'
import { codeOf, holdDefragAt, openFilesIn, refusalOf } from '../support/with-database.ts'
import { get, put, storeFile, withCatalog } from '../support/with-catalog.ts'

const openStoresOf = (path: string): number =>
  openFilesIn(path).filter((file) => file.endsWith('store.db')).length

describe('names', () => {
  test(
    'any text is a name, and comes back in the order of its bytes',
    withCatalog(async ({ catalog }) => {
      const names = [
        'users',
        'Users',
        'USERS',
        '..',
        '.catalog',
        'a/b',
        '/etc/passwd',
        'a\0b',
        ' ',
        'e\u0301',
        '\u00e9',
        '\uffee',
        '\u{1f600}',
        'x'.repeat(1024),
        '\u00e9'.repeat(512),
        '%7e',
        'store.db',
      ]
      for (const name of names) await put(catalog, name, 'name', name)
      const inOrder = names.toSorted((left, right) =>
        Buffer.compare(Buffer.from(left), Buffer.from(right)),
      )
      expect(await catalog.list()).toEqual(inOrder)
      for (const name of names) expect(await get(catalog, name, 'name')).toBe(name)
    }),
  )

  test(
    'what is none is refused',
    withCatalog(async ({ catalog }) => {
      for (const name of ['', 'a\ud800', 'x'.repeat(1025), 7 as unknown as string]) {
        const calls = [
          () => catalog.open(name),
          () => catalog.use(name, () => {}),
          () => catalog.has(name),
          () => catalog.create(name),
          () => catalog.drop(name),
          () => catalog.rename(name, 'b'),
          () => catalog.rename('b', name),
        ]
        for (const call of calls) expect(await codeOf(call)).toBe('ERR_INVALID_ARGUMENT')
      }
      expect(await catalog.list()).toEqual([])
    }),
  )
})

describe('leases', () => {
  test(
    'all who lease a store at a time have the same database',
    withCatalog(async ({ catalog, path }) => {
      const stores = await Promise.all(Array.from({ length: 20 }, () => catalog.open('a')))
      expect(new Set(stores.map((store) => store.db)).size).toBe(1)
      expect(catalog.stats()).toMatchObject({ openStores: 1, usedStores: 1, opens: 1 })
      expect(openStoresOf(path)).toBe(1)
      for (const store of stores) store.close()
      expect(catalog.stats()).toMatchObject({ openStores: 1, usedStores: 0 })
      expect(refusalOf(() => stores[0]!.db)).toBe('ERR_CLOSED')
      stores[0]!.close()
      await using again = await catalog.open('a')
      expect(catalog.stats()).toMatchObject({ opens: 1, usedStores: 1 })
      expect(again.name).toBe('a')
    }),
  )

  test(
    'end with their scope, and with the callback of use(), also when it throws',
    withCatalog(async ({ catalog }) => {
      {
        await using store = await catalog.open('a')
        using other = await catalog.open('a')
        expect(store.db).toBe(other.db)
        expect(catalog.stats().usedStores).toBe(1)
      }
      expect(catalog.stats().usedStores).toBe(0)
      const failure = new Error('mine')
      const failing = catalog.use('a', async () => {
        await Promise.resolve()
        throw failure
      })
      await expect(failing).rejects.toBe(failure)
      expect(await catalog.use('a', () => 7)).toBe(7)
      expect(catalog.stats().usedStores).toBe(0)
      expect(await codeOf(() => catalog.use('a', 7 as never))).toBe('ERR_INVALID_ARGUMENT')
    }),
  )

  test(
    'without `create` a store that is missing is not made',
    withCatalog(async ({ catalog, path }) => {
      expect(await codeOf(() => catalog.open('a', { create: false }))).toBe('ERR_NOT_FOUND')
      expect(readdirSync(path)).toEqual(['.catalog'])
      expect(catalog.stats()).toMatchObject({ openStores: 0, opens: 0 })
      expect(await codeOf(() => catalog.open('a', { creat: false } as never))).toBe(
        'ERR_INVALID_ARGUMENT',
      )
    }),
  )

  test(
    'a database that a user has closed is opened again for the next one',
    withCatalog(async ({ catalog, path }) => {
      const first = await catalog.open('a')
      const other = await catalog.open('a')
      void first.db.bucket('b').put('k', 'v')
      const closed = first.db.close()
      const second = await catalog.open('a')
      expect(second.db).not.toBe(first.db)
      expect(refusalOf(() => other.db.stats())).toBe('ERR_CLOSED')
      expect(second.db.bucket('b', { value: 'utf8' }).get('k')).toBe('v')
      await closed
      first.close()
      other.close()
      expect(catalog.stats()).toMatchObject({ openStores: 1, usedStores: 1 })
      expect(openStoresOf(path)).toBe(1)
      await second.db.close()
      second.close()
      await catalog.drop('a')
      expect(await catalog.list()).toEqual([])
    }),
  )
})

describe('stores', () => {
  test(
    'are made once, whole, and empty',
    withCatalog(async ({ catalog, path }) => {
      await catalog.create('a')
      expect(await codeOf(() => catalog.create('a'))).toBe('ERR_EXISTS')
      expect([await catalog.has('a'), await catalog.has('b')]).toEqual([true, false])
      expect(await catalog.use('a', (db) => db.buckets())).toEqual([])
      const made = await Promise.all(
        Array.from({ length: 8 }, () => codeOf(() => catalog.create('c'))),
      )
      const refused = made.filter((code) => code !== undefined)
      expect(refused).toEqual(Array.from({ length: 7 }, () => 'ERR_EXISTS'))
      expect(readdirSync(path).toSorted()).toEqual(['.catalog', 'a', 'c'])
    }),
  )

  test(
    'are dropped when nobody leases them',
    withCatalog(async ({ catalog, path }) => {
      const store = await catalog.open('a')
      await store.db.bucket('b').put('k', 'v')
      expect(await codeOf(() => catalog.drop('a'))).toBe('ERR_BUSY')
      store.close()
      await catalog.drop('a')
      expect(await codeOf(() => catalog.drop('a'))).toBe('ERR_NOT_FOUND')
      expect(readdirSync(path)).toEqual(['.catalog'])
      await catalog.create('a')
      expect(await get(catalog, 'a', 'k')).toBeUndefined()
    }),
  )

  test(
    'keep their content under another name',
    withCatalog(async (context) => {
      const { catalog } = context
      const long = ['x'.repeat(500), 'y'.repeat(600)]
      await put(catalog, 'a', 'k', 'v')
      await catalog.create('b')
      const store = await catalog.open('a')
      expect(await codeOf(() => catalog.rename('a', 'c'))).toBe('ERR_BUSY')
      store.close()
      expect(await codeOf(() => catalog.rename('a', 'b'))).toBe('ERR_EXISTS')
      expect(await codeOf(() => catalog.rename('a', 'a'))).toBe('ERR_EXISTS')
      expect(await codeOf(() => catalog.rename('c', 'd'))).toBe('ERR_NOT_FOUND')
      for (const [from, to] of [
        ['a', long[0]!],
        [long[0]!, long[1]!],
        [long[1]!, 'A'],
      ] as const) {
        await catalog.rename(from, to)
        expect(await catalog.list()).toEqual([to, 'b'].toSorted())
        expect(await get(catalog, to, 'k')).toBe('v')
      }
      expect(await get(await context.reopen(), 'A', 'k')).toBe('v')
    }),
  )

  test(
    'that change places meet nobody else',
    withCatalog(async ({ catalog }) => {
      for (const name of ['a', 'b', 'c']) await put(catalog, name, 'k', name)
      const steps = [
        catalog.rename('a', 'x'),
        catalog.rename('b', 'a'),
        catalog.rename('x', 'b'),
        catalog.rename('c', 'b'),
        catalog.rename('b', 'c'),
      ]
      const codes = await Promise.all(steps.map((step) => codeOf(() => step)))
      const values = await Promise.all(
        (await catalog.list()).map((name) => get(catalog, name, 'k')),
      )
      // Whatever their order, nothing is lost and nothing is there twice.
      expect(new Set(values)).toEqual(new Set(['a', 'b', 'c']))
      expect(values.length).toBe(3)
      expect(codes.filter((code) => code === undefined).length).toBeGreaterThan(0)
    }),
  )
})

describe('at most `maxOpen` stores are open', () => {
  test(
    'and the one used least recently makes room',
    withCatalog(
      async ({ catalog, path }) => {
        for (let n = 0; n < 20; n++) await put(catalog, `s${n}`, 'k', String(n))
        expect(catalog.stats()).toMatchObject({ openStores: 3, evictions: 17, openStoresPeak: 3 })
        expect(openStoresOf(path)).toBe(3)
        await get(catalog, 's17', 'k')
        await put(catalog, 's0', 'k', '0')
        const { opens } = catalog.stats()
        for (const name of ['s17', 's19', 's0']) await get(catalog, name, 'k')
        expect(catalog.stats().opens, 's18 had to go').toBe(opens)
        for (let n = 0; n < 20; n++) expect(await get(catalog, `s${n}`, 'k')).toBe(String(n))
      },
      { maxOpen: 3 },
    ),
  )

  test(
    'unless more are leased: then the next one does not wait',
    withCatalog(
      async ({ catalog, path }) => {
        const names = Array.from({ length: 6 }, (_, n) => `s${n}`)
        const stores = await Promise.all(names.map((name) => catalog.open(name)))
        for (const store of stores) void store.db.bucket('b').put('k', store.name)
        expect(catalog.stats()).toMatchObject({ openStores: 6, usedStores: 6, openStoresPeak: 6 })
        for (const store of stores) store.close()
        // What is above the limit is closed at once; the next open waits for that.
        await put(catalog, 's6', 'k', 's6')
        expect(openStoresOf(path)).toBeLessThanOrEqual(2)
        for (const name of [...names, 's6']) expect(await get(catalog, name, 'k')).toBe(name)
      },
      { maxOpen: 2 },
    ),
  )

  test(
    'and none is closed that is at work',
    withCatalog(
      async ({ catalog }) => {
        const store = await catalog.open('a')
        for (let n = 0; n < 100; n++) void store.db.bucket('b').put(`k${n}`, 'v')
        const held = holdDefragAt(store.db, 'after-copy')
        await held.reached
        const { db } = store
        store.close()
        for (const name of ['b', 'c', 'd']) await put(catalog, name, 'k', 'v')
        expect(db.stats().defragPhase).toBe('copying')
        held.release()
        expect((await held.report).entriesCopied).toBeGreaterThan(0)
        await put(catalog, 'b', 'k', 'w')
        await put(catalog, 'c', 'k', 'w')
        expect(refusalOf(() => db.stats())).toBe('ERR_CLOSED')
      },
      { maxOpen: 1 },
    ),
  )

  test(
    'and writes that nobody awaited are there when it is opened again',
    withCatalog(
      async ({ catalog }) => {
        const rounds = Array.from({ length: 30 }, (_, n) => n)
        const uses = rounds.flatMap((n) =>
          ['a', 'b', 'c', 'd'].map((name) =>
            catalog.use(name, (db) => void db.bucket('b').put(`k${n}`, String(n))),
          ),
        )
        await Promise.all(uses)
        for (const name of ['a', 'b', 'c', 'd']) {
          expect(await catalog.use(name, (db) => db.bucket('b').count())).toBe(rounds.length)
        }
      },
      { maxOpen: 1 },
    ),
  )
})

describe('the directory', () => {
  test(
    'belongs to one catalog; readers may share it',
    withCatalog(async (context) => {
      await put(context.catalog, 'a', 'k', 'v')
      expect(await codeOf(() => openCatalog(context.path))).toBe('ERR_LOCKED')
      expect(await codeOf(() => openCatalog(context.path, { readOnly: true }))).toBe('ERR_LOCKED')
      await context.reopen({ readOnly: true })
      const other = await openCatalog(context.path, { readOnly: true })
      expect([await get(other, 'a', 'k'), await get(context.catalog, 'a', 'k')]).toEqual(['v', 'v'])
      expect(await codeOf(() => openCatalog(context.path))).toBe('ERR_LOCKED')
      await other.close()
      const { catalog } = context
      expect(catalog.readOnly).toBe(true)
      const writes = [
        () => catalog.create('b'),
        () => catalog.drop('a'),
        () => catalog.rename('a', 'b'),
        () => put(catalog, 'a', 'k', 'w'),
      ]
      for (const write of writes) expect(await codeOf(write)).toBe('ERR_READ_ONLY')
      expect(await codeOf(() => catalog.open('b'))).toBe('ERR_NOT_FOUND')
    }),
  )

  test(
    'is made with those above it, and not without `create`',
    withCatalog(async ({ directory }) => {
      const path = join(directory, 'x', 'y')
      for (const options of [{ create: false }, { readOnly: true }]) {
        expect(await codeOf(() => openCatalog(path, options))).toBe('ERR_NOT_FOUND')
      }
      expect(readdirSync(directory)).toEqual(['catalog'])
      const catalog = await openCatalog(path, { mode: 0o640 })
      await catalog.create('a')
      await catalog.close()
      const mode = (name: string): number => statSync(join(path, name)).mode & 0o777
      expect(['.', '.catalog', 'a', 'a/store.db'].map(mode)).toEqual([0o750, 0o640, 0o750, 0o640])
    }),
  )

  test(
    'gives its stores the options that it was opened with',
    withCatalog(
      async ({ catalog, path }) => {
        await catalog.create('a')
        expect(await catalog.use('a', (db) => db.stats().pageSize)).toBe(1024)
        const refused = [{ store: { mode: 0o600 } }, { store: { pageSize: 7 } }, { maxOpen: 0 }]
        for (const options of [...refused, { store: null }, { maxopen: 3 }]) {
          expect(await codeOf(() => openCatalog(path, options as never))).toBe(
            'ERR_INVALID_ARGUMENT',
          )
        }
        expect(await codeOf(() => openCatalog(''))).toBe('ERR_INVALID_ARGUMENT')
      },
      { store: { pageSize: 1024 } },
    ),
  )
})

describe('close', () => {
  test(
    'ends everything, leased stores too',
    withCatalog(async (context) => {
      const { catalog } = context
      const store = await catalog.open('a')
      void store.db.bucket('b').put('k', 'v')
      const opening = catalog.open('b')
      const closed = catalog.close()
      expect(catalog.close()).toBe(closed)
      const calls = [
        () => catalog.open('a'),
        () => catalog.use('a', () => {}),
        () => catalog.list(),
        () => catalog.has('a'),
        () => catalog.create('c'),
        () => catalog.drop('a'),
        () => catalog.rename('a', 'c'),
        () => catalog.stats(),
      ]
      for (const call of calls) expect(await codeOf(call), String(call)).toBe('ERR_CLOSED')
      const late = await opening
      await closed
      expect(refusalOf(() => store.db.stats())).toBe('ERR_CLOSED')
      expect(refusalOf(() => late.db.stats())).toBe('ERR_CLOSED')
      store.close()
      late.close()
      expect(await get(await context.reopen(), 'a', 'k')).toBe('v')
    }),
  )

  test(
    'inside an update of one of its stores would wait for itself',
    withCatalog(async ({ catalog }) => {
      await using store = await catalog.open('a')
      await store.db.update(async () => {
        expect(await codeOf(() => catalog.close())).toBe('ERR_TX_NESTED')
      })
      expect(catalog.stats().usedStores).toBe(1)
    }),
  )

  test(
    'with its scope',
    withCatalog(async (context) => {
      await context.close()
      {
        await using catalog = await context.open()
        await put(catalog, 'a', 'k', 'v')
      }
      const db = await open(storeFile(context.path, 'a'), { readOnly: true })
      expect(db.bucket('b', { value: 'utf8' }).get('k')).toBe('v')
      await db.close()
    }),
  )
})
