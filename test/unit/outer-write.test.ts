// A write through a handle of the database, inside an update of the same database: it would be a
// transaction of its own, and stay when the update is rolled back. It is refused.

import { AsyncResource } from 'node:async_hooks'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { open, type Database } from '../../lib/index.ts'
import { Gate } from '../support/gate.ts'
import { expectRefusal } from '../support/refusal.ts'
import { codeOf, refusalOf, withDatabase } from '../support/with-database.ts'

type Write = (db: Database) => unknown

const writes: [string, Write][] = [
  ['put', (db) => db.bucket('b').put('k', 'outer')],
  ['delete', (db) => db.bucket('b').delete('k')],
  ['nextSequence', (db) => db.bucket('b').nextSequence()],
  ['setSequence', (db) => db.bucket('b').setSequence(7n)],
  ['createBucket', (db) => db.createBucket('made')],
  ['deleteBucket', (db) => db.deleteBucket('b')],
  ['createBucket in a bucket', (db) => db.bucket('b').createBucket('made')],
  ['deleteBucket in a bucket', (db) => db.bucket('b').deleteBucket('inner')],
  ['put in a nested bucket', (db) => db.bucket('b').bucket('inner').put('k', 'outer')],
]

async function prepare(db: Database): Promise<string> {
  await db.bucket('b').put('k', 'v')
  await db.bucket('b').bucket('inner').put('k', 'v')
  return db.hash()
}

describe.each(writes)('%s through an outer handle', (_, write) => {
  test(
    'is refused in a synchronous callback',
    withDatabase(async ({ db }) => {
      const hash = await prepare(db)
      await db.update(() => expect(refusalOf(() => write(db))).toBe('ERR_TX_OUTER_WRITE'))
      expect(await db.hash()).toBe(hash)
      await write(db)
      expect(await db.hash()).not.toBe(hash)
    }),
  )

  test(
    'is refused in an asynchronous one, across awaits, and rolls it back unless it is caught',
    withDatabase(async ({ db }) => {
      const hash = await prepare(db)
      const update = db.update(async (tx) => {
        tx.bucket('b').put('l', 'v')
        await new Promise((resolve) => setImmediate(resolve))
        await write(db)
      })
      expect(await codeOf(() => update)).toBe('ERR_TX_OUTER_WRITE')
      expect(await db.hash()).toBe(hash)
    }),
  )

  test(
    'goes on outside of the callback while the update is open',
    withDatabase(async ({ db }) => {
      const hash = await prepare(db)
      const gate = new Gate()
      const update = db.update(() => gate.pass())
      await gate.reached()
      await write(db)
      expect(await db.hash()).not.toBe(hash)
      gate.open()
      await update
    }),
  )
})

test(
  'the refusal says what to write instead',
  withDatabase(async ({ db }) => {
    await db.update(async () => {
      const { message } = await expectRefusal('ERR_TX_OUTER_WRITE', () =>
        db.bucket('b').put('k', 'v'),
      )
      expect(message).toContain('put() inside an update would not be part of it')
      expect(message).toContain('tx.bucket(')
    })
  }),
)

test(
  'what an update has left running may write when it has ended',
  withDatabase(async ({ db }) => {
    const gate = new Gate()
    let left: Promise<void> | undefined
    await db.update(async () => {
      left = gate.pass().then(() => db.bucket('b').put('k', 'v'))
    })
    gate.open()
    await left
    expect(db.bucket('b').has('k')).toBe(true)
  }),
)

test(
  'what was made before the update writes in its own context',
  withDatabase(async ({ db }) => {
    const write = AsyncResource.bind(() => db.bucket('b').put('k', 'v'))
    await db.update(async (tx) => {
      tx.bucket('c').put('k', 'v')
      await write()
    })
    expect([db.bucket('b').has('k'), db.bucket('c').has('k')]).toEqual([true, true])
  }),
)

test(
  'another database may be written to inside an update',
  withDatabase(async ({ db, directory }) => {
    await using other = await open(join(directory, 'other.db'))
    await db.update(async (tx) => {
      tx.bucket('b').put('k', 'v')
      await other.bucket('b').put('k', 'v')
      await other.update((inner) => {
        inner.bucket('b').put('l', 'v')
        expect(refusalOf(() => db.bucket('b').put('k', 'v'))).toBe('ERR_TX_OUTER_WRITE')
      })
    })
    expect([db.bucket('b').count(), other.bucket('b').count()]).toEqual([1, 2])
  }),
)

test(
  'reading through an outer handle sees the newest state, without the update',
  withDatabase(async ({ db }) => {
    await db.update((tx) => {
      tx.bucket('b').put('k', 'v')
      expect(db.bucket('b').has('k')).toBe(false)
    })
  }),
)
