// Wrong keys, values, names and bounds: the sentence says which argument it is and what it got, and
// text that has no UTF-8 is refused, not changed.

import { expect, test } from 'vitest'
import type { Bytes, Database } from '../../lib/index.ts'
import { expectRefusal } from '../support/refusal.ts'
import { withDatabase } from '../support/with-database.ts'

type Call = (db: Database, given: Bytes) => unknown

const keyCalls: Readonly<Record<string, Call>> = {
  get: (db, key) => db.bucket('b').get(key),
  has: (db, key) => db.bucket('b').has(key),
  put: (db, key) => db.bucket('b').put(key, 'v'),
  delete: (db, key) => db.bucket('b').delete(key),
  getInto: (db, key) => db.bucket('b').getInto(key, Buffer.alloc(8)),
  'get of a snapshot': (db, key) => db.view((snapshot) => snapshot.bucket('b').get(key)),
  'put in an update': (db, key) => db.update((tx) => tx.bucket('b').put(key, 'v')),
  'delete in an update': (db, key) => db.update((tx) => tx.bucket('b').delete(key)),
  'get in an update': (db, key) => db.update((tx) => void tx.bucket('b').get(key)),
}
const valueCalls: Readonly<Record<string, Call>> = {
  put: (db, value) => db.bucket('b').put('k', value),
  'put of text': (db, value) => db.bucket('b', { value: 'utf8' }).put('k', value),
  'put in an update': (db, value) => db.update((tx) => tx.bucket('b').put('k', value)),
}
const nameCalls: Readonly<Record<string, Call>> = {
  bucket: (db, name) => db.bucket(name),
  'a nested bucket': (db, name) => db.bucket('b').bucket(name),
  createBucket: (db, name) => db.createBucket(name),
  deleteBucket: (db, name) => db.deleteBucket(name),
  'bucket in an update': (db, name) => db.update((tx) => void tx.bucket(name)),
  'bucket of a snapshot': (db, name) => db.view((snapshot) => void snapshot.bucket(name)),
}
const boundCalls = (['gt', 'gte', 'lt', 'lte', 'prefix'] as const).flatMap((bound) =>
  (
    [
      (db, key) => db.bucket('b').keys({ [bound]: key }),
      (db, key) => db.bucket('b').count({ [bound]: key }),
    ] as Call[]
  ).map((call) => [bound, call] as const),
)

const all: readonly (readonly [string, Call])[] = [
  ...Object.values(keyCalls).map((call) => ['key', call] as const),
  ...Object.values(valueCalls).map((call) => ['value', call] as const),
  ...Object.values(nameCalls).map((call) => ['name', call] as const),
  ...boundCalls,
]

const wrong: readonly (readonly [unknown, string])[] = [
  [5, '5 (number)'],
  [null, 'null'],
  [true, 'true (boolean)'],
  [7n, '7 (bigint)'],
  [Symbol('s'), 'a symbol'],
  [() => 1, 'a function'],
  [['a'], 'an array'],
  [{ a: 1 }, 'an object'],
  [new Float64Array(2), 'an object'],
  [new ArrayBuffer(2), 'an object'],
]

test(
  'the argument is named, and what it got',
  withDatabase(async ({ db }) => {
    for (const [name, call] of all) {
      for (const [given, described] of wrong) {
        const error = await expectRefusal('ERR_INVALID_ARGUMENT', async () =>
          call(db, given as Bytes),
        )
        const sentence = `Expected \`${name}\` to be a string or a Uint8Array, got ${described}`
        expect(error.message.startsWith(sentence), error.message).toBe(true)
      }
    }
    const many = await expectRefusal('ERR_INVALID_ARGUMENT', async () =>
      db.bucket('b').getMany(['a', 1 as unknown as string]),
    )
    expect(many.message).toMatch(
      'Expected `keys[1]` to be a string or a Uint8Array, got 1 (number)',
    )
    const target = await expectRefusal('ERR_INVALID_ARGUMENT', async () =>
      db.bucket('b').getInto('k', 'text' as unknown as Buffer),
    )
    expect(target.message).toBe('Expected `target` to be a Uint8Array, got "text" (string)')
  }),
)

test(
  'an object as a value is told of the JSON codec, nothing else is',
  withDatabase(async ({ db }) => {
    for (const [given, described] of wrong) {
      const hints = ['an object', 'an array', 'null', '5 (number)', 'true (boolean)']
      const isPlain = !(ArrayBuffer.isView(given) || given instanceof ArrayBuffer)
      for (const call of Object.values(valueCalls)) {
        const { message } = await expectRefusal('ERR_INVALID_ARGUMENT', async () =>
          call(db, given as Bytes),
        )
        const hint = ": open the bucket with { value: 'json' } to store objects"
        expect(message.endsWith(hint), message).toBe(isPlain && hints.includes(described))
      }
    }
    const key = await expectRefusal('ERR_INVALID_ARGUMENT', async () =>
      db.bucket('b').get({} as unknown as string),
    )
    expect(key.message).not.toContain('json')
  }),
)

test(
  'a lone surrogate is refused wherever text is taken, and a replacement character is not',
  withDatabase(async ({ db }) => {
    const padding = 'x'.repeat(600) // longer than what is kept on the stack
    const lone = ['\ud800', '\udc00', 'a\udfffb', '\udc00\ud800', '\u00fc\ud83d', '\ufffd\ud83d']
    for (const text of [...lone, ...lone.map((each) => padding + each)]) {
      for (const [name, call] of all) {
        const error = await expectRefusal('ERR_INVALID_ARGUMENT', async () => call(db, text))
        expect(error.message).toContain(`\`${name}\``)
        expect(error.message).toContain('surrogate')
      }
    }
    expect(db.buckets()).toEqual([])
    const fine = [
      '\ufffd',
      '\ud83d\ude00',
      '\u00fc\ufffd\ud83d\ude00',
      `${padding}\ufffd`,
      '\uffff',
    ]
    const text = { key: 'utf8', value: 'utf8' } as const
    for (const each of fine) {
      const bucket = db.bucket(each, text)
      await bucket.put(each, each)
      expect(bucket.get(each)).toBe(each)
      expect([...bucket.range({ gte: each })]).toEqual([[each, each]])
    }
    expect(db.buckets({ key: 'utf8' }).toSorted()).toEqual(fine.toSorted())
  }),
)

test(
  'bytes whose memory was transferred away are refused, not taken as empty',
  withDatabase(async ({ db }) => {
    await db.bucket('b').put('k', 'precious')
    const given = new Uint8Array(8)
    structuredClone(given, { transfer: [given.buffer] })
    const calls = [keyCalls, valueCalls, nameCalls].flatMap((each) => Object.values(each))
    for (const call of calls) {
      const { message } = await expectRefusal('ERR_INVALID_ARGUMENT', async () => call(db, given))
      expect(message).toMatch(/a Uint8Array, got one whose memory was transferred away$/)
    }
    expect(db.bucket('b').get('k')?.toString()).toBe('precious')
    await db.bucket('b').put('k', new Uint8Array(0))
    expect(db.bucket('b').get('k')).toHaveLength(0)
  }),
)
