// Updates: atomic, isolated, one at a time; asynchronous ones are run again after a conflict.

import { AsyncResource } from 'node:async_hooks'
import { describe, expect, test } from 'vitest'
import type { Database, Transaction, TransactionBucket } from '../../lib/index.ts'
import { hashOf } from '../support/model.ts'
import { codeOf, refusalOf, smallPages, withDatabase } from '../support/with-database.ts'

/** Something to wait for, and the way to let it happen. */
function gate(): { readonly opened: Promise<void>; readonly open: () => void } {
  let open = (): void => {}
  const opened = new Promise<void>((resolve) => (open = resolve))
  return { opened, open }
}

const valueOf = (db: Database, key: string): string | undefined =>
  db.bucket('b', { value: 'utf8' }).get(key)

describe('a synchronous update', () => {
  test(
    'is visible when update() returns and gives what the callback gave',
    withDatabase(async ({ db }) => {
      const done = db.update((tx) => {
        tx.bucket('b').put('k', 'v')
        return 42
      })
      expect(valueOf(db, 'k')).toBe('v')
      expect(await done).toBe(42)
    }),
  )

  test(
    'reads its own writes, of every kind, before anybody else does',
    withDatabase(async ({ db }) => {
      await db.bucket('b').put('old', 'v')
      await db.bucket('gone').put('k', 'v')
      await db.update((tx) => {
        const bucket = tx.bucket('b', { key: 'utf8', value: 'utf8' })
        bucket.put('new', 'w')
        bucket.delete('old')
        bucket.setSequence(4n)
        bucket.bucket('inner').put('k', 'v')
        tx.deleteBucket('gone')
        tx.createBucket('made')
        expect([...bucket.range()]).toEqual([['new', 'w']])
        expect([bucket.count(), bucket.has('old'), bucket.nextSequence()]).toEqual([1, false, 5n])
        expect(bucket.buckets()).toEqual(['inner'])
        expect(tx.buckets({ key: 'utf8' })).toEqual(['b', 'made'])
        expect(tx.bucket('gone').exists).toBe(false)
        expect([valueOf(db, 'new'), valueOf(db, 'old')]).toEqual([undefined, 'v'])
        expect(db.buckets({ key: 'utf8' })).toEqual(['b', 'gone'])
      })
      expect(valueOf(db, 'new')).toBe('w')
      expect(db.bucket('b').sequence).toBe(5n)
    }),
  )

  test(
    'writes nothing when it throws, and the error is the one it threw',
    withDatabase(async ({ db }) => {
      await db.bucket('b').put('k', 'before')
      const hash = await db.hash()
      const reason = new Error('no')
      const failed = db.update((tx) => {
        tx.bucket('b').put('k', 'after')
        tx.bucket('b').bucket('inner').put('k', 'v')
        tx.createBucket('made')
        tx.deleteBucket('made')
        tx.deleteBucket('b')
        throw reason
      })
      await expect(failed).rejects.toBe(reason)
      expect(await db.hash()).toBe(hash)
    }),
  )

  test(
    'that catches a refused operation commits the others',
    withDatabase(async ({ db }) => {
      await db.createBucket('made')
      await db.update((tx) => {
        tx.bucket('b').put('k', 'v')
        expect(refusalOf(() => tx.createBucket('made'))).toBe('ERR_BUCKET_EXISTS')
        expect(refusalOf(() => tx.deleteBucket('none'))).toBe('ERR_BUCKET_NOT_FOUND')
        expect(refusalOf(() => tx.bucket('b').put('', 'v'))).toBe('ERR_KEY_REQUIRED')
        expect(refusalOf(() => tx.createBucket('b'))).toBe('ERR_BUCKET_EXISTS')
        tx.bucket('b').put('l', 'w')
      })
      expect([valueOf(db, 'k'), valueOf(db, 'l')]).toEqual(['v', 'w'])
    }),
  )

  test(
    'of nothing succeeds and writes nothing',
    withDatabase(async ({ db }) => {
      const before = db.stats().lastSeq
      await db.update(() => {})
      expect(db.stats().lastSeq).toBe(before)
    }),
  )

  test(
    'of ten thousand operations is one transaction',
    withDatabase(async ({ db }) => {
      const before = db.stats().lastSeq
      await db.update((tx) => {
        const bucket = tx.bucket('b')
        for (let n = 0; n < 10_000; n++) bucket.put(`k${n}`, `v${n}`)
        for (let n = 0; n < 10_000; n += 2) bucket.delete(`k${n}`)
      })
      expect(db.stats().lastSeq).toBe(before + 1)
      expect(db.bucket('b').count()).toBe(5000)
    }, smallPages),
  )
})

