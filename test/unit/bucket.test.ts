// What a bucket handle does: values in and out, ranges and their edges, codecs, sequences, nesting.

import { describe, expect, test } from 'vitest'
import type { Bucket, Bytes, RangeOptions } from '../../lib/index.ts'
import { ModelBucket } from '../support/model.ts'
import { codeOf, refusalOf, smallPages, withDatabase } from '../support/with-database.ts'

const keyBytesMax = 32_768
const text = (value: Buffer | undefined): string | undefined => value?.toString()
const texts = (values: Iterable<Buffer>): string[] =>
  Array.from(values, (value) => value.toString())

describe('values', () => {
  test(
    'a put is visible at once and the last one wins',
    withDatabase(async ({ db }) => {
      const users = db.bucket('users')
      void users.put('ada', 'one')
      expect(text(users.get('ada'))).toBe('one')
      void users.put('ada', 'two')
      expect(text(users.get('ada'))).toBe('two')
      await db.checkpoint()
      expect(text(users.get('ada'))).toBe('two')
      void users.put('ada', 'three')
      expect(text(users.get('ada'))).toBe('three')
    }),
  )

  test(
    'a missing key, and a key of a missing bucket, is undefined',
    withDatabase(async ({ db }) => {
      const users = db.bucket('users')
      expect([users.get('ada'), users.has('ada'), users.exists]).toEqual([undefined, false, false])
      await users.put('ada', '')
      expect([users.get('bob'), users.has('bob'), users.exists]).toEqual([undefined, false, true])
      expect(db.bucket('others').bucket('inner').get('x')).toBeUndefined()
      expect(db.buckets({ key: 'utf8' })).toEqual(['users'])
    }),
  )

  test(
    'reading never creates a bucket, the first write does',
    withDatabase(async ({ db }) => {
      const inner = db.bucket('outer').bucket('inner')
      expect([...inner.range()].length + inner.count() + inner.buckets().length).toBe(0)
      expect(inner.sequence).toBe(0n)
      await inner.delete('missing')
      expect(db.buckets()).toEqual([])
      await inner.put('k', 'v')
      expect(texts(db.bucket('outer').buckets())).toEqual(['inner'])
    }),
  )

  test(
    'an empty value is a value',
    withDatabase(async ({ db }) => {
      const bucket = db.bucket('b')
      await bucket.put('empty', '')
      await bucket.put('none', new Uint8Array(0))
      await db.checkpoint()
      expect(bucket.get('empty')).toEqual(Buffer.alloc(0))
      expect([bucket.has('empty'), bucket.getInto('none', Buffer.alloc(4))]).toEqual([true, 0])
    }),
  )

  test(
    'what comes back is a copy, and what was given may be changed afterwards',
    withDatabase(async ({ db }) => {
      const bucket = db.bucket('b')
      const given = Buffer.from('value')
      const key = Buffer.from('key')
      void bucket.put(key, given)
      given.fill(0)
      key.fill(0)
      const first = bucket.get('key')
      expect(text(first)).toBe('value')
      first?.fill(0)
      expect(text(bucket.get('key'))).toBe('value')
      await db.checkpoint()
      bucket.get('key')?.fill(0)
      for (const [, value] of bucket.range()) value.fill(0)
      expect(text(bucket.get('key'))).toBe('value')
    }),
  )

  test(
    'a value of 1 MiB and one of 8 MiB come back as they were',
    withDatabase(async (context) => {
      const large = Buffer.alloc(1 << 20, 'abcdefg')
      const huge = Buffer.alloc(8 << 20, 'hijklmnop')
      await context.db.bucket('b').put('large', large)
      await context.db.bucket('b').put('huge', huge)
      for (const moment of ['in memory', 'in the page file', 'after opening again']) {
        const bucket = context.db.bucket('b')
        expect(bucket.get('large')?.equals(large), moment).toBe(true)
        expect(
          [...bucket.values()].map((value) => value.length),
          moment,
        ).toEqual([8 << 20, 1 << 20])
        expect(bucket.get('huge')?.equals(huge), moment).toBe(true)
        if (moment === 'in memory') await context.db.checkpoint()
        else await context.reopen()
      }
    }),
  )

  test(
    'keys are bytes: any of them, up to 32,768, in the order of the bytes',
    withDatabase(async (context) => {
      const bucket = context.db.bucket('b')
      const longest = Buffer.alloc(keyBytesMax, 0x7f)
      const keys: Bytes[] = [longest, Buffer.from([0]), Buffer.from([0, 0]), Buffer.from([0xff])]
      keys.push('text', 'text with \u0000 and \u00e9', Buffer.from([0xc3, 0x28]))
      for (const key of keys) void bucket.put(key, Buffer.from(key).subarray(0, 3))
      const sorted = keys.map((key) => Buffer.from(key)).toSorted((a, b) => Buffer.compare(a, b))
      expect([...bucket.keys()]).toEqual(sorted)
      const again = (await context.reopen()).bucket('b')
      expect([...again.keys()]).toEqual(sorted)
      for (const key of sorted) expect(again.get(key)).toEqual(key.subarray(0, 3))
    }, smallPages),
  )

  test(
    'a key may not be empty nor longer than 32,768 bytes',
    withDatabase(async ({ db }) => {
      const bucket = db.bucket('b')
      const tooLong = Buffer.alloc(keyBytesMax + 1, 1)
      expect(await codeOf(() => bucket.put('', 'v'))).toBe('ERR_KEY_REQUIRED')
      expect(await codeOf(() => bucket.put(new Uint8Array(0), 'v'))).toBe('ERR_KEY_REQUIRED')
      expect(await codeOf(() => bucket.put(tooLong, 'v'))).toBe('ERR_KEY_TOO_LARGE')
      expect(await codeOf(() => bucket.delete(''))).toBe('ERR_KEY_REQUIRED')
      expect(await codeOf(() => db.bucket(''))).toBe('ERR_KEY_REQUIRED')
      expect(await codeOf(() => db.createBucket(''))).toBe('ERR_KEY_REQUIRED')
      expect(bucket.get('')).toBeUndefined()
      expect(bucket.get(tooLong)).toBeUndefined()
      expect(db.buckets()).toEqual([])
    }),
  )

  test(
    'getMany gives the values in the order of the keys',
    withDatabase(async ({ db }) => {
      const bucket = db.bucket('b', { value: 'utf8' })
      await bucket.put('a', '1')
      await bucket.put('b', '2')
      expect(bucket.getMany(['b', 'x', 'a', 'b'])).toEqual(['2', undefined, '1', '2'])
      expect(bucket.getMany([])).toEqual([])
    }),
  )

  test(
    'getInto copies what fits and tells the full length',
    withDatabase(async ({ db }) => {
      const bucket = db.bucket('b')
      await bucket.put('k', 'abcdef')
      const small = Buffer.alloc(4)
      expect(bucket.getInto('k', small)).toBe(6)
      expect(small.toString()).toBe('abcd')
      const large = Buffer.alloc(8, '.')
      expect(bucket.getInto('k', large)).toBe(6)
      expect(large.toString()).toBe('abcdef..')
      expect(bucket.getInto('k', Buffer.alloc(0))).toBe(6)
      expect(bucket.getInto('missing', large)).toBeUndefined()
    }),
  )

  test(
    'a deleted key is gone, from memory and from the page file',
    withDatabase(async (context) => {
      const bucket = context.db.bucket('b')
      await bucket.put('memory', 'v')
      await bucket.delete('memory')
      await bucket.delete('never there')
      await bucket.put('file', 'v')
      await context.db.checkpoint()
      await bucket.delete('file')
      expect([bucket.has('memory'), bucket.has('file'), bucket.count()]).toEqual([false, false, 0])
      const again = (await context.reopen()).bucket('b')
      expect([again.exists, again.count()]).toEqual([true, 0])
    }),
  )
})

