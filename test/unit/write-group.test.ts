// Group commit: what is written in one turn shares a promise, which resolves when it is durable.

import { copyFile, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { open, type Database, type SyncMode } from '../../lib/index.ts'
import { turns } from '../support/gate.ts'
import { inDirectory, untimed, withDatabase } from '../support/with-database.ts'

/** What a crash at this moment would leave: the file and its journal, copied away and opened. */
async function keysAfterCrash(db: Database): Promise<string[]> {
  return inDirectory(async (directory) => {
    const folder = join(db.path, '..')
    for (const name of await readdir(folder)) {
      await copyFile(join(folder, name), join(directory, name))
    }
    const crashed = await open(join(directory, 'data.db'))
    try {
      return [...crashed.bucket('b', { key: 'utf8' }).keys()]
    } finally {
      await crashed.close()
    }
  })
}

describe('a group of writes', () => {
  test(
    'shares one promise within a turn',
    withDatabase(async ({ db }) => {
      const bucket = db.bucket('b')
      const [one, two] = [bucket.put('a', '1'), bucket.delete('c')]
      const three = db.createBucket('other')
      expect(two).toBe(one)
      expect(three).toBe(one)
      await one
      const later = bucket.put('a', '2')
      expect(later).not.toBe(one)
      await later
    }),
  )

  test(
    'is durable when its promise resolves',
    withDatabase(async ({ db }) => {
      const bucket = db.bucket('b')
      const keys: string[] = []
      for (let n = 0; n < 20; n++) {
        const key = `k${String(n).padStart(2, '0')}`
        await bucket.put(key, 'v')
        keys.push(key)
        expect(db.stats().durableSeq).toBe(db.stats().lastSeq)
        if (n % 5 === 0) expect(await keysAfterCrash(db)).toEqual(keys)
      }
    }),
  )

  test(
    'resolves in the order of the writes',
    withDatabase(async ({ db }) => {
      const order: number[] = []
      const all: Promise<unknown>[] = []
      for (let n = 0; n < 50; n++) {
        all.push(
          db
            .bucket('b')
            .put(`k${n}`, 'v')
            .then(() => order.push(n)),
        )
        if (n % 3 === 0) await Promise.resolve()
      }
      await Promise.all(all)
      expect(order).toEqual(Array.from({ length: 50 }, (_, n) => n))
    }),
  )

  test(
    'need not be awaited: flush and close wait for it',
    withDatabase(async (context) => {
      for (let n = 0; n < 1000; n++) void context.db.bucket('b').put(`k${n}`, 'v')
      await context.db.flush()
      expect(context.db.stats().durableSeq).toBe(1000)
      for (let n = 0; n < 1000; n++) void context.db.bucket('b').put(`l${n}`, 'v')
      await context.reopen()
      expect(context.db.bucket('b').count()).toBe(2000)
    }),
  )

  test(
    'that changes nothing resolves as well',
    withDatabase(async ({ db }) => {
      await db.bucket('missing').delete('k')
      await db.update(() => {})
      await db.flush()
      expect(db.stats().lastSeq).toBe(0)
    }),
  )
})

test.each(['always', 'interval', 'never'] as SyncMode[])(
  "with sync '%s' an acknowledged write survives a crash of the process",
  (sync) =>
    withDatabase(
      async ({ db }) => {
        await db.bucket('b').put('acknowledged', 'v')
        expect(await keysAfterCrash(db)).toEqual(['acknowledged'])
        void db.bucket('b').put('flushed', 'v')
        await db.flush()
        expect(await keysAfterCrash(db)).toEqual(['acknowledged', 'flushed'])
      },
      { sync, syncIntervalMs: 60_000 },
    )(),
)

test(
  "with checkpoint: 'flush' the page file alone has what was flushed",
  withDatabase(
    async ({ db, directory }) => {
      await db.bucket('b').put('k', 'v')
      await db.flush()
      expect([db.stats().memtableBytes, db.stats().sealedBytes]).toEqual([0, 0])
      const copy = join(directory, 'copy.db')
      await copyFile(db.path, copy)
      const other = await open(copy, { readOnly: true })
      expect(other.bucket('b', { value: 'utf8' }).get('k')).toBe('v')
      await other.close()
    },
    { checkpoint: 'flush' },
  ),
)

test(
  'ten thousand groups that become durable at once are not acknowledged in one turn',
  withDatabase(async ({ db }) => {
    const groups = 10_000
    let acknowledged = 0
    for (let n = 0; n < groups; n++) {
      void db
        .bucket('b')
        .put('k', 'v')
        .then(() => acknowledged++)
      await Promise.resolve() // ends the group, and not the turn
    }
    let most = 0
    while (acknowledged < groups) {
      const before = acknowledged
      await turns(1)
      most = Math.max(most, acknowledged - before)
    }
    expect(most).toBeLessThan(groups / 2)
  }, untimed),
)
