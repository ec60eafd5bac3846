// When an asynchronous update is run again: if, and only if, something that it read was changed.

import { describe, expect, test } from 'vitest'
import type { Database, Transaction, TransactionBucket } from '../../lib/index.ts'
import { Gate } from '../support/gate.ts'
import { codeOf, smallPages, withDatabase } from '../support/with-database.ts'

/**
 * Runs an update whose first attempt stands still after `read` while `change` happens outside of
 * it; gives how often the callback ran.
 */
async function runsAround(
  db: Database,
  read: (tx: Transaction) => unknown,
  change: (db: Database) => unknown,
): Promise<number> {
  const gate = new Gate()
  let runs = 0
  const done = db.update(async (tx) => {
    runs++
    await read(tx)
    tx.bucket('result').put('runs', String(runs))
    await gate.pass()
  })
  await gate.reached()
  await change(db)
  gate.open()
  await done
  expect(db.bucket('result', { value: 'utf8' }).get('runs')).toBe(String(runs))
  return runs
}

/** What each of these tests begins with: a bucket of ten keys, with a bucket inside. */
async function prepare(db: Database): Promise<void> {
  for (let n = 0; n < 10; n++) void db.bucket('b').put(`k${n}`, 'old')
  void db.bucket('b').setSequence(5n)
  await db.bucket('b').bucket('inner').put('k', 'old')
}

/** The rest of an iteration that is never closed. */
const left: unknown[] = []

function leave<T>(range: Iterable<T>, count = 1): void {
  const iterator = range[Symbol.iterator]()
  for (let n = 0; n < count; n++) iterator.next()
  left.push(iterator)
}

function* generate(bucket: TransactionBucket): Generator<string> {
  for (const key of bucket.keys()) yield String(key)
}

type Case = [what: string, read: (tx: Transaction) => unknown, change: (db: Database) => unknown]

const changeFirst = (db: Database): unknown => db.bucket('b').put('k0', 'new')

describe('an update runs again when others change', () => {
  const cases: Case[] = [
    [
      'what an iterator gave that was never closed',
      (tx) => leave(tx.bucket('b').range()),
      changeFirst,
    ],
    [
      'a key that a left iterator gave',
      (tx) => leave(tx.bucket('b').keys()),
      (db) => db.bucket('b').delete('k0'),
    ],
    [
      'the end of what was iterated with next()',
      (tx) => leave(tx.bucket('b').values(), 11),
      (db) => db.bucket('b').put('k99', 'new'),
    ],
    [
      'the last entry of a reverse iterator that was left',
      (tx) => leave(tx.bucket('b').range({ reverse: true })),
      (db) => db.bucket('b').put('k9', 'new'),
    ],
    [
      'what comes before it in that order',
      (tx) => leave(tx.bucket('b').range({ reverse: true })),
      (db) => db.bucket('b').put('z', 'new'),
    ],
    [
      'what a generator gave that was abandoned',
      (tx) => left.push(generate(tx.bucket('b')).next()),
      (db) => db.bucket('b').put('a', 'new'),
    ],
    [
      'what a branch reads that goes on',
      (tx) => {
        const iterator = tx.bucket('b').range()[Symbol.asyncIterator]()
        left.push(iterator)
        return iterator.next()
      },
      changeFirst,
    ],
    [
      'an entry before a break',
      (tx) => {
        for (const _ of tx.bucket('b').range()) break
      },
      changeFirst,
    ],
    [
      'a limited range',
      (tx) => [...tx.bucket('b').range({ limit: 2 })],
      (db) => db.bucket('b').delete('k1'),
    ],
    [
      'what is not there',
      (tx) => [...tx.bucket('missing').range()],
      (db) => db.bucket('missing').put('k', 'new'),
    ],
    ['the number of keys', (tx) => tx.bucket('b').count(), (db) => db.bucket('b').delete('k5')],
    [
      'the names of buckets',
      (tx) => tx.bucket('b').buckets(),
      (db) => db.bucket('b').createBucket('c'),
    ],
    ['a sequence', (tx) => tx.bucket('b').nextSequence(), (db) => db.bucket('b').nextSequence()],
    [
      'a range with a key that it wrote, at another key',
      (tx) => {
        tx.bucket('b').put('k3', 'mine')
        return [...tx.bucket('b').range()]
      },
      (db) => db.bucket('b').put('k4', 'new'),
    ],
    [
      'a range that it read before it wrote to it',
      (tx) => {
        void [...tx.bucket('b').range()]
        tx.bucket('b').put('k3', 'mine')
        tx.bucket('b').get('k3')
      },
      (db) => db.bucket('b').put('k3', 'new'),
    ],
    [
      'a bucket that its own put made',
      (tx) => {
        tx.bucket('made').put('mine', 'v')
        return [...tx.bucket('made').keys()]
      },
      (db) => db.bucket('made').put('theirs', 'v'),
    ],
    [
      'the value in a bucket that its own put made',
      (tx) => {
        tx.bucket('made').put('mine', 'v')
        return tx.bucket('made').get('theirs')
      },
      (db) => db.bucket('made').put('theirs', 'v'),
    ],
    [
      'the bucket that it makes',
      (tx) => {
        if (!tx.bucket('c').exists) tx.createBucket('c')
      },
      (db) => db.createBucket('c'),
    ],
  ]
  test.each(cases)('%s', (_, read, change) =>
    withDatabase(async ({ db }) => {
      await prepare(db)
      expect(await runsAround(db, read, change)).toBe(2)
    })(),
  )
})