describe('codecs', () => {
  test(
    'utf8 gives strings, json gives what was given',
    withDatabase(async ({ db }) => {
      const bucket = db.bucket('b', { key: 'utf8', value: 'json' })
      const values = [{ name: 'Ada', tags: ['a'] }, [1, 2], 'text', 7, null, false]
      for (const [index, value] of values.entries()) await bucket.put(`k${index}`, value)
      expect([...bucket.range()]).toEqual(values.map((value, index) => [`k${index}`, value]))
      expect(bucket.get('k0')).toEqual(values[0])
      await db.checkpoint()
      expect([...bucket.values()]).toEqual(values)
      expect(db.bucket('b', { value: 'utf8' }).get('k1')).toBe('[1,2]')
      expect(db.bucket('b').get('k2')).toEqual(Buffer.from('"text"'))
    }),
  )

  test(
    'json refuses what has no JSON form',
    withDatabase(async ({ db }) => {
      const bucket = db.bucket('b', { value: 'json' })
      const code = await codeOf(() => bucket.put('k', undefined))
      expect(code).toBe('ERR_CODEC')
      expect(bucket.exists).toBe(false)
    }),
  )

  test(
    'utf8 keys and names survive beyond ASCII',
    withDatabase(async ({ db }) => {
      const names = ['\u00e9t\u00e9', '\u{1f600}', 'z']
      for (const name of names) await db.bucket(name, { key: 'utf8' }).put(name, name)
      expect(db.buckets({ key: 'utf8' })).toEqual(['z', '\u00e9t\u00e9', '\u{1f600}'])
      expect([...db.bucket('\u{1f600}', { key: 'utf8' }).keys()]).toEqual(['\u{1f600}'])
    }),
  )
})

