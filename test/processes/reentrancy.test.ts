// Every public method, called from every place in which a caller's own code runs inside a call:
// each gives a result or a typed error, nothing waits for ever, and the database is sound.

import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { describe, expect, test } from 'vitest'
import { turnOfEventLoop } from '../../lib/database/range.ts'
import { errorCodes, HotboltError, open, type Database } from '../../lib/index.ts'
import type { Bucket, Bytes, ChannelName, Json } from '../../lib/index.ts'
import { within } from '../support/churn.ts'
import { expectRefusal } from '../support/refusal.ts'
import { patienceMs } from '../support/tiers.ts'
import { codeOf, smallPages, withDatabase } from '../support/with-database.ts'

/** All but close(), which has tests of its own. */
const methods: Record<string, (db: Database) => unknown> = {
  get: (db) => db.bucket('b').get('k1'),
  getMany: (db) => db.bucket('b').getMany(['k1', 'k2']),
  getInto: (db) => db.bucket('b').getInto('k1', Buffer.alloc(3)),
  has: (db) => db.bucket('b').has('k1'),
  count: (db) => db.bucket('b').count(),
  range: (db) => [...db.bucket('b').range()],
  'half a range': (db) => db.bucket('b').range()[Symbol.iterator]().next(),
  'range, awaited': async (db) => {
    for await (const _ of db.bucket('b').keys()) void _
  },
  exists: (db) => db.bucket('b').exists,
  sequence: (db) => db.bucket('b').sequence,
  'bucket.buckets': (db) => db.bucket('b').buckets(),
  put: (db) => db.bucket('b').put('put', 'v'),
  'put into another': (db) => db.bucket('other').bucket('inner').put('k', 'v'),
  delete: (db) => db.bucket('b').delete('k2'),
  nextSequence: (db) => db.bucket('b').nextSequence(),
  setSequence: (db) => db.bucket('b').setSequence(5n),
  'bucket.createBucket': (db) => db.bucket('b').createBucket('created'),
  'bucket.deleteBucket': (db) => db.bucket('b').deleteBucket('created'),
  buckets: (db) => db.buckets(),
  createBucket: (db) => db.createBucket('created'),
  deleteBucket: (db) => db.deleteBucket('created'),
  update: (db) => db.update((tx) => tx.bucket('b').put('update', 'v')),
  'asynchronous update': (db) =>
    db.update(async (tx) => {
      await turnOfEventLoop()
      tx.bucket('b').put('update', 'v')
    }),
  'update that throws': (db) =>
    db.update(() => {
      throw new HotboltError('ERR_ABORTED', 'The callback has thrown')
    }),
  view: (db) => db.view((snapshot) => snapshot.bucket('b').count()),
  'asynchronous view': (db) =>
    db.view(async (snapshot) => {
      await turnOfEventLoop()
      return snapshot.buckets()
    }),
  snapshot: (db) => db.snapshot().close(),
  'forgotten snapshot': (db) => void db.snapshot(),
  flush: (db) => db.flush(),
  checkpoint: (db) => db.checkpoint(),
  defrag: (db) => db.defrag(),
  stats: (db) => db.stats(),
  check: (db) => db.check(),
  hash: (db) => db.hash(),
  'another open': (db) => open(db.path),
}

/** An object that does `act` whenever any of it is looked at. */
function watched<T extends object>(target: T, act: () => unknown): T {
  return new Proxy(target, {
    get: (object, name, receiver) => {
      act()
      return Reflect.get(object, name, receiver) as unknown
    },
    ownKeys: (object) => {
      act()
      return Reflect.ownKeys(object)
    },
    getPrototypeOf: (object) => {
      act()
      return Reflect.getPrototypeOf(object)
    },
  })
}

/** Does `act` the first time that the channel says something, while `run` runs. */
async function onChannel(name: ChannelName, act: () => unknown, run: () => unknown): Promise<void> {
  const listener = (): void => {
    unsubscribe(name, listener)
    act()
  }
  subscribe(name, listener)
  try {
    await run()
  } finally {
    unsubscribe(name, listener)
  }
}

const json = (db: Database): Bucket<Buffer, Json> => db.bucket('json', { value: 'json' })

/** `act` is to be called, at least once; where the place can wait, it does. */
type Place = (db: Database, act: () => Promise<void>) => unknown