describe('an update does not run again when others change', () => {
  const cases: Case[] = [
    [
      'a sequence, and it read that the bucket exists',
      (tx) => tx.bucket('b').exists,
      (db) => db.bucket('b').nextSequence(),
    ],
    [
      'a sequence, and it deleted a key',
      (tx) => tx.bucket('b').delete('k1'),
      (db) => db.bucket('b').nextSequence(),
    ],
    ['a value, and it read the sequence', (tx) => tx.bucket('b').nextSequence(), changeFirst],
    ['a value, and it read the keys', (tx) => [...tx.bucket('b').keys()], changeFirst],
    ['a value, and it counted the keys', (tx) => tx.bucket('b').count(), changeFirst],
    [
      'a key, and it read the names of buckets',
      (tx) => tx.bucket('b').buckets(),
      (db) => db.bucket('b').put('z', 'new'),
    ],
    [
      'the names of buckets, and it read the keys',
      (tx) => [...tx.bucket('b').range()],
      (db) => db.bucket('b').createBucket('c'),
    ],
    [
      'the names of buckets, and it counted keys',
      (tx) => tx.bucket('b').count(),
      (db) => db.bucket('b').createBucket('c'),
    ],
    [
      'what follows an entry before a break',
      (tx) => {
        for (const _ of tx.bucket('b').range()) break
      },
      (db) => db.bucket('b').put('k1', 'new'),
    ],
    [
      'what follows a limited range',
      (tx) => [...tx.bucket('b').range({ limit: 2 })],
      (db) => db.bucket('b').put('k2', 'new'),
    ],
    [
      'what comes before a reverse limited range',
      (tx) => [...tx.bucket('b').range({ limit: 2, reverse: true })],
      (db) => db.bucket('b').put('k7', 'new'),
    ],
    [
      'a range of which it took nothing',
      (tx) => left.push(tx.bucket('b').range()[Symbol.iterator]()),
      changeFirst,
    ],
    [
      'a key that it put before it read it',
      (tx) => {
        tx.bucket('b').put('k0', 'mine')
        return tx.bucket('b').get('k0')
      },
      changeFirst,
    ],
    [
      'a key that it deleted before it read it',
      (tx) => {
        tx.bucket('b').delete('k0')
        return tx.bucket('b').has('k0')
      },
      changeFirst,
    ],
    [
      'a key that it put before it read the range',
      (tx) => {
        tx.bucket('b').put('k0', 'mine')
        return [...tx.bucket('b').range()]
      },
      changeFirst,
    ],
    [
      'a key that it put before it read the range, and put again',
      (tx) => {
        tx.bucket('b').put('k0', 'mine')
        void [...tx.bucket('b').range()]
        for (const again of ['1', '2']) {
          tx.bucket('b').put('k0', again)
          tx.bucket('b').get('k0')
        }
      },
      changeFirst,
    ],
    [
      'a key that it counted after it put it',
      (tx) => {
        tx.bucket('b').put('new', 'mine')
        return tx.bucket('b').count()
      },
      (db) => db.bucket('b').put('new', 'v'),
    ],
    [
      'the sequence that it set before it read it',
      (tx) => {
        tx.bucket('b').setSequence(9n)
        return tx.bucket('b').nextSequence()
      },
      (db) => db.bucket('b').nextSequence(),
    ],
    [
      'the bucket that it made before it looked',
      (tx) => {
        tx.bucket('made').put('k', 'v')
        return tx.bucket('made').exists
      },
      (db) => db.createBucket('made'),
    ],
    [
      'a bucket that it deleted before it read it',
      (tx) => {
        tx.deleteBucket('b')
        tx.bucket('b').put('x', 'v')
        return [...tx.bucket('b').range(), tx.bucket('b').get('k0'), tx.bucket('b').exists]
      },
      changeFirst,
    ],
    ['other keys, and it made a bucket', (tx) => tx.createBucket('made'), changeFirst],
    [
      'another bucket at the top, and it looked for one',
      (tx) => tx.bucket('c').exists,
      (db) => db.createBucket('d'),
    ],
    [
      'what is made a bucket, and it read as a key',
      (tx) => tx.bucket('b').get('c'),
      (db) => db.bucket('b').createBucket('c'),
    ],
    [
      'something and back',
      (tx) => [...tx.bucket('b').range()],
      async (db) => {
        await changeFirst(db)
        await db.bucket('b').put('k0', 'old')
      },
    ],
  ]
  test.each(cases)('%s', (_, read, change) =>
    withDatabase(async ({ db }) => {
      await prepare(db)
      expect(await runsAround(db, read, change)).toBe(1)
    })(),
  )
})

