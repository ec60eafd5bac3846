// A snapshot shows one state, whatever happens to the database meanwhile, until it is closed.

import { describe, expect, test } from 'vitest'
import type { Database, Snapshot } from '../../lib/index.ts'
import { hashOf } from '../support/model.ts'
import {
  codeOf,
  holdDefragAt,
  smallPages,
  untimed,
  withDatabase,
} from '../support/with-database.ts'
import { testIf } from '../support/tools.ts'

const count = 400

/** In the page file and in memory; nested, inline, with a sequence and an overflow run. */
async function fill(db: Database): Promise<void> {
  const bucket = db.bucket('b')
  for (let n = 0; n < count; n++) void bucket.put(`k${n}`, `value ${n}`)
  void db.bucket('outer').bucket('inner').put('k', 'v'.repeat(5000))
  void db.bucket('outer').setSequence(3n)
  await db.checkpoint()
  for (let n = 0; n < count; n += 3) void bucket.put(`k${n}`, 'newer')
  for (let n = 1; n < count; n += 3) void bucket.delete(`k${n}`)
  await db.flush()
}

const events: [string, (db: Database) => unknown][] = [
  [
    'overwriting everything',
    (db) => {
      for (let n = 0; n < count; n++) void db.bucket('b').put(`k${n}`, 'overwritten')
    },
  ],
  [
    'deleting every key',
    (db) => {
      for (const key of db.bucket('b').keys()) void db.bucket('b').delete(key)
    },
  ],
  ['deleting a bucket', (db) => db.deleteBucket('b')],
  [
    'deleting a bucket and making it again',
    (db) => {
      void db.deleteBucket('outer')
      return db.bucket('outer').bucket('inner').put('k', 'other')
    },
  ],
  ['a sequence', (db) => db.bucket('outer').setSequence(9n)],
  ['a new bucket', (db) => db.bucket('new').bucket('inner').put('k', 'v')],
  ['an update', (db) => db.update((tx) => tx.bucket('b').put('k0', 'updated'))],
  ['a checkpoint', (db) => db.checkpoint()],
  ['a defragmentation', (db) => db.defrag()],
]

async function causeAll(db: Database, snapshot: Snapshot, hash: string): Promise<void> {
  for (const [what, happens] of events) {
    await happens(db)
    expect(hashOf(snapshot), `after ${what}`).toBe(hash)
    await db.checkpoint()
    expect(hashOf(snapshot), `after ${what} and a checkpoint`).toBe(hash)
  }
}