describe('ranges', () => {
  const letters = ['a', 'aa', 'ab', 'b', 'ba', 'c', 'ca', 'd']

  /** In the page file, in a sealed memtable, in the newest one, and deleted, mixed. */
  async function fill(bucket: Bucket, checkpoint: () => Promise<void>): Promise<ModelBucket> {
    const model = new ModelBucket()
    const put = (key: string, value: string): void => {
      void bucket.put(key, value)
      model.entries.set(key, Buffer.from(value))
    }
    for (const key of letters.filter((_, index) => index % 2 === 0)) put(key, `old ${key}`)
    void bucket.put('aaa', 'deleted')
    void bucket.put('e', 'deleted')
    await checkpoint()
    for (const key of letters.filter((_, index) => index % 2 === 1)) put(key, `new ${key}`)
    put('b', 'overwritten')
    void bucket.delete('aaa')
    void bucket.delete('e')
    return model
  }

  const bounds: RangeOptions[] = [{}]
  for (const key of ['', 'a', 'aa', 'ac', 'd', 'e', Buffer.from([0xff])]) {
    bounds.push({ gte: key }, { gt: key }, { lte: key }, { lt: key }, { prefix: key })
    bounds.push({ gte: key, lt: 'c' }, { gt: key, lte: 'c' }, { prefix: key, gt: 'aa' })
  }
  bounds.push({ gte: 'c', lt: 'a' }, { gt: 'b', lt: 'b' }, { gte: 'b', lte: 'b' })
  bounds.push({ gte: 'b', gt: 'b' }, { lte: 'b', lt: 'b' }, { gte: 'a', gt: 'aa' })
  bounds.push({ prefix: 'a', lt: 'ab' }, { prefix: 'b', gte: 'a' }, { prefix: 'b', lte: 'z' })

  test(
    'every combination of bounds, direction and limit gives what a sorted list gives',
    withDatabase(async ({ db }) => {
      const bucket = db.bucket('b')
      const model = await fill(bucket, () => db.checkpoint())
      for (const bound of bounds) {
        for (const reverse of [false, true]) {
          for (const limit of [undefined, 0, 1, 3, 1000]) {
            const options = { ...bound, reverse, limit }
            const wanted = model.range({ ...bound, reverse, limit: limit ?? Infinity })
            const got = Array.from(bucket.range(options), ([key, value]) => [String(key), value])
            expect(got, JSON.stringify(options)).toEqual(wanted)
          }
        }
        expect(bucket.count(bound), JSON.stringify(bound)).toBe(model.range(bound).length)
      }
    }, smallPages),
  )

  test(
    'keys and values agree with range',
    withDatabase(async ({ db }) => {
      const bucket = db.bucket('b')
      await fill(bucket, () => db.checkpoint())
      const entries = [...bucket.range({ gte: 'ab', reverse: true })]
      expect([...bucket.keys({ gte: 'ab', reverse: true })]).toEqual(entries.map(([key]) => key))
      expect([...bucket.values({ gte: 'ab', reverse: true })]).toEqual(
        entries.map(([, value]) => value),
      )
    }),
  )

  test(
    'an iteration goes on over the state in which it began',
    withDatabase(async ({ db }) => {
      const bucket = db.bucket('b', { key: 'utf8', value: 'utf8' })
      for (let n = 0; n < 3000; n++) void bucket.put(String(n).padStart(5, '0'), 'old')
      await db.checkpoint()
      let seen = 0
      for (const [key, value] of bucket.range()) {
        expect([key, value]).toEqual([String(seen).padStart(5, '0'), 'old'])
        if (seen === 20) {
          for (let n = 0; n < 3000; n += 2) void bucket.delete(String(n).padStart(5, '0'))
          for (let n = 1; n < 3000; n += 2) void bucket.put(String(n).padStart(5, '0'), 'new')
          void bucket.put('00021 and a half', 'new')
        }
        seen++
      }
      expect(seen).toBe(3000)
      expect(bucket.count()).toBe(1501)
    }, smallPages),
  )

  test(
    'for await gives the same, and lets the event loop turn',
    withDatabase(async ({ db }) => {
      const bucket = db.bucket('b', { key: 'utf8' })
      for (let n = 0; n < 5000; n++) void bucket.put(String(n), 'v')
      let turns = 0
      let running = true
      const turn = (): void => {
        turns++
        if (running) setImmediate(turn)
      }
      setImmediate(turn)
      const found: string[] = []
      for await (const key of bucket.keys()) found.push(key)
      running = false
      expect(found).toEqual([...bucket.keys()])
      expect(turns).toBeGreaterThan(1)
    }),
  )

  test(
    'breaking off frees the iteration, and a range can be iterated over again',
    withDatabase(async ({ db }) => {
      const bucket = db.bucket('b', { key: 'utf8' })
      for (let n = 0; n < 100; n++) void bucket.put(String(n).padStart(3, '0'), 'v')
      const keys = bucket.keys({ limit: 50 })
      for (const key of keys) if (key === '010') break
      const [first] = keys
      expect(first).toBe('000')
      const iterator = keys[Symbol.iterator]()
      iterator.next()
      expect(iterator.return?.()).toEqual({ done: true, value: undefined })
      expect(iterator.next()).toEqual({ done: true, value: undefined })
      await db.flush()
      expect(db.stats().openSnapshots).toBe(0)
    }),
  )
})