describe('an asynchronous update', () => {
  test(
    'shows nothing until it is committed, and sees nothing of what others write',
    withDatabase(async ({ db }) => {
      await db.bucket('b').put('seen', 'old')
      const [begun, goOn] = [gate(), gate()]
      let runs = 0
      const done = db.update(async (tx) => {
        runs++
        const bucket = tx.bucket('b', { value: 'utf8' })
        bucket.put('k', 'v')
        begun.open()
        await goOn.opened
        return [bucket.get('k'), bucket.get('other')]
      })
      await begun.opened
      expect(valueOf(db, 'k')).toBeUndefined()
      await db.bucket('elsewhere').put('k', 'v')
      goOn.open()
      expect(await done).toEqual(['v', undefined])
      expect([runs, valueOf(db, 'k')]).toEqual([1, 'v'])
    }),
  )

  test(
    'that rejects writes nothing',
    withDatabase(async ({ db }) => {
      const failed = db.update(async (tx) => {
        tx.bucket('b').put('k', 'v')
        await Promise.resolve()
        throw new Error('no')
      })
      await expect(failed).rejects.toThrow('no')
      expect(db.buckets()).toEqual([])
    }),
  )

  test(
    'gives up with ERR_CONFLICT after its retries and has written nothing',
    withDatabase(async ({ db }) => {
      let runs = 0
      const change = AsyncResource.bind(() => db.bucket('b').put('k', String(runs)))
      const callback = async (tx: Transaction): Promise<void> => {
        runs++
        tx.bucket('b').get('k')
        await change()
        tx.bucket('result').put('k', 'v')
      }
      expect(await codeOf(() => db.update(callback, { retries: 2 }))).toBe('ERR_CONFLICT')
      expect([runs, db.bucket('result').exists]).toEqual([3, false])
      expect(await codeOf(() => db.update(callback, { retries: 0 }))).toBe('ERR_CONFLICT')
      expect(runs).toBe(4)
    }),
  )

  test(
    'loses no increment however many go on at once',
    withDatabase(async ({ db }) => {
      const increment = async (tx: Transaction): Promise<void> => {
        const bucket = tx.bucket('b', { value: 'json' })
        const count = Number(bucket.get('count') ?? 0)
        await Promise.resolve()
        bucket.put('count', count + 1)
      }
      await Promise.all(Array.from({ length: 200 }, () => db.update(increment)))
      expect(db.bucket('b', { value: 'json' }).get('count')).toBe(200)
    }, smallPages),
  )

  test(
    'keeps its view over checkpoints and defragmentations',
    withDatabase(async ({ db }) => {
      for (let n = 0; n < 500; n++) void db.bucket('b').put(`k${n}`, 'v'.repeat(50))
      const change = AsyncResource.bind(() => {
        for (let n = 0; n < 500; n++) void db.bucket('other').put(`k${n}`, 'w')
      })
      await db.update(async (tx) => {
        const hash = hashOf(tx)
        change()
        await db.checkpoint()
        expect(hashOf(tx)).toBe(hash)
        await db.defrag()
        expect(hashOf(tx)).toBe(hash)
        if (tx.bucket('other').count() === 0) tx.bucket('b').put('done', 'v')
      })
      expect(valueOf(db, 'done')).toBeUndefined()
      expect(db.bucket('other').count()).toBe(500)
    }, smallPages),
  )
})

describe('updates among each other', () => {
  test(
    'run one at a time, in the order of the calls, and single puts do not wait',
    withDatabase(async ({ db }) => {
      const [begun, goOn] = [gate(), gate()]
      const order: string[] = []
      const first = db.update(async (tx) => {
        order.push('first begins')
        begun.open()
        await goOn.opened
        tx.bucket('b').put('k', 'first')
        order.push('first ends')
      })
      const second = db.update((tx) => {
        order.push(`second sees ${tx.bucket('b', { value: 'utf8' }).get('k')}`)
      })
      await begun.opened
      await db.bucket('single').put('k', 'v')
      order.push('put')
      goOn.open()
      await Promise.all([first, second])
      expect(order).toEqual(['first begins', 'put', 'first ends', 'second sees first'])
    }),
  )

  test(
    'are as many as one likes behind one that goes on',
    withDatabase(async ({ db }) => {
      const goOn = gate()
      const first = db.update(() => goOn.opened)
      const behind = Array.from({ length: 20_000 }, (_, n) =>
        db.update((tx) => (n % 2 === 0 ? n : tx.bucket('b').put(`k${n}`, 'v'))),
      )
      goOn.open()
      await first
      await Promise.all(behind)
      expect(db.bucket('b').count()).toBe(10_000)
    }),
  )

  test(
    'one that fails does not stop those behind it',
    withDatabase(async ({ db }) => {
      const first = db.update(async () => {
        await Promise.resolve()
        throw new Error('no')
      })
      const second = db.update((tx) => tx.bucket('b').put('k', 'v'))
      await expect(first).rejects.toThrow('no')
      await second
      expect(valueOf(db, 'k')).toBe('v')
    }),
  )

  test(
    'are not started inside each other',
    withDatabase(async ({ db }) => {
      const nested = (): Promise<void> => db.update(() => {})
      expect(await db.update(() => codeOf(nested))).toBe('ERR_TX_NESTED')
      const later = await db.update(async () => {
        await Promise.resolve()
        return codeOf(nested)
      })
      expect(later).toBe('ERR_TX_NESTED')
      await nested()
    }),
  )

  test(
    'what is left running by one that ended may start another',
    withDatabase(async ({ db }) => {
      const goOn = gate()
      let left: Promise<void> = Promise.resolve()
      await db.update((tx) => {
        tx.bucket('b').put('k', 'v')
        left = goOn.opened.then(() => db.update((next) => next.bucket('b').put('l', 'w')))
      })
      goOn.open()
      await left
      expect(valueOf(db, 'l')).toBe('w')
    }),
  )
})

