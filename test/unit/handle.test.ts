// A handle of a bucket where a name is accepted: the same bucket, with the same codecs.

import { join } from 'node:path'
import { describe, expect, expectTypeOf, test } from 'vitest'
import { open } from '../../lib/index.ts'
import { expectRefusal } from '../support/refusal.ts'
import { withDatabase } from '../support/with-database.ts'

const typed = { key: 'utf8', value: 'json' } as const

describe('a handle instead of a name', () => {
  test(
    'in a transaction is the same bucket with its codecs',
    withDatabase(async ({ db }) => {
      const users = db.bucket('users', typed)
      await users.put('ada', { age: 36 })
      await db.update((tx) => {
        const inside = tx.bucket(users)
        const named = tx.bucket('users', typed)
        expectTypeOf(inside).toEqualTypeOf<typeof named>()
        expect([...inside.range()]).toEqual([['ada', { age: 36 }]])
        inside.put('bob', { age: 7 })
        expect(users.has('bob')).toBe(false)
      })
      expect(users.get('bob')).toEqual({ age: 7 })
    }),
  )

  test(
    'keeps its path, however deep',
    withDatabase(async ({ db }) => {
      const deep = db.bucket('a').bucket('b').bucket('c', typed)
      await db.update((tx) => tx.bucket(deep).put('k', 1))
      expect(db.bucket('a').bucket('b').bucket('c', typed).get('k')).toBe(1)
      await db.update((tx) => {
        tx.bucket(deep).bucket('d').put('k', 'v')
        expect(tx.bucket(tx.bucket(deep)).buckets()).toEqual(['d'])
      })
      expect(deep.bucket('d').count()).toBe(1)
    }),
  )

  test(
    'is taken by the database, snapshots and transactions, from each of them',
    withDatabase(async ({ db }) => {
      const users = db.bucket('users', typed)
      await users.put('ada', 1)
      using snapshot = db.snapshot()
      expect(snapshot.bucket(users).get('ada')).toBe(1)
      const frozen = snapshot.bucket('users', typed)
      expectTypeOf(snapshot.bucket(users)).toEqualTypeOf<typeof frozen>()
      const again = db.bucket(frozen)
      expectTypeOf(again).toEqualTypeOf<typeof users>()
      await again.put('ada', 2)
      expect([frozen.get('ada'), users.get('ada')]).toEqual([1, 2])
      const kept = await db.update((tx) => {
        tx.bucket(frozen).put('ada', 3)
        expect([users.get('ada'), frozen.get('ada')]).toEqual([2, 1])
        return tx.bucket(users)
      })
      expect(db.bucket(kept).get('ada')).toBe(3)
      expect(db.view((state) => state.bucket(kept).get('ada'))).toBe(3)
    }),
  )

  test(
    'of another database, or with options, is refused',
    withDatabase(async ({ db, directory }) => {
      await using other = await open(join(directory, 'other.db'))
      const users = other.bucket('users')
      await expectRefusal('ERR_INVALID_ARGUMENT', () => db.bucket(users))
      await expectRefusal('ERR_INVALID_ARGUMENT', () => db.view((state) => state.bucket(users)))
      await expectRefusal('ERR_INVALID_ARGUMENT', () => db.update((tx) => tx.bucket(users)))
      const own = db.bucket('users') as never
      await expectRefusal('ERR_INVALID_ARGUMENT', () => db.bucket(own, { value: 'json' }))
    }),
  )
})
