// db.hash() covers everything that a database says, and nothing of how it is stored.

import { expect, test } from 'vitest'
import type { Database } from '../../lib/index.ts'
import { Model } from '../support/model.ts'
import { smallPages, withDatabase } from '../support/with-database.ts'

const changes: [string, (db: Database) => unknown][] = [
  ['a value', (db) => db.bucket('b').put('k5', 'other')],
  ['an empty value for a missing key', (db) => db.bucket('b').put('missing', '')],
  ['the deletion of a key', (db) => db.bucket('b').delete('k5')],
  ['a sequence', (db) => db.bucket('b').setSequence(2n)],
  ['an empty bucket', (db) => db.createBucket('empty')],
  ['an empty bucket inside', (db) => db.bucket('b').createBucket('empty')],
  ['the deletion of an empty bucket', (db) => db.deleteBucket('void')],
  [
    'a key that moves to another bucket',
    (db) => {
      void db.bucket('b').delete('k5')
      void db.bucket('c').put('k5', 'v')
    },
  ],
  [
    'a byte that moves from a key to its value',
    (db) => {
      void db.bucket('b').delete('k5')
      void db.bucket('b').put('k', '5v')
    },
  ],
]

async function fill(db: Database): Promise<void> {
  for (let n = 0; n < 100; n++) void db.bucket('b').put(`k${n}`, 'v')
  void db.bucket('b').setSequence(1n)
  void db.bucket('c').put('k', 'v')
  await db.createBucket('void')
}

test.each(changes)('%s changes it, in memory and in the page file', (_, change) =>
  withDatabase(async ({ db }) => {
    await fill(db)
    await db.checkpoint()
    const before = await db.hash()
    await change(db)
    const after = await db.hash()
    expect(after).not.toBe(before)
    await db.checkpoint()
    expect(await db.hash()).toBe(after)
  }, smallPages)(),
)

test(
  'checkpoints, defragmentations, opening again and another page size do not change it',
  withDatabase(async (context) => {
    await fill(context.db)
    const hash = await context.db.hash()
    await context.db.checkpoint()
    await context.db.defrag()
    expect(await context.db.hash()).toBe(hash)
    await context.reopen()
    expect(await context.db.hash()).toBe(hash)
    await withDatabase(
      async ({ db }) => {
        await fill(db)
        expect(await db.hash()).toBe(hash)
      },
      { pageSize: 65_536 },
    )()
  }, smallPages),
)

test(
  'it is the hash of the state at the moment of the call',
  withDatabase(async ({ db }) => {
    const model = new Model()
    for (let n = 0; n < 20_000; n++) {
      void db.bucket('b').put(`k${n}`, 'v')
      model.put(['b'], `k${n}`, 'v')
    }
    const hashing = db.hash()
    void db.deleteBucket('b')
    void db.bucket('b').put('k', 'v')
    expect(await hashing).toBe(model.hash())
  }),
)