describe('a bucket that an update deletes', () => {
  const writes: [string, (inner: TransactionBucket) => void][] = [
    ['put', (inner) => inner.put('k2', 'v')],
    ['setSequence', (inner) => inner.setSequence(2n)],
    ['createBucket', (inner) => inner.createBucket('c')],
  ]
  test.each(writes)('and a key takes the name of, cannot be written to: %s', (_, write) =>
    withDatabase(async ({ db }) => {
      await db.bucket('before').put('k', 'v')
      const update = db.update((tx) => {
        const outer = tx.bucket('a')
        const inner = outer.bucket('b')
        inner.put('k', 'v')
        outer.deleteBucket('b')
        outer.put('b', 'x')
        write(inner)
      })
      expect(await codeOf(() => update)).toBe('ERR_INCOMPATIBLE_VALUE')
      expect(db.bucket('a').exists).toBe(false)
      await db.bucket('after').put('k', 'v')
    })(),
  )

  test(
    'and a key takes the name of, has nothing to delete or list',
    withDatabase(async ({ db }) => {
      await db.update((tx) => {
        const outer = tx.bucket('a')
        const inner = outer.bucket('b')
        inner.put('k', 'v')
        outer.deleteBucket('b')
        outer.put('b', 'x')
        inner.delete('k')
        expect([...inner.range()]).toEqual([])
        expect([...outer.keys()].map(String)).toEqual(['b'])
      })
    }),
  )
})

test(
  'a deletion in a bucket that did not exist is a read of that',
  withDatabase(async ({ db }) => {
    const seen = gate()
    const go = gate()
    let runs = 0
    const update = db.update(async (tx) => {
      runs++
      tx.bucket('missing').delete('k')
      tx.bucket('c').put('x', 'tx')
      seen.open()
      await go.opened
    })
    await seen.opened
    await db.bucket('missing').put('k', 'other')
    go.open()
    await update
    expect(runs).toBe(2)
    expect(db.bucket('missing').has('k')).toBe(false)
  }),
)

describe('a transaction that has ended', () => {
  test(
    'refuses every method with ERR_TX_CLOSED',
    withDatabase(async ({ db }) => {
      let kept: Transaction | undefined
      await db.update((tx) => {
        tx.bucket('b').put('k', 'v')
        kept = tx
      })
      const tx = kept!
      const bucket = tx.bucket('b')
      const calls: (() => unknown)[] = [
        () => tx.buckets(),
        () => tx.createBucket('c'),
        () => tx.deleteBucket('b'),
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
        () => bucket.put('k', 'w'),
        () => bucket.delete('k'),
        () => bucket.nextSequence(),
        () => bucket.setSequence(1n),
        () => bucket.createBucket('c'),
        () => bucket.deleteBucket('c'),
        () => bucket.bucket('inner').put('k', 'v'),
      ]
      for (const call of calls) expect(await codeOf(call), String(call)).toBe('ERR_TX_CLOSED')
      expect(valueOf(db, 'k')).toBe('v')
    }),
  )

  test(
    'ends the iterations that were begun in it',
    withDatabase(async ({ db }) => {
      for (let n = 0; n < 2000; n++) void db.bucket('b').put(`k${n}`, 'v')
      let iterator: Iterator<Buffer> | undefined
      await db.update((tx) => {
        iterator = tx.bucket('b').keys()[Symbol.iterator]()
        iterator.next()
      })
      const rest = (): void => {
        while (iterator?.next().done !== true);
      }
      expect(await codeOf(rest)).toBe('ERR_TX_CLOSED')
    }),
  )
})

test(
  'an update needs a function and known options',
  withDatabase(async ({ db }) => {
    const update = db.update.bind(db) as (callback: unknown, options?: unknown) => Promise<unknown>
    expect(await codeOf(() => update('x'))).toBe('ERR_INVALID_ARGUMENT')
    expect(await codeOf(() => update(() => {}, { retry: 1 }))).toBe('ERR_INVALID_ARGUMENT')
    expect(await codeOf(() => update(() => {}, { retries: -1 }))).toBe('ERR_INVALID_ARGUMENT')
  }),
)