describe('a snapshot', () => {
  test.each(events)('does not notice %s', (_, happens) =>
    withDatabase(async ({ db }) => {
      await fill(db)
      const hash = await db.hash()
      using snapshot = db.snapshot()
      expect(hashOf(snapshot)).toBe(hash)
      await happens(db)
      expect(hashOf(snapshot)).toBe(hash)
      await db.checkpoint()
      expect(hashOf(snapshot)).toBe(hash)
    }, smallPages)(),
  )

  test(
    'notices nothing of all that in a row, over a hundred transactions of reused pages',
    withDatabase(async ({ db }) => {
      await fill(db)
      const hash = await db.hash()
      using snapshot = db.snapshot()
      await causeAll(db, snapshot, hash)
      for (let round = 0; round < 100; round++) {
        for (let n = 0; n < 20; n++) void db.bucket('b').put(`k${n}`, `${round} `.repeat(20))
        await db.checkpoint()
      }
      expect(hashOf(snapshot)).toBe(hash)
    }, smallPages),
  )

  test(
    'taken at every step shows that step, also when older ones are closed first or last',
    withDatabase(async ({ db }) => {
      const held: { snapshot: Snapshot; hash: string }[] = []
      for (let step = 0; step < 30; step++) {
        for (let n = 0; n < 40; n++) void db.bucket('b').put(`k${(n * 7 + step) % 60}`, `${step}`)
        void db.bucket('b').delete(`k${step}`)
        if (step % 5 === 0) await db.checkpoint()
        held.push({ snapshot: db.snapshot(), hash: await db.hash() })
      }
      expect(db.stats().openSnapshots).toBe(30)
      for (const [index, { snapshot }] of held.entries()) if (index % 2 === 0) snapshot.close()
      await db.checkpoint()
      await db.defrag()
      for (const [index, { snapshot, hash }] of held.entries()) {
        if (index % 2 === 1) expect(hashOf(snapshot), `step ${index}`).toBe(hash)
        snapshot.close()
      }
      expect(db.stats().openSnapshots).toBe(0)
    }, smallPages),
  )

  test(
    'shows its state at every moment of a defragmentation',
    withDatabase(async ({ db }) => {
      await fill(db)
      const hash = await db.hash()
      using before = db.snapshot()
      const points = ['before-copy', 'after-copy', 'before-publish', 'after-install'] as const
      for (const point of points) {
        const held = holdDefragAt(db, point)
        await held.reached
        void db.bucket('b').put('k0', point)
        const during = await db.hash()
        using inside = db.snapshot()
        void db.bucket('b').put('k0', 'after')
        held.release()
        await held.report
        expect([hashOf(before), hashOf(inside)], point).toEqual([hash, during])
      }
    }, smallPages),
  )

  test(
    'refuses reads once it is closed, and may be closed twice',
    withDatabase(async ({ db }) => {
      await fill(db)
      const snapshot = db.snapshot()
      const bucket = snapshot.bucket('b')
      const iterator = bucket.keys()[Symbol.iterator]()
      iterator.next()
      snapshot.close()
      snapshot.close()
      const drain = (): void => {
        while (iterator.next().done !== true);
      }
      const calls = [
        () => snapshot.buckets(),
        () => bucket.get('k0'),
        () => bucket.has('k0'),
        () => bucket.count(),
        () => [...bucket.range()],
        () => bucket.sequence,
        () => bucket.exists,
        drain,
      ]
      for (const call of calls) expect(await codeOf(call), String(call)).toBe('ERR_CLOSED')
    }),
  )

  test(
    'keeps pages from being reused only as long as it is open',
    withDatabase(
      async ({ db }) => {
        const rewrite = async (): Promise<void> => {
          for (let n = 0; n < count; n++) void db.bucket('b').put(`k${n}`, 'v'.repeat(100))
          await db.checkpoint()
        }
        for (let round = 0; round < 5; round++) await rewrite()
        const settled = db.stats().sizeBytes
        const snapshot = db.snapshot()
        for (let round = 0; round < 5; round++) await rewrite()
        snapshot.close()
        const grown = db.stats().sizeBytes
        for (let round = 0; round < 20; round++) await rewrite()
        expect(db.stats().sizeBytes).toBe(grown)
        expect(settled).toBeLessThanOrEqual(grown)
      },
      { ...untimed, pageSize: 1024 },
    ),
  )
})

describe('view', () => {
  test(
    'gives what the callback gives, and closes its snapshot',
    withDatabase(async ({ db }) => {
      await db.bucket('b').put('k', 'v')
      let kept: Snapshot | undefined
      const found = db.view((snapshot) => {
        kept = snapshot
        void db.bucket('b').put('k', 'w')
        return snapshot.bucket('b', { value: 'utf8' }).get('k')
      })
      expect(found).toBe('v')
      expect(await codeOf(() => kept?.buckets())).toBe('ERR_CLOSED')
      expect(() =>
        db.view(() => {
          throw new Error('no')
        }),
      ).toThrow('no')
      expect(db.stats().openSnapshots).toBe(0)
    }),
  )

  test(
    'of an asynchronous callback keeps its snapshot until that settles',
    withDatabase(async ({ db }) => {
      await db.bucket('b').put('k', 'v')
      const found = await db.view(async (snapshot) => {
        await db.bucket('b').put('k', 'w')
        return snapshot.bucket('b', { value: 'utf8' }).get('k')
      })
      expect(found).toBe('v')
      await expect(db.view(() => Promise.reject(new Error('no')))).rejects.toThrow('no')
      expect(db.stats().openSnapshots).toBe(0)
    }),
  )
})

testIf(
  'gc',
  'a snapshot that is forgotten lets go when it is collected',
  withDatabase(async ({ db }) => {
    await fill(db)
    void hashOf(db.snapshot())
    const collected = async (): Promise<boolean> => {
      globalThis.gc?.()
      await new Promise((resolve) => {
        setImmediate(resolve)
      })
      return db.stats().openSnapshots === 0
    }
    for (let attempt = 0; attempt < 100; attempt++) if (await collected()) break
    expect(db.stats().openSnapshots).toBe(0)
  }),
)