test(
  'what an update wrote on top of what it read by a left iterator is not lost',
  withDatabase(async ({ db }) => {
    const gate = new Gate()
    const counter = db.bucket('b', { value: 'json' })
    await counter.put('n', 0)
    const done = db.update(async (tx) => {
      const iterator = tx.bucket('b', { value: 'json' }).range()[Symbol.iterator]()
      const entry = iterator.next().value as [Buffer, number]
      await gate.pass()
      tx.bucket('b', { value: 'json' }).put('n', entry[1] + 1)
    })
    await gate.reached()
    await counter.put('n', 100)
    gate.open()
    await done
    expect(counter.get('n')).toBe(101)
  }),
)

test(
  'an update whose operations do not apply any more is run again',
  withDatabase(async ({ db }) => {
    await prepare(db)
    const refusals: (string | undefined)[] = []
    const read = (tx: Transaction): void => {
      const put = (): void => tx.bucket('b').put('inner2', 'v')
      refusals.push(refusal(put))
    }
    expect(await runsAround(db, read, (db) => db.bucket('b').createBucket('inner2'))).toBe(2)
    expect(refusals).toEqual([undefined, 'ERR_INCOMPATIBLE_VALUE'])
  }),
)

function refusal(run: () => void): string | undefined {
  try {
    run()
    return undefined
  } catch (error) {
    return (error as { code?: string }).code
  }
}

test(
  'a refused put has read that the name is a bucket',
  withDatabase(async ({ db }) => {
    await prepare(db)
    const read = (tx: Transaction): unknown => refusal(() => tx.bucket('b').put('inner', 'v'))
    expect(await runsAround(db, read, (db) => db.bucket('b').deleteBucket('inner'))).toBe(2)
  }),
)

test(
  'a hundred updates of keys of their own never run twice',
  withDatabase(async ({ db }) => {
    let runs = 0
    const others = async (): Promise<void> => {
      for (let n = 0; n < 300; n++) {
        void db.bucket('c').put(`other${n % 7}`, String(n))
        void db.bucket('c').nextSequence()
        if (n % 10 === 0) void db.createBucket(`made${n}`)
        await Promise.resolve()
      }
    }
    const updates = Array.from({ length: 100 }, (_, n) =>
      db.update(async (tx) => {
        runs++
        const bucket = tx.bucket('c', { value: 'json' })
        const count = Number(bucket.get(`mine${n}`) ?? 0)
        bucket.delete(`missing${n}`)
        await Promise.resolve()
        bucket.put(`mine${n}`, count + 1)
        for (const _ of bucket.range({ prefix: 'mine', limit: 1 })) break
      }),
    )
    await Promise.all([others(), ...updates])
    expect(runs).toBe(100)
  }, smallPages),
)

describe('an update that reads more than is noted one by one', () => {
  const readAll = (tx: Transaction): void => {
    const key = 'x'.repeat(30_000)
    for (let n = 0; n < 700; n++) tx.bucket('b').get(`m${String(n).padStart(3, '0')}${key}`)
  }

  test(
    'still does not run again for what lies beside it',
    withDatabase(async ({ db }) => {
      await prepare(db)
      expect(await runsAround(db, readAll, changeFirst)).toBe(1)
    }),
  )

  test(
    'runs again for what it read',
    withDatabase(async ({ db }) => {
      await prepare(db)
      const change = (db: Database): unknown => db.bucket('b').put(`m300${'x'.repeat(30_000)}`, 'v')
      expect(await runsAround(db, readAll, change)).toBe(2)
    }),
  )
})

test(
  'an update with a deletion that contradicts others is a conflict, not a broken journal',
  withDatabase(async ({ db }) => {
    await prepare(db)
    const remove = (tx: Transaction): void => tx.deleteBucket('b')
    const code = await codeOf(() => runsAround(db, remove, (db) => db.deleteBucket('b')))
    expect(code).toBe('ERR_BUCKET_NOT_FOUND')
  }),
)
