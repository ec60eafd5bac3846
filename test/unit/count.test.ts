// What is counted, at once or on a thread, is what an iteration finds: in memory, in the page file,
// and where both have a say.

import { AsyncResource } from 'node:async_hooks'
import { expect, test } from 'vitest'
import type { Bucket, Database, RangeOptions } from '../../lib/index.ts'
import { smallPages, withDatabase } from '../support/with-database.ts'

const key = (n: number): string => `k${String(n).padStart(4, '0')}`

type CountBounds = Pick<RangeOptions, 'gt' | 'gte' | 'lt' | 'lte' | 'prefix'>

const boundsToTry: CountBounds[] = [
  {},
  { gte: key(100) },
  { gt: key(100) },
  { lt: key(300) },
  { lte: key(300) },
  { gte: key(299), lte: key(301) },
  { gt: key(250), lt: key(251) },
  { prefix: 'k01' },
  { gte: 'zz' },
  { lt: 'a' },
]

async function expectSameCounts(bucket: Bucket): Promise<void> {
  for (const bounds of boundsToTry) {
    const found = [...bucket.keys(bounds)].length
    expect(bucket.count(bounds), JSON.stringify(bounds)).toBe(found)
    expect(await bucket.countAsync(bounds), JSON.stringify(bounds)).toBe(found)
  }
}

async function change(db: Database, step: number): Promise<void> {
  const bucket = db.bucket('b')
  for (let n = step; n < 600; n += 7 * step) void bucket.put(key(n), 'v'.repeat(n % 90))
  for (let n = step; n < 600; n += 11 * step) void bucket.delete(key(n))
  for (let n = 0; n < 5; n++) void bucket.bucket(`k03${step}${n} inside`).put('k', 'v')
  await db.flush()
}

test(
  'a count is the number of keys that an iteration finds',
  withDatabase(async ({ db }) => {
    const bucket = db.bucket('b')
    await expectSameCounts(bucket)
    for (let step = 1; step < 6; step++) {
      await change(db, step)
      await expectSameCounts(bucket)
      const snapshot = db.snapshot()
      const before = snapshot.bucket('b').count()
      for (let n = 0; n < 50; n++) void bucket.put(`${key(step * 10)} ${n}`, 'new')
      await expectSameCounts(bucket)
      expect(snapshot.bucket('b').count()).toBe(before)
      snapshot.close()
      await db.checkpoint()
      await expectSameCounts(bucket)
    }
    await db.update((tx) => {
      for (let n = 0; n < 300; n += 2) tx.bucket('b').delete(key(n))
      const inside = tx.bucket('b')
      for (const bounds of boundsToTry) {
        expect(inside.count(bounds)).toBe([...inside.keys(bounds)].length)
      }
    })
  }, smallPages),
)

test(
  'a count on a thread sees what was written before it, and nothing later',
  withDatabase(async ({ db }) => {
    const bucket = db.bucket('b')
    for (let n = 0; n < 100; n++) void bucket.put(key(n), 'v')
    const counting = bucket.countAsync()
    for (let n = 100; n < 200; n++) void bucket.put(key(n), 'v')
    expect(await counting).toBe(100)
    expect(await bucket.countAsync()).toBe(200)
    expect(await db.bucket('missing').countAsync()).toBe(0)
  }),
)

/** How many turns the event loop has meanwhile. */
async function turnsDuring(work: () => Promise<void>): Promise<number> {
  let turns = 0
  let done = false
  const turn = (): void => {
    turns++
    if (!done) setImmediate(turn)
  }
  setImmediate(turn)
  await work()
  done = true
  return turns
}

test(
  'names of buckets can be iterated over, with turns of the event loop between',
  withDatabase(async ({ db }) => {
    for (let n = 0; n < 3000; n++) void db.bucket(key(n)).put('k', 'v')
    await db.flush()
    const names: string[] = []
    const turns = await turnsDuring(async () => {
      for await (const name of db.bucketNames({ key: 'utf8' })) names.push(name)
    })
    expect(turns).toBeGreaterThan(2)
    expect(names).toEqual(db.buckets({ key: 'utf8' }))
    expect(names.length).toBe(3000)
    expect([...db.bucket(key(1)).bucketNames()]).toEqual([])
  }),
)

test(
  'keys among names of buckets are passed over in pieces, and read as such by a transaction',
  withDatabase(async ({ db }) => {
    const bucket = db.bucket('b')
    for (let n = 0; n < 20_000; n++) void bucket.put(`key ${n}`, 'v')
    await bucket.bucket('last').put('k', 'v')
    const names: string[] = []
    const turns = await turnsDuring(async () => {
      for await (const name of bucket.bucketNames()) names.push(String(name))
    })
    expect(names).toEqual(['last'])
    expect(turns).toBeGreaterThan(4)
    expect(bucket.buckets().map(String)).toEqual(['last'])
    const makeBucket = AsyncResource.bind(() => bucket.bucket('key 1 and more').put('k', 'v'))
    let runs = 0
    await db.update(async (tx) => {
      const found: string[] = []
      for await (const name of tx.bucket('b').bucketNames()) found.push(String(name))
      // Among what was passed over when nothing had been found yet.
      if (runs++ === 0) await makeBucket()
      else expect(found).toEqual(['key 1 and more', 'last'])
    })
    expect(runs).toBe(2)
  }),
)
