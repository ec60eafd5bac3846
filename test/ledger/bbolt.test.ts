// The ledger, rows 1 to 17: what went wrong in bbolt and in etcd. See README.md in this folder.

import { copyFile, readFile, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { HotboltError, open, type Database } from '../../lib/index.ts'
import { copyAsCrashed } from '../support/crashed.ts'
import { hashOf } from '../support/model.ts'
import { flipByte, metaOffset, readMetas } from '../support/page-file.ts'
import { pagesInUse } from '../support/pages.ts'
import { randomFrom } from '../support/random.ts'
import { errorOf, expectRefusal } from '../support/refusal.ts'
import {
  codeOf,
  damagedOnPurpose,
  holdDefragAt,
  inDirectory,
  leftovers,
  openFilesIn,
  pausePoints,
  smallPages,
  untimed,
  verifyFile,
  withDatabase,
} from '../support/with-database.ts'

async function fill(db: Database, count: number, bytes = 50): Promise<void> {
  for (let n = 0; n < count; n++) void db.bucket('b').put(`k${n}`, Buffer.alloc(bytes, `${n} `))
  await db.checkpoint()
}

/** A filled database that is closed again: its file, what lies in it, and its hash. */
async function makeClosed(
  directory: string,
  count: number,
): Promise<{ path: string; good: Buffer; hash: string }> {
  const path = join(directory, 'data.db')
  const db = await open(path, smallPages)
  await fill(db, count)
  const hash = await db.hash()
  await db.close()
  return { path, good: await readFile(path), hash }
}

describe('defragmentations that ended badly', () => {
  test(
    'etcd #11613: an orphaned temporary file is never adopted',
    withDatabase(async (context) => {
      const { db, directory } = context
      await fill(db, 200)
      void db.bucket('roles').put('revoked', 'v')
      // The process dies in the middle of a defragmentation...
      const held = holdDefragAt(db, 'after-copy')
      await held.reached
      const [orphan] = leftovers(db.path).filter((name) => name.includes('-defrag-'))
      const saved = join(directory, 'saved')
      await copyFile(join(directory, orphan!), saved)
      held.release()
      await held.report
      // ... what it had copied is deleted, and the file it was copying into is still there.
      void db.deleteBucket('roles')
      void db.bucket('b').delete('k7')
      const hash = await db.hash()
      await context.close()
      for (const readOnly of [true, false]) {
        await copyFile(saved, join(directory, orphan!))
        const again = await context.open({ readOnly })
        expect(await again.hash()).toBe(hash)
        if (readOnly) await context.close()
      }
      await copyFile(saved, join(directory, orphan!)) // while it is open too
      await context.db.defrag()
      expect(await context.db.hash()).toBe(hash)
      expect(context.db.bucket('roles').exists).toBe(false)
      await context.reopen()
    }, smallPages),
  )

  test.each(pausePoints)(
    'etcd #14685: a crash at %s replays nothing twice and skips nothing',
    (point) =>
      withDatabase(async ({ db, directory }) => {
        await fill(db, 100)
        const count = (): Promise<void> =>
          db.update((tx) => {
            const counters = tx.bucket('counters', { value: 'utf8' })
            counters.put('n', String(Number(counters.get('n') ?? 0) + 1))
            counters.nextSequence()
            tx.createBucket(`generation ${counters.get('n')}`)
          })
        for (let n = 0; n < 5; n++) await count()
        const held = holdDefragAt(db, point)
        await held.reached
        for (let n = 0; n < 5; n++) await count()
        const path = await copyAsCrashed(db, join(directory, 'crashed'))
        const [hash, { lastSeq }] = [await db.hash(), db.stats()]
        held.release()
        await held.report
        const crashed = await open(path)
        expect(await crashed.hash()).toBe(hash)
        expect(crashed.stats().lastSeq).toBe(lastSeq)
        expect(crashed.bucket('counters', { value: 'utf8' }).get('n')).toBe('10')
        expect(crashed.bucket('counters').sequence).toBe(10n)
        await crashed.close()
        await verifyFile(path, hash)
      }, smallPages)(),
  )
})

describe('files that were damaged', () => {
  const everyUse = (db: Database): (() => unknown)[] => [
    () => db.hash(),
    () => [...db.bucket('b').range()],
    () => [...db.bucket('b').range({ reverse: true })],
    () => db.bucket('b').count(),
    () => db.defrag(),
    () => db.checkpoint(),
  ]

  /** Whatever is asked of it is answered or refused: this returns at all. */
  async function useDamaged(path: string): Promise<string[]> {
    const codes: string[] = []
    const note = (error: unknown): void => {
      expect(error).toBeInstanceOf(HotboltError)
      codes.push((error as HotboltError).code)
    }
    const error = await errorOf(async () => {
      await using db = await open(path)
      if (!(await db.check()).ok) codes.push('reported')
      void db.bucket('b').put('k1', 'written over the damage')
      for (const use of everyUse(db)) {
        const refusal = await errorOf(use)
        if (refusal !== undefined) note(refusal)
      }
    })
    if (error !== undefined) note(error)
    return codes
  }

  test('bbolt #701: branches that lead in circles under valid metas end every walk', () =>
    inDirectory(async (directory) => {
      const { path, good } = await makeClosed(directory, 2000)
      const branches = pagesInUse(good).filter((page) => page.isBranch)
      expect(branches.length).toBeGreaterThan(3)
      for (const { id, elements } of branches.slice(0, 4)) {
        for (const target of [id, branches[0]!.id]) {
          const bytes = Buffer.from(good)
          bytes.writeBigUInt64LE(BigInt(target), elements[1]! + 8)
          await writeFile(damagedOnPurpose(path), bytes)
          const codes = await useDamaged(path)
          expect(codes).toContain('reported')
          expect(codes).toContain('ERR_CORRUPT')
        }
      }
      expect(openFilesIn(directory)).toEqual([])
    }))

  test('bbolt #701: a bucket that is reached by many paths, or holds itself, ends every walk', () =>
    inDirectory(async (directory) => {
      const path = join(directory, 'data.db')
      const db = await open(path, smallPages)
      let bucket = db.bucket('x')
      for (let depth = 0; depth < 40; depth++) {
        for (const name of ['x', 'y']) void bucket.bucket(name).put('fill', Buffer.alloc(400))
        bucket = bucket.bucket('x')
      }
      await db.close()
      const good = await readFile(path)
      const leaves = pagesInUse(good).map(({ elements }) =>
        elements.filter((at) => good.readUInt32LE(at) === 1),
      )
      const rootAt = (at: number): number =>
        at + good.readUInt32LE(at + 4) + good.readUInt32LE(at + 8)
      const [shared, circular] = [Buffer.from(good), Buffer.from(good)]
      for (const [x, y] of leaves) {
        if (x === undefined || y === undefined) continue
        // 2 ** 40 paths through 40 pages; and a page that is inside itself.
        shared.copy(shared, rootAt(y), rootAt(x), rootAt(x) + 8)
        circular.writeBigUInt64LE(BigInt(Math.floor(x / 1024)), rootAt(x))
      }
      for (const bytes of [shared, circular]) {
        await writeFile(path, bytes)
        const damaged = await open(path)
        expect((await damaged.check()).ok).toBe(false)
        // Who holds itself is nested deeper than handles can be.
        await expectRefusal(['ERR_CORRUPT', 'ERR_INVALID_ARGUMENT'], () => damaged.hash())
        await expectRefusal('ERR_CORRUPT', () => damaged.defrag())
        await damaged.close()
      }
      await writeFile(path, good)
      await verifyFile(path)
    }))

  test('bbolt #576: no header or element that lies reaches beyond its page', () =>
    inDirectory(async (directory) => {
      const { path, good } = await makeClosed(directory, 300)
      const pages = pagesInUse(good)
      const victims = [pages[0]!, pages.find((page) => page.isBranch)!, pages.at(-1)!]
      for (const { offset, elements } of victims) {
        // [offset, bytes]: id, flags, count and overflow of the page; fields of two elements.
        const fields = [
          [offset, 8],
          [offset + 8, 2],
          [offset + 10, 2],
          [offset + 12, 4],
          ...[elements[0]!, elements.at(-1)!].flatMap((at) => [
            [at + 4, 4],
            [at + 8, 4],
            [at + 12, 4],
          ]),
        ] as [number, number][]
        for (const [at, size] of fields) {
          for (const fillByte of [0xff, 0x7f]) {
            const bytes = Buffer.from(good)
            bytes.fill(fillByte, at, at + size)
            await writeFile(damagedOnPurpose(path), bytes)
            const codes = await useDamaged(path)
            expect(codes, `${size} bytes at ${at} set to ${fillByte}`).not.toEqual([])
            expect(codes).not.toContain('ERR_INTERNAL')
            await Promise.all(leftovers(path).map((name) => truncate(join(directory, name))))
          }
        }
      }
      expect(openFilesIn(directory)).toEqual([])
    }))

  test('bbolt #562: a file whose growth was lost is refused, at every sector of it', () =>
    inDirectory(async (directory) => {
      const { path, good, hash } = await makeClosed(directory, 700)
      expect(good.length).toBeGreaterThan(48 << 10)
      for (let length = 512; length <= good.length; length += 512) {
        await writeFile(path, good.subarray(0, length))
        if (length === good.length) break
        for (const readOnly of [false, true]) {
          const codes = ['ERR_TRUNCATED', 'ERR_NOT_A_DATABASE'] as const
          await expectRefusal(codes, () => open(path, { readOnly }))
        }
      }
      await verifyFile(path, hash)
    }))
})

describe('free pages', () => {
  test('bbolt #446: the state before the newest keeps its freelist page', () =>
    inDirectory(async (directory) => {
      const path = join(directory, 'data.db')
      /** The newest meta is torn: what it was before the newest commit is whole, and goes on. */
      const expectWholeWithoutNewest = async (hash: string): Promise<void> => {
        const torn = join(directory, 'torn.db')
        await copyFile(path, torn)
        const [zero, one] = await readMetas(torn)
        await flipByte(torn, (zero.txid > one.txid ? 0 : 1024) + metaOffset + 56)
        expect(await verifyFile(torn)).toBe(hash)
        const older = await open(torn)
        for (let n = 0; n < 300; n++) void older.bucket('b').put(`k${n}`, 'torn')
        await older.close()
        await verifyFile(torn)
      }
      for (let life = 0; life < 6; life++) {
        const db = await open(path, smallPages)
        for (let n = 0; n < 300; n++) void db.bucket('b').put(`k${n}`, `${life} `.repeat(20))
        for (let n = life; n < 300; n += 3) void db.bucket('b').delete(`k${n}`)
        await db.close() // stores its free pages
        let hash = await verifyFile(path)
        const next = await open(path)
        for (let commits = 0; commits < 3; commits++) {
          // The first gives up the freelist page, the others may use what was freed.
          for (let n = 0; n < 90; n++) void next.bucket('b').put(`k${n}`, `${commits} `.repeat(20))
          await next.checkpoint()
          await expectWholeWithoutNewest(hash)
          hash = await next.hash()
        }
        await next.close()
      }
    }))

  test('bbolt #778: no page is free and in use, whatever readers and crashes there are', () =>
    inDirectory(async (directory) => {
      const random = randomFrom(778)
      const path = join(directory, 'data.db')
      let db = await open(path, smallPages)
      let readers = [{ snapshot: db.snapshot(), hash: await db.hash() }]
      const endReader = (index: number): void => {
        const [reader] = readers.splice(index, 1)
        expect(hashOf(reader!.snapshot)).toBe(reader!.hash)
        reader!.snapshot.close()
      }
      for (let round = 0; round < 60; round++) {
        const from = random(400)
        for (let n = from; n < from + 60; n++) {
          if (random(3) === 0) void db.bucket('b').delete(`k${n}`)
          else void db.bucket('b').put(`k${n}`, Buffer.alloc(random(40) === 0 ? 3000 : 60, round))
        }
        await db.checkpoint()
        expect((await db.check()).issues).toEqual([])
        if (random(2) === 0) readers.push({ snapshot: db.snapshot(), hash: await db.hash() })
        if (readers.length > 0 && random(3) === 0) endReader(random(readers.length))
        if (round % 12 === 5) {
          const crashed = await open(await copyAsCrashed(db, join(directory, `crash ${round}`)))
          expect(await crashed.hash()).toBe(await db.hash())
          void crashed.bucket('b').put('k', 'v')
          await crashed.close()
          await verifyFile(crashed.path)
        }
        if (round % 20 !== 19) continue
        while (readers.length > 0) endReader(0)
        await db.close()
        db = await open(path)
        readers = []
      }
      while (readers.length > 0) endReader(0)
      const hash = await db.hash()
      await db.close()
      await verifyFile(path, hash)
    }))

  test('boltdb #348: a freelist of more than 65,535 pages is stored, read and used', () =>
    inDirectory(async (directory) => {
      const path = join(directory, 'data.db')
      const db = await open(path, { pageSize: 1024 })
      await db.bucket('b').put('kept', 'v')
      const value = Buffer.alloc(2 << 20, 'x')
      for (let n = 0; n < 33; n++) void db.bucket('b').put(`large ${n}`, value)
      await db.checkpoint()
      for (let n = 0; n < 33; n++) void db.bucket('b').delete(`large ${n}`)
      const hash = await db.hash()
      await db.close()
      await verifyFile(path, hash)
      const again = await open(path)
      expect(again.stats().freelistLoaded).toBe(false)
      const sizes = new Set<number>()
      for (let n = 0; n < 8; n++) {
        void again.bucket('b').put(`after ${n}`, value)
        await again.checkpoint()
        sizes.add(again.stats().sizeBytes)
      }
      const { freePages, pendingPages } = again.stats()
      expect(freePages + pendingPages).toBeGreaterThan(40_000)
      // The first could not use what the commit before had freed; the others did.
      expect(sizes.size).toBe(1)
      await again.close()
      await verifyFile(path)
    }))
})

describe('opening and closing that fails', () => {
  test('bbolt #439: whatever fails in open or close, the lock is released', () =>
    inDirectory(async (directory) => {
      const { path, good } = await makeClosed(directory, 300)
      // Opened, and refused half-way: by its metas, then by its freelist when it is written.
      const damaged = [good.subarray(0, 3000), Buffer.alloc(9000), Buffer.from(good)]
      const metas = await readMetas(path)
      const { freelist } = metas.toSorted((x, y) => y.txid - x.txid)[0]!
      damaged[2]!.fill(0xee, Number(freelist) * 1024, Number(freelist) * 1024 + 64)
      for (const bytes of damaged) {
        await writeFile(path, bytes)
        const error = await errorOf(async () => {
          const opened = await open(path)
          await opened.bucket('b').put('k', 'v')
          await opened.close()
        })
        expect(error).toBeInstanceOf(HotboltError)
        expect(openFilesIn(directory)).toEqual([])
        await Promise.all(leftovers(path).map((name) => truncate(join(directory, name))))
        await writeFile(path, good)
        await (await open(path)).close()
      }
      await verifyFile(path)
    }))

  test('bbolt #439: a close that cannot commit releases its file and keeps its journal', () =>
    inDirectory(async (directory) => {
      const { path, good } = await makeClosed(directory, 300)
      const again = await open(path, untimed)
      await again.bucket('b').put('k1', 'acknowledged')
      const damaged = Buffer.from(good)
      for (const { offset } of pagesInUse(good)) damaged.fill(0xee, offset, offset + 16)
      await writeFile(path, damaged, { flag: 'r+' })
      expect(await codeOf(() => again.close())).toBe('ERR_CORRUPT')
      expect(openFilesIn(directory)).toEqual([])
      await writeFile(path, good, { flag: 'r+' })
      const repaired = await open(path)
      expect(String(repaired.bucket('b').get('k1'))).toBe('acknowledged')
      const hash = await repaired.hash()
      await repaired.close()
      await verifyFile(path, hash)
    }))
})

describe('reading and writing', () => {
  test(
    'bbolt #931: a value of more than 65,535 overflow pages is written, read, copied and deleted',
    withDatabase(
      async ({ db }) => {
        const value = Buffer.alloc(66 << 20, 'large ')
        value.write('the end', value.length - 7)
        await db.bucket('b').put('large', value)
        await db.bucket('b').put('m', 'small')
        expect(db.bucket('b').get('large')?.equals(value)).toBe(true)
        await db.defrag()
        expect(db.bucket('b').get('large')?.equals(value)).toBe(true)
        expect((await db.check()).issues).toEqual([])
        const [[key, found] = []] = [...db.bucket('b').range({ limit: 1 })]
        expect([String(key), found?.equals(value)]).toEqual(['large', true])
        await db.bucket('b').delete('large')
        await db.defrag()
        expect(db.stats().sizeBytes).toBeLessThan(1 << 20)
      },
      { pageSize: 1024 },
    ),
  )

  test(
    'bbolt #1172: a bucket that has lost all its keys is counted, listed and audited',
    withDatabase(async ({ db }) => {
      await fill(db, 3000)
      for (const commit of [() => db.flush(), () => db.checkpoint(), () => db.defrag()]) {
        for (let n = 0; n < 3000; n++) void db.bucket('b').delete(`k${n}`)
        await commit()
        expect(db.bucket('b').exists).toBe(true)
        expect([db.bucket('b').count(), [...db.bucket('b').range()]]).toEqual([0, []])
        expect((await db.check()).issues).toEqual([])
        expect(db.stats().sizeInUseBytes).toBeGreaterThan(0)
      }
      await fill(db, 10)
      expect(db.bucket('b').count()).toBe(10)
    }, smallPages),
  )

  test(
    'bbolt #341: the last key is found when the pages behind it have been emptied',
    withDatabase(async ({ db }) => {
      await fill(db, 1000)
      const bucket = db.bucket('b', { key: 'utf8' })
      const keys = [...bucket.keys()]
      const last = (): string[] => [...bucket.keys({ reverse: true, limit: 1 })]
      await db.update((tx) => {
        const inside = tx.bucket('b', { key: 'utf8' })
        for (const key of keys.slice(300)) inside.delete(key)
        expect([...inside.keys({ reverse: true, limit: 1 })]).toEqual([keys[299]])
        expect([...inside.keys({ lt: 'zzz', reverse: true, limit: 1 })]).toEqual([keys[299]])
      })
      expect(last()).toEqual([keys[299]])
      await db.checkpoint()
      expect(last()).toEqual([keys[299]])
      for (const key of keys.slice(1, 300)) void bucket.delete(key)
      expect(last()).toEqual([keys[0]])
      expect([...bucket.keys({ limit: 2 })]).toEqual([keys[0]])
    }, smallPages),
  )

  test(
    'bbolt #611: deleting each key of an iteration skips none of them',
    withDatabase(async ({ db }) => {
      for (const commits of [true, false]) {
        await fill(db, 500)
        if (!commits) for (let n = 0; n < 500; n += 2) void db.bucket('b').put(`k${n}`, 'newer')
        let seen = 0
        for (const key of db.bucket('b').keys()) {
          void db.bucket('b').delete(key)
          seen++
        }
        expect([seen, db.bucket('b').count()]).toEqual([500, 0])
      }
      await fill(db, 500)
      await db.update((tx) => {
        const bucket = tx.bucket('b')
        let seen = 0
        for (const [key, value] of bucket.range({ reverse: true })) {
          bucket.delete(key)
          bucket.put(`z${String(key)}`, value)
          seen++
        }
        expect([seen, bucket.count({ prefix: 'k' }), bucket.count()]).toEqual([500, 0, 500])
      })
    }, smallPages),
  )

  test(
    'bbolt #639: a key or name that is changed after the call changes nothing in the database',
    withDatabase(async ({ db }) => {
      const [name, key, value] = [Buffer.from('bucket'), Buffer.from('key 1'), Buffer.from('v1')]
      await db.update((tx) => {
        tx.createBucket(name)
        const bucket = tx.bucket(name)
        bucket.put(key, value)
        for (const bytes of [name, key, value]) bytes.fill('!')
        bucket.put(Buffer.from('key 2'), 'v2')
      })
      const handle = db.bucket('bucket', { key: 'utf8', value: 'utf8' })
      await db.checkpoint()
      expect(db.buckets({ key: 'utf8' })).toEqual(['bucket'])
      expect([...handle.range()]).toEqual([
        ['key 1', 'v1'],
        ['key 2', 'v2'],
      ])
      // Nor what a read gave, which bbolt hands out of its mapping.
      for (const [found, bytes] of db.bucket('bucket').range()) {
        found.fill('!')
        bytes.fill('!')
      }
      expect(handle.get('key 1')).toBe('v1')
    }),
  )
})