const places: Record<string, Place> = {
  'an option of range()': (db, act) => [...db.bucket('b').range(watched({ limit: 3 }, act))],
  'an option of count()': (db, act) => db.bucket('b').count(watched({ gte: 'k' }, act)),
  'an option of bucket()': (db, act) => db.bucket('b', watched({ key: 'utf8' } as const, act)),
  'an option of buckets()': (db, act) => db.buckets(watched({ key: 'utf8' } as const, act)),
  'an option of update()': (db, act) => db.update(() => {}, watched({ retries: 3 }, act)),
  'an option of defrag()': (db, act) => codeOf(() => db.defrag(watched({ fillPercent: 0.5 }, act))),
  'an option of open()': (db, act) =>
    // It gets the file if the first one has been closed by then.
    codeOf(async () => (await open(db.path, watched({ lockTimeoutMs: 1 }, act))).close()),
  'the keys of getMany()': (db, act) => db.bucket('b').getMany(watched(['k1', 'k2', 'k3'], act)),
  'toJSON of a value': (db, act) => {
    const value = { toJSON: () => (void act(), 'json') }
    return json(db).put('k', value)
  },
  'toJSON of a value of a transaction': (db, act) =>
    db.update((tx) => {
      const value = { toJSON: () => (void act(), 'json') }
      tx.bucket('json', { value: 'json' }).put('k', value)
    }),
  'an update': (db, act) => db.update((tx) => (void act(), tx.bucket('b').put('outer', 'v'))),
  'an asynchronous update': (db, act) =>
    db.update(async (tx) => {
      await turnOfEventLoop()
      await act()
      tx.bucket('b').put('outer', 'v')
    }),
  'a view': (db, act) => db.view((snapshot) => (void act(), snapshot.bucket('b'))),
  'an asynchronous view': (db, act) => db.view(() => act()),
  'an iteration': (db, act) => {
    for (const _ of db.bucket('b').range()) void act()
  },
  'an asynchronous iteration': async (db, act) => {
    for await (const key of db.bucket('b').keys({ limit: 3 })) {
      void key
      await act()
    }
  },
  onProgress: (db, act) => codeOf(() => db.defrag({ onProgress: () => void act() })),
  'the channel of defragmentations': (db, act) =>
    onChannel(
      'hotbolt:defrag',
      () => void act(),
      () => codeOf(() => db.defrag()),
    ),
  'the channel of checkpoints': (db, act) =>
    onChannel(
      'hotbolt:checkpoint',
      () => void act(),
      async () => {
        await db.bucket('b').put('k', 'v')
        await db.checkpoint()
      },
    ),
  'a listener of an AbortSignal': async (db, act) => {
    const controller = new AbortController()
    controller.signal.addEventListener('abort', () => void act())
    const report = db.defrag({ signal: controller.signal })
    await turnOfEventLoop()
    controller.abort()
    await codeOf(() => report)
  },
  'a continuation of a put': (db, act) => db.bucket('b').put('k', 'v').then(act),
}

/** What may be refused, and for what; any other error is none of the library's. */
async function outcomeOf(name: string, call: () => unknown): Promise<string> {
  try {
    await within(patienceMs, name, Promise.resolve(call()))
    return 'done'
  } catch (error) {
    expect(error, name).toBeInstanceOf(HotboltError)
    return (error as HotboltError).code
  }
}

const insideUpdate = ['an update', 'an asynchronous update', 'toJSON of a value of a transaction']

/** What has to be written through the transaction there. */
const writes = [
  'put',
  'put into another',
  'delete',
  'nextSequence',
  'setSequence',
  'bucket.createBucket',
  'bucket.deleteBucket',
  'createBucket',
  'deleteBucket',
]

async function fill(db: Database): Promise<void> {
  for (let n = 0; n < 50; n++) void db.bucket('b').put(`k${n}`, `v${n}`)
  await db.createBucket('created')
  await db.bucket('b').createBucket('created')
}

