// The ledger, rows 39 to 43: what went wrong in classic-level and leveldown, better-sqlite3 and
// node-sqlite3, redb, and Node itself. See README.md in this folder.

import { appendFile, copyFile, readFile, stat, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { open } from '../../lib/index.ts'
import { pagesInUse } from '../support/pages.ts'
import { expectRefusal } from '../support/refusal.ts'
import { testIf } from '../support/tools.ts'
import {
  codeOf,
  damagedOnPurpose,
  inDirectory,
  leftovers,
  openFilesIn,
  smallPages,
  verifyFile,
  withDatabase,
} from '../support/with-database.ts'
import { endThreads } from './threads.ts'

describe('closing over open iterators', () => {
  testIf(
    'gc',
    'leveldown #157: a close ends with puts and iterators pending, and they with it',
    () =>
      inDirectory(async (directory) => {
        const path = join(directory, 'data.db')
        for (let round = 0; round < 5; round++) {
          const db = await open(path)
          for (let n = 0; n < 5000; n++) void db.bucket('b').put(`k${n}`, `${round}`)
          const snapshot = db.snapshot()
          const iterators = [db.bucket('b'), snapshot.bucket('b')].map((bucket) =>
            bucket.range()[Symbol.iterator](),
          )
          for (const iterator of iterators) iterator.next()
          // Others are garbage when the close meets them, or while it runs.
          for (let n = 0; n < 200; n++) db.bucket('b').keys()[Symbol.iterator]().next()
          const asynchronous = db.bucket('b').keys()[Symbol.asyncIterator]()
          await asynchronous.next()
          const last = db.bucket('b').put('last', `${round}`)
          const closed = db.close()
          globalThis.gc!()
          for (const iterator of iterators) {
            expect(await codeOf(() => [...{ [Symbol.iterator]: () => iterator }])).toBe(
              'ERR_CLOSED',
            )
          }
          await Promise.all([last, closed])
          expect(
            await codeOf(async () => {
              while ((await asynchronous.next()).done !== true);
            }),
          ).toBe('ERR_CLOSED')
          for (const iterator of iterators) expect(iterator.return?.().done).toBe(true)
          snapshot.close()
          globalThis.gc!()
          expect(openFilesIn(directory)).toEqual([])
        }
        const db = await open(path)
        expect([db.bucket('b').count(), String(db.bucket('b').get('last'))]).toEqual([5001, '4'])
        await db.close()
        await verifyFile(path)
      }),
  )

  test('leveldown #589: an open that is not awaited, or fails, leaves nothing to close', () =>
    inDirectory(async (directory) => {
      const path = join(directory, 'data.db')
      const opening = Array.from({ length: 5 }, () => open(path).then((db) => db.close()))
      const outcomes = await Promise.allSettled(opening)
      expect(outcomes.some(({ status }) => status === 'fulfilled')).toBe(true)
      for (const outcome of outcomes) {
        if (outcome.status === 'rejected') expect(outcome.reason.code).toBe('ERR_LOCKED')
      }
      expect(openFilesIn(directory)).toEqual([])
      expect(leftovers(path)).toEqual([])
      await verifyFile(path)
    }))
})

describe('threads that end', () => {
  test('better-sqlite3 #1476: finalizers may run after their thread has ended', () =>
    inDirectory(async (directory) => {
      // The process's main thread never loads the addon: it goes with the last thread that did.
      const path = join(directory, 'data.db')
      await endThreads(path, 'leaking', 10)
      const db = await open(path)
      expect(db.bucket('b').get('k')?.length).toBe(100_000)
      await db.close()
      await verifyFile(path)
    }))

  test('node-sqlite3 #1666: a thread that is busy in native code can be terminated', () =>
    inDirectory(async (directory) => {
      const path = join(directory, 'data.db')
      await endThreads(path, 'counting', 10, 'terminate')
      await (await open(path)).close()
      await verifyFile(path)
    }))

  test('Node #55706: acknowledgements on their way to a thread that ends are dropped', () =>
    inDirectory(async (directory) => {
      const path = join(directory, 'data.db')
      await endThreads(path, 'exiting', 20)
      const db = await open(path)
      expect(db.bucket('b').count()).toBeGreaterThanOrEqual(500)
      await db.close()
      await verifyFile(path)
    }))
})

describe('files of the wrong length', () => {
  async function makeDatabase(path: string): Promise<string> {
    const db = await open(path, smallPages)
    for (let n = 0; n < 500; n++) void db.bucket('b').put(`k${n}`, `value ${n}`)
    await db.checkpoint()
    const hash = await db.hash()
    await db.close()
    return hash
  }

  test('redb: a file that somebody has made longer opens, is used and copied', () =>
    inDirectory(async (directory) => {
      const path = join(directory, 'data.db')
      const hash = await makeDatabase(path)
      const good = await readFile(path)
      for (const extra of [1, 511, 512, 1023, 1024, 1025, 4095, 70_000]) {
        for (const byte of [0, 0xff]) {
          await writeFile(path, good)
          await appendFile(path, Buffer.alloc(extra, byte))
          const reader = await open(path, { readOnly: true })
          expect(await reader.hash()).toBe(hash)
          await reader.close()
          const db = await open(path)
          expect((await db.check()).issues).toEqual([])
          for (let n = 0; n < 200; n++) void db.bucket('b').put(`new ${n}`, Buffer.alloc(500))
          await db.checkpoint()
          if (byte === 0) await db.defrag()
          for (let n = 0; n < 200; n++) void db.bucket('b').delete(`new ${n}`)
          expect(await db.hash()).toBe(hash)
          await db.close()
          expect((await stat(path)).size % 1024).toBe(0)
        }
        await verifyFile(path, hash)
      }
    }))

  test('redb: a file that was left longer than its newest commit opens with all of that', () =>
    inDirectory(async (directory) => {
      const path = join(directory, 'data.db')
      const hash = await makeDatabase(path)
      const good = await readFile(path)
      // Grown for a commit whose pages, but not whose meta, have reached the disk; and not at all.
      const db = await open(path)
      for (let n = 0; n < 2000; n++) void db.bucket('b').put(`new ${n}`, Buffer.alloc(300, 'x'))
      await db.checkpoint()
      const grown = join(directory, 'grown.db')
      await copyFile(path, grown)
      await db.close()
      const bytes = await readFile(grown)
      expect(bytes.length).toBeGreaterThan(4 * good.length)
      good.copy(bytes, 0, 0, 2048) // the metas from before
      await writeFile(grown, bytes)
      await verifyFile(grown, hash)
      await truncate(grown, good.length)
      await verifyFile(grown, hash)
      const again = await open(grown)
      void again.bucket('b').put('after', 'v')
      await again.close()
      await verifyFile(grown)
    }))
})

describe('damage', () => {
  test('redb: a subtree that cannot be read ends every read of it with an error', () =>
    inDirectory(async (directory) => {
      const path = join(directory, 'data.db')
      const db = await open(path, smallPages)
      for (let n = 1000; n < 3000; n++) void db.bucket('b').put(`k${n}`, `value ${n}`)
      await db.close()
      const good = await readFile(path)
      const inUse = pagesInUse(good)
      const branch = inUse.findLast((page) => page.isBranch)!
      const leaf = inUse.at(-2)!
      const key = (at: number): string => {
        const start = at + good.readUInt32LE(at + 4)
        return String(good.subarray(start, start + good.readUInt32LE(at + 8)))
      }
      for (const page of [branch, leaf]) {
        const bytes = Buffer.from(good)
        bytes.fill(0, page.offset, page.offset + 16)
        await writeFile(damagedOnPurpose(path), bytes)
        const damaged = await open(path)
        const bucket = damaged.bucket('b', { key: 'utf8' })
        const reads: (() => unknown)[] = [
          () => [...bucket.range()],
          () => [...bucket.keys({ reverse: true })],
          () => [...bucket.values({ gte: 'k1500' })],
          () => bucket.count(),
          () => damaged.hash(),
          () => damaged.defrag(),
          ...(page === leaf ? [() => bucket.get(key(leaf.elements[0]!))] : []),
        ]
        for (const read of reads) await expectRefusal('ERR_CORRUPT', read)
        expect((await damaged.check()).ok).toBe(false)
        // What does not lead there is read as ever.
        expect(String(bucket.get('k1000'))).toBe('value 1000')
        expect(leftovers(path).filter((name) => name.includes('-defrag-'))).toEqual([])
        await damaged.close()
      }
    }))
})

describe('limits', () => {
  test(
    'redb: pages of 64 KiB take more small keys than a page can count, and split',
    withDatabase(
      async (context) => {
        const { db } = context
        await db.update((tx) => {
          for (let n = 0; n < 70_000; n++) {
            tx.bucket('b').put(Buffer.from([n >> 16, n >> 8, n]), '')
          }
        })
        await db.checkpoint()
        expect((await db.check()).issues).toEqual([])
        await db.defrag({ fillPercent: 1 })
        expect(db.bucket('b').count()).toBe(70_000)
        const again = await context.reopen()
        expect(again.bucket('b').get(Buffer.from([1, 0, 0]))?.length).toBe(0)
        const { depthMax, leafBytes } = await again.check()
        expect(depthMax).toBeGreaterThan(1)
        expect(leafBytes / 65_536).toBeGreaterThan(70_000 / 4095)
      },
      { pageSize: 65_536 },
    ),
  )
})