describe('buckets', () => {
  test(
    'a bucket is created once and deleted with everything in it',
    withDatabase(async ({ db }) => {
      await db.createBucket('a')
      expect(await codeOf(() => db.createBucket('a'))).toBe('ERR_BUCKET_EXISTS')
      const inner = db.bucket('a').bucket('inner')
      await inner.put('k', 'v')
      await db.bucket('a').createBucket('empty')
      expect(texts(db.bucket('a').buckets())).toEqual(['empty', 'inner'])
      await db.deleteBucket('a')
      expect([db.bucket('a').exists, inner.exists, inner.get('k')]).toEqual([
        false,
        false,
        undefined,
      ])
      expect(await codeOf(() => db.deleteBucket('a'))).toBe('ERR_BUCKET_NOT_FOUND')
      expect(await codeOf(() => db.bucket('x').deleteBucket('y'))).toBe('ERR_BUCKET_NOT_FOUND')
    }),
  )

  test(
    'a bucket made again under its old name is empty',
    withDatabase(async (context) => {
      const { db } = context
      const bucket = db.bucket('b')
      for (let n = 0; n < 500; n++) void bucket.put(`k${n}`, 'old')
      await bucket.setSequence(9n)
      await bucket.bucket('inner').put('k', 'old')
      await db.checkpoint()
      void db.deleteBucket('b')
      void bucket.put('k1', 'new')
      const expectNew = (again = db.bucket('b')): void => {
        expect(texts(again.keys())).toEqual(['k1'])
        expect([again.sequence, again.buckets().length, again.count()]).toEqual([0n, 0, 1])
      }
      expectNew()
      await db.checkpoint()
      expectNew()
      expectNew((await context.reopen()).bucket('b'))
    }, smallPages),
  )

  test(
    'a name is a key or a bucket, never both',
    withDatabase(async ({ db }) => {
      const outer = db.bucket('outer')
      await outer.put('key', 'v')
      await outer.createBucket('bucket')
      for (const moment of ['in memory', 'in the page file']) {
        const codes = await Promise.all([
          codeOf(() => outer.put('bucket', 'v')),
          codeOf(() => outer.delete('bucket')),
          codeOf(() => outer.createBucket('key')),
          codeOf(() => outer.deleteBucket('key')),
          codeOf(() => outer.bucket('key').put('k', 'v')),
          codeOf(() => outer.bucket('key').setSequence(1n)),
          codeOf(() => outer.bucket('key').createBucket('b')),
        ])
        expect(new Set(codes), moment).toEqual(new Set(['ERR_INCOMPATIBLE_VALUE']))
        expect(texts(outer.keys())).toEqual(['key'])
        expect([outer.get('bucket'), outer.bucket('key').exists]).toEqual([undefined, false])
        await db.checkpoint()
      }
    }),
  )

  test(
    'sequences count up to 2^64 - 1, are kept, and belong to their bucket',
    withDatabase(async (context) => {
      const bucket = context.db.bucket('b')
      expect([bucket.nextSequence(), bucket.nextSequence(), bucket.sequence]).toEqual([1n, 2n, 2n])
      await bucket.bucket('inner').setSequence(2n ** 64n - 1n)
      for (const value of [-1n, 2n ** 64n, 1] as bigint[]) {
        expect(await codeOf(() => bucket.setSequence(value))).toBe('ERR_INVALID_ARGUMENT')
      }
      const again = (await context.reopen()).bucket('b')
      expect([again.sequence, again.bucket('inner').sequence]).toEqual([2n, 2n ** 64n - 1n])
      expect(again.nextSequence()).toBe(3n)
    }),
  )

  test(
    'buckets nest a hundred deep',
    withDatabase(async (context) => {
      let bucket = context.db.bucket('0')
      for (let depth = 1; depth < 100; depth++) bucket = bucket.bucket(String(depth))
      await bucket.put('k', 'deep')
      await context.reopen()
      bucket = context.db.bucket('0')
      for (let depth = 1; depth < 100; depth++) bucket = bucket.bucket(String(depth))
      expect(text(bucket.get('k'))).toBe('deep')
    }, smallPages),
  )

  test(
    'two handles of a bucket are the same bucket',
    withDatabase(async ({ db }) => {
      const [one, two] = [db.bucket('b'), db.bucket(Buffer.from('b'))]
      void one.put('k', '1')
      expect(text(two.get('k'))).toBe('1')
      await db.deleteBucket('b')
      void two.put('k', '2')
      expect(text(one.get('k'))).toBe('2')
    }),
  )
})

