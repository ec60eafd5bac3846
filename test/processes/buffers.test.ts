// What callers do to their buffers after and during a call changes nothing that was written, and
// what they do to results changes nothing that is read later.

import { cpSync } from 'node:fs'
import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import { describe, expect, test } from 'vitest'
import { open, type Bucket, type Database } from '../../lib/index.ts'
import { countOf } from '../support/tiers.ts'
import { expectRefusal } from '../support/refusal.ts'
import { codeOf, inDirectory, leftovers, withDatabase } from '../support/with-database.ts'

/** What is found in a copy of the database and its journal, as after a crash. */
async function afterCrash<T>(path: string, look: (db: Database) => T | Promise<T>): Promise<T> {
  return inDirectory(async (directory) => {
    cpSync(path, join(directory, 'data.db'))
    for (const name of leftovers(path)) cpSync(join(path, '..', name), join(directory, name))
    const db = await open(join(directory, 'data.db'))
    try {
      expect((await db.check()).issues).toEqual([])
      return await look(db)
    } finally {
      await db.close()
    }
  })
}

/** Another thread that writes to shared memory all the time, until it is terminated. */
async function scribbleOn(memory: SharedArrayBuffer): Promise<AsyncDisposable> {
  const source = `
    const { parentPort, workerData } = require('node:worker_threads')
    const bytes = new Uint8Array(workerData)
    parentPort.postMessage('scribbling')
    for (let round = 0; ; round++) bytes.fill(round & 255)`
  const worker = new Worker(source, { eval: true, workerData: memory })
  await new Promise((resolve) => worker.once('message', resolve))
  return {
    [Symbol.asyncDispose]: async () => {
      await worker.terminate()
    },
  }
}

/** Node 20 has them, its declarations do not. */
interface Resizable {
  resize(bytes: number): void
}
const ResizableBuffer = ArrayBuffer as unknown as new (
  bytes: number,
  options: { maxByteLength: number },
) => ArrayBuffer & Resizable

/** Ways to take a buffer away from under a call that has returned. */
const spoils: Record<string, (bytes: Uint8Array) => void> = {
  overwritten: (bytes) => bytes.fill(0xee),
  transferred: (bytes) => {
    structuredClone(bytes.buffer, { transfer: [bytes.buffer as ArrayBuffer] })
  },
}

/** Ways to write the same key and value. */
const writes: Record<
  string,
  (db: Database, bucket: Bucket, key: Uint8Array, value: Uint8Array) => Promise<unknown>
> = {
  put: (_db, bucket, key, value) => bucket.put(key, value),
  update: (db, _bucket, key, value) => db.update((tx) => tx.bucket('b').put(key, value)),
  'asynchronous update': (db, _bucket, key, value) =>
    db.update(async (tx) => {
      tx.bucket('b').put(key, value)
      await Promise.resolve()
    }),
}

describe.each(Object.keys(writes))('a key and a value given to %s', (write) => {
  test.each(Object.keys(spoils))('may be %s as soon as it has returned', (spoil) =>
    withDatabase(async ({ db, path }) => {
      const bucket = db.bucket('b')
      for (const size of [0, 1, 100, 5000, 70_000]) {
        // Never of Node's pool, which nobody may transfer.
        const key = new Uint8Array(Buffer.from(`key-${size}`))
        const value = new Uint8Array(size).fill(7)
        const written = writes[write]!(db, bucket, key, value)
        spoils[spoil]!(key)
        spoils[spoil]!(value)
        await written
        expect(bucket.get(`key-${size}`)?.equals(Buffer.alloc(size, 7)), `${size}`).toBe(true)
      }
      expect(await afterCrash(path, (copy) => copy.hash())).toBe(await db.hash())
    })(),
  )
})

test(
  'a value that another thread writes to is read once: a crash changes nothing of what was got',
  withDatabase(async ({ db, path }) => {
    const rounds = countOf({ short: 50, ci: 200, long: 4000 })
    const memory = new SharedArrayBuffer(60_000)
    const value = new Uint8Array(memory)
    const bucket = db.bucket('b')
    const got: Buffer[] = []
    {
      await using _ = await scribbleOn(memory)
      for (let n = 0; n < rounds; n++) {
        void bucket.put(`p${n}`, value)
        void db.update((tx) => tx.bucket('b').put(`u${n}`, value))
        got.push(bucket.get(`p${n}`)!, bucket.get(`u${n}`)!)
      }
      await db.flush()
    }
    // The writer did write meanwhile, or this has shown nothing.
    expect(new Set(got.map((bytes) => bytes[0])).size).toBeGreaterThan(3)
    const torn = await afterCrash(path, (copy) => {
      const found = copy.bucket('b')
      const pairs = got.map((bytes, index) => {
        const key = `${index % 2 === 0 ? 'p' : 'u'}${Math.floor(index / 2)}`
        return found.get(key)?.equals(bytes) === true
      })
      return pairs.filter((same) => !same).length
    })
    expect(torn, 'values that the journal has otherwise').toBe(0)
  }),
)

test(
  'keys, names and bounds that another thread writes to never disturb the order of keys',
  withDatabase(async ({ db, path }) => {
    const memory = new SharedArrayBuffer(4)
    const bytes = new Uint8Array(memory)
    const bucket = db.bucket('b')
    {
      await using _ = await scribbleOn(memory)
      for (let n = 0; n < 2000; n++) {
        void bucket.put(bytes, 'v')
        void bucket.bucket('inner').put(bytes, 'v')
        bucket.get(bytes)
        bucket.count({ gte: bytes, lt: bytes })
        if (n % 100 === 0) db.bucket(bytes).has('k')
      }
      await db.flush()
    }
    const keys = [...bucket.keys()]
    expect(keys).toEqual(keys.toSorted((left, right) => left.compare(right)))
    expect(keys.every((key) => bucket.has(key))).toBe(true)
    expect(await afterCrash(path, (copy) => [...copy.bucket('b').keys()])).toEqual(keys)
  }),
)