describe.each(Object.keys(places))('in %s', (place) => {
  test(
    'every method gives a result or a typed error',
    withDatabase(async ({ db }) => {
      await fill(db)
      const isInside = insideUpdate.includes(place)
      for (const [name, method] of Object.entries(methods)) {
        const outcomes: Promise<string>[] = []
        const act = async (): Promise<void> => {
          // Once: what is done in here may come by here again.
          if (outcomes.length > 0) return
          outcomes.push(outcomeOf(`${name} in ${place}`, () => method(db)))
          await outcomes[0]
        }
        await within(patienceMs, `${place} with ${name}`, Promise.resolve(places[place]!(db, act)))
        expect(outcomes.length, `${name} was called`).toBe(1)
        const outcome = await outcomes[0]!
        expect(['done', ...errorCodes].filter((code) => code !== 'ERR_INTERNAL')).toContain(outcome)
        expect(outcome, name).not.toBe('ERR_CLOSED')
        if (!isInside) continue
        if (name.includes('update')) expect(outcome, name).toBe('ERR_TX_NESTED')
        if (writes.includes(name)) expect(outcome, name).toBe('ERR_TX_OUTER_WRITE')
      }
      expect(db.bucket('b').has('put')).toBe(!isInside)
    }, smallPages),
  )

  test(
    'a close ends everything, or is refused inside of what it would wait for',
    withDatabase(async (context) => {
      const { db } = context
      await fill(db)
      const closes: Promise<string>[] = []
      const act = async (): Promise<void> => {
        closes.push(outcomeOf(`close in ${place}`, () => db.close()))
        await closes.at(-1)
      }
      const call = outcomeOf(place, () => places[place]!(db, act))
      expect(['done', 'ERR_CLOSED', 'ERR_ABORTED']).toContain(await call)
      const expected = insideUpdate.includes(place) ? 'ERR_TX_NESTED' : 'done'
      expect(closes.length).toBeGreaterThan(0)
      for (const close of closes) expect(await close).toBe(expected)
      await context.reopen()
      expect(context.db.bucket('b').count()).toBeGreaterThanOrEqual(50)
    }, smallPages),
  )
})

test(
  'while it closes, and afterwards, every method is refused',
  withDatabase(async (context) => {
    const { db } = context
    await fill(db)
    const during: Promise<string>[] = []
    const late = Object.entries(methods).filter(([name]) => name !== 'another open')
    const closed = db.close()
    for (const [name, method] of late) during.push(outcomeOf(name, () => method(db)))
    expect(new Set(await Promise.all(during))).toEqual(new Set(['ERR_CLOSED']))
    await closed
    for (const [name, method] of late) {
      expect(await outcomeOf(name, () => method(db)), name).toBe('ERR_CLOSED')
    }
    await onChannel(
      'hotbolt:close',
      () => expect(() => context.db.stats()).toThrow(HotboltError),
      async () => {
        await context.reopen()
        await context.close()
      },
    )
  }),
)

test(
  'each option is read once: what was checked is what is used',
  withDatabase(async ({ db }) => {
    await fill(db)
    /** A good value the first time, a bad one from then on. */
    const fickle = (name: string, good: unknown): object => {
      let reads = 0
      return Object.defineProperty({}, name, {
        enumerable: true,
        get: () => (reads++ === 0 ? good : Symbol('bad')),
      })
    }
    expect([...db.bucket('b').keys(fickle('limit', 7))].length).toBe(7)
    expect(db.bucket('b').count(fickle('prefix', 'k1'))).toBe(11)
    expect(db.bucket('b', fickle('key', 'utf8')).exists).toBe(true)
    expect(db.buckets(fickle('key', 'utf8'))).toEqual(['b', 'created'])
    await db.update(() => {}, fickle('retries', 3))
    await db.defrag(fickle('fillPercent', 0.5))
    expect(await codeOf(() => open(db.path, fickle('lockTimeoutMs', 1)))).toBe('ERR_LOCKED')
  }),
)

test(
  'what is no key, value or name is refused without being asked what it is worth',
  withDatabase(async ({ db }) => {
    const asked: string[] = []
    const hint = (name: string) => (): string => {
      asked.push(name)
      return 'k1'
    }
    const fakes: unknown[] = [
      { toString: hint('toString'), valueOf: hint('valueOf'), [Symbol.toPrimitive]: hint('hint') },
      new Proxy(new Uint8Array(3), { get: hint('proxy') }),
      Object.create(Uint8Array.prototype),
      new String('k1'),
      new Uint16Array(3),
      new DataView(new ArrayBuffer(3)),
      new ArrayBuffer(3),
    ]
    for (const fake of fakes as Bytes[]) {
      const bucket = db.bucket('b')
      const calls: (() => unknown)[] = [
        () => bucket.get(fake),
        () => bucket.getMany([fake]),
        () => bucket.getInto('k', fake as Uint8Array),
        () => bucket.put(fake, 'v'),
        () => bucket.put('k', fake),
        () => bucket.delete(fake),
        () => bucket.count({ gte: fake }),
        () => db.bucket(fake),
        () => db.update((tx) => tx.bucket('b').put('k', fake)),
      ]
      for (const call of calls) await expectRefusal('ERR_INVALID_ARGUMENT', call)
    }
    expect(asked).toEqual([])
  }),
)