const notBytes: [string, unknown][] = [
  ['a proxy', new Proxy(new Uint8Array(3), {})],
  ['an heir of Uint8Array', Object.create(Uint8Array.prototype)],
]
test.each(notBytes)('%s is no bound of a range', (_, value) =>
  withDatabase(({ db }) => {
    const bound = value as Uint8Array
    const bucket = db.bucket('b')
    expect(refusalOf(() => [...bucket.range({ gte: bound })])).toBe('ERR_INVALID_ARGUMENT')
    expect(refusalOf(() => [...bucket.keys({ prefix: bound })])).toBe('ERR_INVALID_ARGUMENT')
    expect(refusalOf(() => bucket.get(bound))).toBe('ERR_INVALID_ARGUMENT')
    return Promise.resolve()
  })(),
)

test(
  'paths of buckets come in order, each before those inside it',
  withDatabase(async ({ db }) => {
    const paths = ['a', 'a/x', 'a/x/1', 'a/y', 'b', 'b/z']
    for (const path of paths) {
      const [top = '', ...nested] = path.split('/')
      const bucket = nested.reduce((outer, name) => outer.bucket(name), db.bucket(top))
      await bucket.put('key', 'value')
    }
    const found = (given: Iterable<Buffer[]>): string[] =>
      [...given].map((path) => path.map(String).join('/'))
    for (const isInFile of [false, true]) {
      if (isInFile) await db.checkpoint()
      using snapshot = db.snapshot()
      expect(found(snapshot.bucketPaths())).toEqual(paths)
      expect(found(snapshot.bucket('a').bucketPaths())).toEqual(['x', 'x/1', 'y'])
      expect(found(db.bucket('none').bucketPaths())).toEqual([])
    }
    for (const path of db.bucket('a').bucketPaths()) {
      expect(path.map(String)).toEqual(['x'])
      break
    }
  }),
)