test(
  'views with offsets, of resizable memory, clamped and empty ones count as what they show',
  withDatabase(async ({ db }) => {
    const bucket = db.bucket('b')
    const memory = new Uint8Array(100).map((_, index) => index)
    await bucket.put('offset', memory.subarray(10, 20))
    expect(bucket.get('offset')).toEqual(Buffer.from(memory.subarray(10, 20)))
    await bucket.put(memory.subarray(97), 'by an offset key')
    expect(String(bucket.get(Buffer.from([97, 98, 99])))).toBe('by an offset key')
    await bucket.put('empty', new Uint8Array(new ArrayBuffer(0)))
    expect(bucket.get('empty')).toEqual(Buffer.alloc(0))

    const resizable = new ResizableBuffer(50, { maxByteLength: 200 })
    const tracking = new Uint8Array(resizable)
    const fixed = new Uint8Array(resizable, 20, 20)
    tracking.fill(1)
    await bucket.put('tracking', tracking)
    resizable.resize(200)
    await bucket.put('grown', tracking)
    resizable.resize(30)
    await bucket.put('shrunk', tracking)
    // It reaches beyond what is left of its memory, and counts as empty, as its length says.
    expect(fixed.length).toBe(0)
    await bucket.put('beyond', fixed)
    const sizes = ['tracking', 'grown', 'shrunk', 'beyond'].map((key) => bucket.get(key)?.length)
    expect(sizes).toEqual([50, 200, 30, 0])
    expect(bucket.getInto('grown', tracking)).toBe(200)
    expect(bucket.getInto('grown', fixed)).toBe(200)
    resizable.resize(0)
    expect(bucket.getInto('grown', tracking)).toBe(200)
    await expectRefusal('ERR_KEY_REQUIRED', () => bucket.put(tracking, 'v'))
  }),
)

test(
  'a value of more than 2 GiB is refused, whatever it is a view of',
  withDatabase(async ({ db }) => {
    // Reserved, not touched: it costs no memory.
    const huge = new Uint8Array(2 ** 31 + 10)
    const bucket = db.bucket('b')
    await expectRefusal('ERR_VALUE_TOO_LARGE', () => bucket.put('k', huge))
    await expectRefusal('ERR_KEY_TOO_LARGE', () => bucket.put(huge, 'v'))
    expect(await codeOf(() => db.update((tx) => tx.bucket('b').put('k', huge)))).toBe(
      'ERR_VALUE_TOO_LARGE',
    )
    expect(bucket.getInto('k', huge)).toBe(undefined)
    expect(bucket.count()).toBe(0)
  }),
)

describe('a result', () => {
  const filled = async (db: Database): Promise<Bucket> => {
    const bucket = db.bucket('b')
    for (let n = 0; n < 3000; n++) void bucket.put(`k${n}`.padStart(6, '0'), `value ${n}`)
    void bucket.put('large', Buffer.alloc(100_000, 1))
    await db.flush()
    return bucket
  }
  /** Node either refuses to transfer memory that others share, or copies it. */
  const transfer = (bytes: Buffer): void => {
    try {
      structuredClone(bytes, { transfer: [bytes.buffer as ArrayBuffer] })
    } catch (error) {
      expect((error as Error).name).toBe('DataCloneError')
    }
  }

  test.each(['get', 'getMany', 'range', 'keys', 'buckets'])(
    'of %s may be transferred or overwritten without an effect on others',
    (method) =>
      withDatabase(async ({ db }) => {
        const bucket = await filled(db)
        for (let n = 0; n < 50; n++) await db.createBucket(`bucket ${n}`)
        const expected = [...bucket.range()].map(([key, value]) => [String(key), String(value)])
        const takes: Record<string, () => Iterable<Buffer>> = {
          get: () => expected.slice(0, 200).map(([key]) => bucket.get(key!)!),
          getMany: () => bucket.getMany(expected.slice(0, 200).map(([key]) => key!)) as Buffer[],
          range: () => [...bucket.range()].flat(),
          keys: () => bucket.keys(),
          buckets: () => db.buckets(),
        }
        for (const bytes of takes[method]!()) transfer(bytes)
        for (const bytes of takes[method]!()) bytes.fill(0xee)
        expect([...bucket.range()].map(([key, value]) => [String(key), String(value)])).toEqual(
          expected,
        )
      })(),
  )

  test(
    'that is transferred in the middle of a range leaves the rest of the range as it is',
    withDatabase(async ({ db }) => {
      const bucket = await filled(db)
      const seen: string[] = []
      for (const [key, value] of bucket.range({ prefix: '0' })) {
        seen.push(`${String(key)} ${String(value)}`)
        transfer(key)
        transfer(value)
      }
      expect(seen.length).toBe(bucket.count({ prefix: '0' }))
      expect(seen.every((entry) => /^0*k\d+ value \d+$/.test(entry))).toBe(true)
    }),
  )

  test(
    'stays what it was when the database is changed, defragmented and closed',
    withDatabase(async ({ db }) => {
      const bucket = await filled(db)
      const [large] = bucket.getMany(['large'])
      const all = [...bucket.range()]
      const copy = all.flat().map((bytes) => Buffer.from(bytes))
      for (const key of bucket.keys()) void bucket.put(key, 'changed')
      await db.defrag()
      await db.close()
      const kept = all.flat().every((bytes, index) => bytes.equals(copy[index]!))
      expect(kept).toBe(true)
      expect(large?.equals(Buffer.alloc(100_000, 1))).toBe(true)
    }),
  )
})
