// Closing: everything that was begun ends well, everything that comes later gets ERR_CLOSED.

import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { describe, expect, test } from 'vitest'
import type { PausePoint } from '../../lib/options.ts'
import {
  codeOf,
  holdDefragAt,
  leftovers,
  smallPages,
  withDatabase,
} from '../support/with-database.ts'

test(
  'after close every method throws or rejects with ERR_CLOSED',
  withDatabase(async (context) => {
    const { db } = context
    const bucket = db.bucket('b')
    for (let n = 0; n < 2000; n++) void bucket.put(`k${n}`, 'v')
    const snapshot = db.snapshot()
    const frozen = snapshot.bucket('b')
    const iterator = bucket.keys()[Symbol.iterator]()
    iterator.next()
    await db.close()
    const calls: (() => unknown)[] = [
      () => db.bucket('b'),
      () => db.buckets(),
      () => db.createBucket('c'),
      () => db.deleteBucket('b'),
      () => db.update(() => {}),
      () => db.view(() => {}),
      () => db.snapshot(),
      () => db.flush(),
      () => db.checkpoint(),
      () => db.defrag(),
      () => db.stats(),
      () => db.check(),
      () => db.hash(),
      () => bucket.get('k'),
      () => bucket.getMany(['k']),
      () => bucket.getInto('k', Buffer.alloc(1)),
      () => bucket.has('k'),
      () => bucket.count(),
      () => [...bucket.range()],
      () => [...bucket.keys()],
      () => [...bucket.values()],
      () => bucket.buckets(),
      () => bucket.exists,
      () => bucket.sequence,
      () => bucket.put('k', 'v'),
      () => bucket.delete('k'),
      () => bucket.nextSequence(),
      () => bucket.setSequence(1n),
      () => bucket.createBucket('c'),
      () => bucket.deleteBucket('c'),
      () => snapshot.buckets(),
      () => frozen.get('k'),
      () => [...frozen.range()],
      () => {
        while (iterator.next().done !== true);
      },
    ]
    for (const call of calls) expect(await codeOf(call), String(call)).toBe('ERR_CLOSED')
    snapshot.close()
    expect([db.path, db.readOnly]).toEqual([context.path, false])
    await db.close()
  }),
)

test(
  'refuses new calls from the moment it is called',
  withDatabase(async ({ db }) => {
    const closed = db.close()
    expect(await codeOf(() => db.bucket('b'))).toBe('ERR_CLOSED')
    expect(await codeOf(() => db.flush())).toBe('ERR_CLOSED')
    expect(db.close()).toBe(closed)
    await closed
  }),
)

describe('close waits for what has begun', () => {
  test(
    'writes that nobody awaited',
    withDatabase(async (context) => {
      for (let n = 0; n < 5000; n++) void context.db.bucket('b').put(`k${n}`, 'v')
      await context.reopen()
      expect(context.db.bucket('b').count()).toBe(5000)
    }, smallPages),
  )

  test(
    'updates, with those that wait behind them',
    withDatabase(async (context) => {
      const { db } = context
      const updates = Array.from({ length: 5 }, (_, n) =>
        db.update(async (tx) => {
          await Promise.resolve()
          tx.bucket('b').put(`k${n}`, 'v')
        }),
      )
      const closed = db.close()
      await Promise.all(updates)
      await closed
      expect((await context.reopen()).bucket('b').count()).toBe(5)
    }),
  )

  test(
    'checkpoints, checks, hashes and flushes',
    withDatabase(async ({ db }) => {
      for (let n = 0; n < 2000; n++) void db.bucket('b').put(`k${n}`, 'v')
      const work = [db.checkpoint(), db.check(), db.hash(), db.flush(), db.checkpoint()]
      const closed = db.close()
      const results = await Promise.allSettled(work)
      expect(results.map(({ status }) => status)).toEqual(work.map(() => 'fulfilled'))
      await closed
    }, smallPages),
  )
})

describe('close during a defragmentation', () => {
  const points: [PausePoint, string | undefined][] = [
    ['before-copy', 'ERR_ABORTED'],
    ['copy-started', 'ERR_ABORTED'],
    ['after-copy', 'ERR_ABORTED'],
    ['round', 'ERR_ABORTED'],
    ['before-publish', 'ERR_ABORTED'],
    ['after-publish', undefined],
    ['before-install', undefined],
    ['after-install', undefined],
    ['before-clean', undefined],
  ]
  test.each(points)('at %s ends it with %s and loses nothing', (point, code) =>
    withDatabase(async (context) => {
      const { db } = context
      for (let n = 0; n < 1000; n++) void db.bucket('b').put(`k${n}`, 'v'.repeat(60))
      await db.checkpoint()
      const held = holdDefragAt(db, point)
      await held.reached
      for (let n = 0; n < 300; n++) void db.bucket('b').put(`l${n}`, 'w')
      for (let n = 0; n < 300; n++) void db.bucket('b').delete(`k${n}`)
      const closed = db.close()
      held.release()
      expect(await codeOf(() => held.report)).toBe(code)
      await closed
      expect(leftovers(context.path)).toEqual([])
      await context.reopen()
      expect(context.db.bucket('b').count()).toBe(1000)
      expect(context.db.bucket('b').count({ prefix: 'l' })).toBe(300)
    }, smallPages)(),
  )
})

test(
  'open and close are told on their channels',
  withDatabase(async (context) => {
    const told: unknown[] = []
    const onOpen = (message: unknown): unknown => told.push(['open', message])
    const onClose = (message: unknown): unknown => told.push(['close', message])
    subscribe('hotbolt:open', onOpen)
    subscribe('hotbolt:close', onClose)
    try {
      await context.reopen({ readOnly: true })
      await context.close()
    } finally {
      unsubscribe('hotbolt:open', onOpen)
      unsubscribe('hotbolt:close', onClose)
    }
    expect(told).toEqual([
      ['close', { path: context.path }],
      ['open', { path: context.path, readOnly: true }],
      ['close', { path: context.path }],
    ])
  }),
)

test(
  'await using closes',
  withDatabase(async (context) => {
    await context.close()
    {
      await using db = await context.open()
      await db.bucket('b').put('k', 'v')
    }
    expect(await codeOf(() => context.db.stats())).toBe('ERR_CLOSED')
  }),
)
