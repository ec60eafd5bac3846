// Closing: everything that was begun ends well, everything that comes later gets ERR_CLOSED.

import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { once } from 'node:events'
import { describe, expect, test, vi } from 'vitest'
import type { Transaction } from '../../lib/index.ts'
import type { PausePoint } from '../../lib/options.ts'
import { Gate, turns } from '../support/gate.ts'
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

describe('close does not wait for ever', () => {
  const never = new Promise<void>(() => {})

  test(
    'for an update whose callback does not settle: it is rolled back',
    withDatabase(async (context) => {
      const { db } = context
      await db.bucket('b').put('before', 'v')
      let kept: Transaction | undefined
      const update = db.update(async (tx) => {
        kept = tx
        tx.bucket('b').put('k', 'v')
        await never
      })
      const behind = [db.update((tx) => tx.bucket('b').put('l', 'v')), db.update(() => never)]
      const codes = Promise.all([update, ...behind].map((each) => codeOf(() => each)))
      await db.close({ timeoutMs: 1 })
      expect(await codes).toEqual(['ERR_CLOSED', 'ERR_CLOSED', 'ERR_CLOSED'])
      expect(await codeOf(() => kept?.bucket('b').put('m', 'v'))).toBe('ERR_TX_CLOSED')
      await context.reopen()
      expect([...context.db.bucket('b', { key: 'utf8' }).keys()]).toEqual(['before'])
    }),
  )

  test(
    'for one that goes on later: what it does then is refused',
    withDatabase(async (context) => {
      const { db } = context
      const gate = new Gate()
      let later: Promise<string | undefined> | undefined
      const update = db.update((tx) => {
        later = gate.pass().then(() => codeOf(() => tx.bucket('b').put('k', 'v')))
        return later
      })
      await gate.reached()
      const refused = codeOf(() => update)
      await db.close({ timeoutMs: 0 })
      gate.open()
      expect([await refused, await later]).toEqual(['ERR_CLOSED', 'ERR_TX_CLOSED'])
    }),
  )

  test(
    'when it was not asked to hurry, and a second call may ask for less',
    withDatabase(async ({ db }) => {
      const update = db.update(() => never)
      const refused = codeOf(() => update)
      const patient = db.close({ timeoutMs: 0xffff_ffff })
      expect(db.close({ timeoutMs: 1 })).toBe(patient)
      await patient
      expect(await refused).toBe('ERR_CLOSED')
    }),
  )

  test(
    'by default: five seconds',
    withDatabase(async ({ db }) => {
      vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
      try {
        let ended = false
        const refused = codeOf(() => db.update(() => never)).finally(() => (ended = true))
        const closed = db.close()
        vi.advanceTimersByTime(4999)
        await turns()
        expect(ended).toBe(false)
        vi.advanceTimersByTime(1)
        expect(await refused).toBe('ERR_CLOSED')
        await closed
        expect(vi.getTimerCount()).toBe(0)
      } finally {
        vi.useRealTimers()
      }
    }),
  )

  test(
    'for iterators, snapshots, views and streams that are left open',
    withDatabase(async ({ db }) => {
      for (let n = 0; n < 2000; n++) void db.bucket('b').put(`k${n}`, 'v')
      const snapshot = db.snapshot()
      const iterators: unknown[] = []
      for (const source of [db, snapshot]) {
        const sync = source.bucket('b').range()[Symbol.iterator]()
        const async = source.bucket('b').range()[Symbol.asyncIterator]()
        iterators.push(sync, sync.next(), async, await async.next())
      }
      void db.view(() => never)
      const stream = db.backupStream()
      const streamed = codeOf(() => once(stream, 'end'))
      await db.close({ timeoutMs: 0xffff_ffff })
      expect(await streamed).toBe('ERR_ABORTED')
      expect(iterators).toHaveLength(8)
    }),
  )

  test(
    'and waits for an update that settles in time',
    withDatabase(async (context) => {
      const { db } = context
      const gate = new Gate()
      const update = db.update(async (tx) => {
        await gate.pass()
        tx.bucket('b').put('k', 'v')
      })
      await gate.reached()
      const closed = db.close({ timeoutMs: 0xffff_ffff })
      gate.open()
      await update
      await closed
      expect((await context.reopen()).bucket('b').has('k')).toBe(true)
    }),
  )

  test(
    'needs a number of milliseconds',
    withDatabase(async ({ db }) => {
      for (const timeoutMs of [-1, 1.5, Infinity, 'x' as never]) {
        expect(await codeOf(() => db.close({ timeoutMs }))).toBe('ERR_INVALID_ARGUMENT')
      }
      expect(await codeOf(() => db.close({ timeout: 1 } as never))).toBe('ERR_INVALID_ARGUMENT')
      expect(db.buckets()).toEqual([])
    }),
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
