// Iterating inside an update: each iteration sees the state in which it began, whatever the update
// writes and reads meanwhile.

import { describe, expect, test } from 'vitest'
import type { Transaction, TransactionBucket } from '../../lib/index.ts'
import { smallPages, withDatabase } from '../support/with-database.ts'

type Bucket = TransactionBucket<string, string>

const bucketOf = (tx: Transaction): Bucket => tx.bucket('b', { key: 'utf8', value: 'utf8' })
const name = (n: number): string => `k${String(n).padStart(4, '0')}`

/** Where the entries are that an update iterates over. */
const places = ['the file', 'the memtable', 'the update', 'all of them'] as const

/** 200 entries k0000 to k0199 with the value 'old', in the given place, iterated in an update. */
function withEntries(
  place: (typeof places)[number],
  run: (bucket: Bucket, tx: Transaction) => void | Promise<void>,
): () => Promise<void> {
  return withDatabase(async ({ db }) => {
    const isIn = (n: number, where: number): boolean =>
      place === 'all of them' ? n % 3 === where : places.indexOf(place) === where
    const outside = db.bucket('b')
    for (let n = 0; n < 200; n++) if (isIn(n, 0)) void outside.put(name(n), 'old')
    await db.checkpoint()
    for (let n = 0; n < 200; n++) if (isIn(n, 1)) void outside.put(name(n), 'old')
    await db.update((tx) => {
      const bucket = bucketOf(tx)
      for (let n = 0; n < 200; n++) if (isIn(n, 2)) bucket.put(name(n), 'old')
      return run(bucket, tx)
    })
  }, smallPages)
}

const all = Array.from({ length: 200 }, (_, n): [string, string] => [name(n), 'old'])

describe.each(places)('entries in %s', (place) => {
  test.each([false, true])('are given as they were, reverse: %s', (reverse) =>
    withEntries(place, (bucket) => {
      const seen: [string, string][] = []
      let n = 0
      for (const entry of bucket.range({ reverse })) {
        seen.push(entry)
        bucket.put(name(n++), 'new')
        bucket.put(`${entry[0]}x`, 'new')
        bucket.put(`a${n}`, 'new')
        bucket.put(`z${n}`, 'new')
        bucket.delete(name(199 - n))
        // Replays what was written into what is read.
        expect(bucket.get(`a${n}`)).toBe('new')
        expect(bucket.count()).toBeGreaterThan(0)
      }
      expect(seen).toEqual(reverse ? all.toReversed() : all)
    })(),
  )

  test(
    'are given as they were through next(), keys(), values() and for await, side by side',
    withEntries(place, async (bucket) => {
      const iterator = bucket.range()[Symbol.iterator]()
      const first = iterator.next()
      const keys = bucket.keys()[Symbol.iterator]()
      for (let n = 0; n < 200; n += 2) bucket.delete(name(n))
      const values = bucket.values({ reverse: true })[Symbol.iterator]()
      expect(bucket.count()).toBe(100)
      for (let n = 0; n < 200; n++) bucket.put(name(n), 'new')
      expect([first.value, ...iterator]).toEqual(all)
      expect([...keys]).toEqual(all.map(([key]) => key))
      expect([...values]).toEqual(Array.from({ length: 100 }, () => 'old'))
      const seen: string[] = []
      for await (const [key, value] of bucket.range()) {
        seen.push(value)
        bucket.put(`${key}y`, 'newer')
        bucket.put(key, 'newer')
      }
      expect(seen).toEqual(Array.from({ length: 200 }, () => 'new'))
      expect(bucket.count()).toBe(400)
    }),
  )

  test(
    'are given though their bucket is deleted and made again meanwhile',
    withEntries(place, (bucket, tx) => {
      const seen: [string, string][] = []
      for (const entry of bucket.range()) {
        seen.push(entry)
        if (seen.length === 5) tx.deleteBucket('b')
        if (seen.length === 6) expect([bucket.exists, bucket.count()]).toEqual([false, 0])
        if (seen.length === 7) bucket.put('k0190', 'new')
        if (seen.length === 8) expect([...bucket.keys()]).toEqual(['k0190'])
      }
      expect(seen).toEqual(all)
      expect([...bucket.range()]).toEqual([['k0190', 'new']])
    }),
  )
})

test(
  'an iteration that writes what it iterates over ends',
  withDatabase(async ({ db }) => {
    for (let n = 0; n < 20; n++) void db.bucket('b').put(name(n), 'old')
    await db.update((tx) => {
      const bucket = bucketOf(tx)
      bucket.put(name(0), 'mine')
      let entries = 0
      for (const [key] of bucket.range()) {
        expect(++entries).toBeLessThanOrEqual(20)
        for (let n = 0; n < 20; n++) bucket.put(`${key}-${n}`, 'new')
        bucket.get(key)
      }
      expect([entries, bucket.count()]).toEqual([20, 420])
    })
  }),
)

test(
  'buckets that are made and deleted while buckets are iterated over',
  withDatabase(async ({ db }) => {
    for (let n = 0; n < 40; n++) void db.bucket('b').bucket(name(n)).put('k', 'v')
    await db.update((tx) => {
      const bucket = bucketOf(tx)
      const inner = bucket.bucket(name(30), { value: 'utf8' })
      const open = inner.range()[Symbol.iterator]()
      for (const each of bucket.buckets()) {
        bucket.bucket(`${each}-made`).put('k', 'v')
        bucket.deleteBucket(each)
      }
      expect(open.next().value).toEqual([Buffer.from('k'), 'v'])
      expect(inner.exists).toBe(false)
      expect(bucket.buckets()).toEqual(Array.from({ length: 40 }, (_, n) => `${name(n)}-made`))
    })
  }, smallPages),
)

test(
  'a bucket that is made under an open iteration over nothing stays nothing to it',
  withDatabase(async ({ db }) => {
    await db.update((tx) => {
      const missing = tx.bucket('missing')
      const iterator = missing.bucket('inner').range()[Symbol.iterator]()
      missing.bucket('inner').put('k', 'v')
      expect(missing.bucket('inner').count()).toBe(1)
      expect(iterator.next().done).toBe(true)
    })
  }),
)
