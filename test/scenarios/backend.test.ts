// The scenarios of the tests of etcd's backend package, in terms of this API, and stricter: where
// etcd compares a hash that leaves out keys and values, everything is compared here.
//
// etcd's batch transaction is our memtable, its commit our checkpoint, its read buffer nothing at
// all: reads go through the memtable. Each test is named after the one it stands for.

import { copyFile, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { open, type Database, type RangeOptions } from '../../lib/index.ts'
import { hashOf, Model } from '../support/model.ts'
import {
  bucketAt,
  codeOf,
  holdDefragAt,
  sharedJudge,
  smallPages,
  untimed,
  verifyFile,
  withDatabase,
} from '../support/with-database.ts'
import { Checkpoints } from '../support/checkpoints.ts'
import { hasTool } from '../support/tools.ts'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'

/** A range as strings. */
function entriesOf(db: Database, bucket: string, options: RangeOptions = {}): string[][] {
  const range = db.bucket(bucket, { key: 'utf8', value: 'utf8' }).range(options)
  return Array.from(range, ([key, value]) => [key, value])
}

/** What the page file alone says: a copy of it, without the journal. */
async function inPageFile(db: Database, bucket: string, key: string): Promise<string | undefined> {
  const copy = join(db.path, '..', 'page-file-alone.db')
  await copyFile(db.path, copy)
  const other = await open(copy, { readOnly: true })
  try {
    return other.bucket(bucket, { value: 'utf8' }).get(key)
  } finally {
    await other.close()
  }
}

describe('the life of a database', () => {
  test(
    'TestBackendClose: close ends, with writes under way',
    withDatabase(async ({ db }) => {
      for (let n = 0; n < 1000; n++) void db.bucket('key').put(`k${n}`, 'v')
      await db.close()
    }),
  )

  test(
    'TestBackendSnapshot: a snapshot has what was written before and nothing that comes after',
    withDatabase(async ({ db }) => {
      await db.bucket('test').put('foo', 'bar')
      const hash = await db.hash()
      using snapshot = db.snapshot()
      await db.bucket('test').put('foo', 'baz')
      expect(snapshot.bucket('test', { value: 'utf8' }).get('foo')).toBe('bar')
      expect(hashOf(snapshot)).toBe(hash)
    }),
  )

  test(
    'TestBackendDefrag: all is kept, free pages are given back, writes go on',
    withDatabase(async (context) => {
      const { db } = context
      const model = new Model()
      const put = (key: string, value: string): void => {
        void db.bucket('test').put(key, value)
        model.put(['test'], key, value)
      }
      for (let n = 0; n < 10_000; n++) put(`foo_${n}`, 'bar'.repeat(10))
      await db.checkpoint()
      for (let n = 0; n < 5000; n++) {
        void db.bucket('test').delete(`foo_${n}`)
        model.delete(['test'], `foo_${n}`)
      }
      await db.checkpoint()
      const before = db.stats()
      const report = await db.defrag()
      expect(await db.hash()).toBe(model.hash())
      const after = db.stats()
      expect(after.sizeBytes).toBeLessThan(before.sizeBytes * 0.7)
      expect(after.sizeInUseBytes).toBeLessThan(before.sizeInUseBytes)
      expect(report.sizeAfterBytes).toBe(after.sizeBytes)
      expect(report.entriesCopied).toBe(5001) // the bucket is one of them
      put('more', 'bar')
      await db.checkpoint()
      expect(await db.hash()).toBe(model.hash())
    }),
  )
})

describe('commits', () => {
  test(
    'TestBackendBatchIntervalCommit: after the interval a write is in the page file by itself',
    withDatabase(
      async ({ db }) => {
        using checkpoints = new Checkpoints()
        void db.bucket('test').put('foo', 'bar')
        await checkpoints.of(db, 1)
        expect(await inPageFile(db, 'test', 'foo')).toBe('bar')
      },
      { checkpointIntervalMs: 20, checkpointIdleMs: 0 },
    ),
  )

  test(
    'TestBatchTxCommit: a checkpoint makes data visible in the page file, and not before',
    withDatabase(async ({ db }) => {
      await db.bucket('test').put('foo', 'bar')
      expect(await inPageFile(db, 'test', 'foo')).toBeUndefined()
      await db.checkpoint()
      expect(await inPageFile(db, 'test', 'foo')).toBe('bar')
      if (!hasTool('go')) return
      const copy = join(db.path, '..', 'page-file-alone.db')
      expect(await (await sharedJudge()).check(copy)).toEqual({ ok: true, errors: [] })
    }, untimed),
  )

  test(
    'TestBatchTxBatchLimitCommit: with the least limit every group is committed by itself',
    withDatabase(
      async ({ db }) => {
        using checkpoints = new Checkpoints()
        const before = db.stats().txid
        for (let n = 0; n < 5; n++) {
          await db.bucket('test').put(`k${n}`, 'v')
          await checkpoints.of(db, n + 1)
          expect(await inPageFile(db, 'test', `k${n}`)).toBe('v')
        }
        expect(db.stats().txid).toBe(before + 5)
      },
      { checkpointBytes: 1, checkpointIntervalMs: 0, checkpointIdleMs: 0 },
    ),
  )

  test(
    'TestBackendPreCommitHook: each commit is told, one with nothing to do changes nothing',
    withDatabase(async ({ db }) => {
      const told: { path: string; memtables: number }[] = []
      const listen = (message: unknown): unknown => told.push(message as (typeof told)[number])
      subscribe('hotbolt:checkpoint', listen)
      try {
        await db.bucket('test').put('k', 'v')
        await db.checkpoint()
        expect(told).toMatchObject([{ path: db.path, memtables: 1 }])
        const { txid } = db.stats()
        await db.checkpoint()
        expect([told.length, db.stats().txid]).toEqual([1, txid])
      } finally {
        unsubscribe('hotbolt:checkpoint', listen)
      }
    }),
  )
})

describe('reading what is buffered', () => {
  test(
    'TestBackendWriteback: ranges over overwritten data, in memory and in the file',
    withDatabase(async ({ db }) => {
      const put = (key: string, value: string): void => void db.bucket('key').put(key, value)
      put('abc', 'bar')
      put('def', 'baz')
      put('overwrite', '1')
      put('overwrite', '2')
      const cases: [RangeOptions, string[][]][] = [
        [{ gte: 'abc', lt: 'abc\0' }, [['abc', 'bar']]],
        [
          { gte: 'abc', lt: 'def\0' },
          [
            ['abc', 'bar'],
            ['def', 'baz'],
          ],
        ],
        [{ gte: 'abc', lt: 'def\0', limit: 1 }, [['abc', 'bar']]],
        [{ gte: 'a', lt: 'ab' }, []],
        [{ prefix: 'overwrite' }, [['overwrite', '2']]],
      ]
      for (const moment of ['buffered', 'committed', 'defragmented']) {
        for (const [options, entries] of cases) {
          expect(entriesOf(db, 'key', options), moment).toEqual(entries)
        }
        await (moment === 'buffered' ? db.checkpoint() : db.defrag())
      }
    }),
  )

  test(
    'TestConcurrentReadTx: a reader sees what was written before it, committed and buffered',
    withDatabase(async ({ db }) => {
      await db.bucket('key').put('abc', 'ABC')
      await db.checkpoint()
      await db.bucket('key').put('def', 'DEF')
      using one = db.snapshot()
      await db.bucket('key').put('abc', 'overwritten')
      using two = db.snapshot()
      const read = (from: typeof one): string[] => [
        ...from.bucket('key', { value: 'utf8' }).values(),
      ]
      expect([read(one), read(two)]).toEqual([
        ['ABC', 'DEF'],
        ['overwritten', 'DEF'],
      ])
    }),
  )

  test(
    'TestBackendWritebackForEach: the order is the same, buffered or committed',
    withDatabase(async ({ db }) => {
      const keys = Array.from({ length: 10 }, (_, n) => `key${n}`)
      for (const key of keys.slice(0, 5)) void db.bucket('key').put(key, 'bar')
      await db.checkpoint()
      for (const key of keys.slice(5).toReversed()) void db.bucket('key').put(key, 'bar')
      const partly = entriesOf(db, 'key')
      expect(partly.map(([key]) => key)).toEqual(keys)
      await db.checkpoint()
      expect(entriesOf(db, 'key')).toEqual(partly)
    }),
  )

  test(
    'TestBatchTxPut: a put is visible before and after a commit',
    withDatabase(async (context) => {
      void context.db.bucket('test').put('foo', 'bar')
      const all = [['foo', 'bar']]
      expect(entriesOf(context.db, 'test')).toEqual(all)
      await context.db.checkpoint()
      expect(entriesOf(context.db, 'test')).toEqual(all)
      await context.reopen()
      expect(entriesOf(context.db, 'test')).toEqual(all)
    }),
  )

  test(
    'TestBatchTxRange: exact, missing, open, reversed and limited ranges',
    withDatabase(async ({ db }) => {
      const all = [
        ['foo', 'bar'],
        ['foo1', 'bar1'],
        ['foo2', 'bar2'],
      ]
      for (const [key, value] of all) void db.bucket('test').put(key!, value!)
      const cases: [RangeOptions, string[][]][] = [
        [{ gte: 'foo', lt: 'foo\0' }, all.slice(0, 1)],
        [{ gte: 'doo', lt: 'doo\0' }, []],
        [{ gte: 'foo', lt: 'foo1' }, all.slice(0, 1)],
        [{ gte: 'foo', lt: 'foo3' }, all],
        [{ gte: 'goo', lt: 'goo3' }, []],
        [{ gte: 'foo', lt: 'foo3', limit: 1 }, all.slice(0, 1)],
        [{ gte: 'foo', lt: 'foo3', limit: 2 }, all.slice(0, 2)],
        [{ gte: 'foo', lt: 'foo3', limit: 4 }, all],
        [{ gte: 'foo', lt: 'foo3', limit: 0 }, []],
        [{ gte: 'foo', lt: 'foo3', limit: 2, reverse: true }, all.slice(1).toReversed()],
      ]
      for (const [options, entries] of cases) {
        expect(entriesOf(db, 'test', options), JSON.stringify(options)).toEqual(entries)
      }
    }),
  )

  test(
    'TestBatchTxDelete: a deleted key is gone before and after a commit, and for ever',
    withDatabase(async (context) => {
      await context.db.bucket('test').put('foo', 'bar')
      await context.db.checkpoint()
      void context.db.bucket('test').delete('foo')
      expect(entriesOf(context.db, 'test')).toEqual([])
      await context.db.checkpoint()
      expect(await inPageFile(context.db, 'test', 'foo')).toBeUndefined()
      await context.reopen()
      expect(entriesOf(context.db, 'test')).toEqual([])
    }),
  )
})

describe('what a reader, a transaction and the file say is the same', () => {
  /** Everything a test wrote, read in every way there is. */
  async function expectSame(db: Database, model: Model): Promise<void> {
    const hash = model.hash()
    for (const moment of ['buffered', 'committed', 'defragmented']) {
      using snapshot = db.snapshot()
      expect(hashOf(snapshot), moment).toBe(hash)
      await db.update((tx) => expect(hashOf(tx), moment).toBe(hash))
      expect(await db.hash(), moment).toBe(hash)
      for (const [name] of model.root.sorted()) {
        const wanted = model.find([name])?.range({ reverse: true }) ?? []
        const got = Array.from(bucketAt(db, [name]).range({ reverse: true }), ([key, value]) => [
          key.toString('latin1'),
          value,
        ])
        expect(got, moment).toEqual(wanted)
      }
      await (moment === 'buffered' ? db.checkpoint() : db.defrag())
    }
  }

  type Write = (put: (bucket: string, key: string, value: string) => void, both: Both) => void
  interface Both {
    delete(bucket: string, key: string): void
    deleteBucket(bucket: string): void
  }

  const cases: [string, Write][] = [
    [
      'TestRangeAfterDeleteBucketMatch: after the deletion of a bucket',
      (put, both) => {
        put('test', 'foo', 'bar')
        put('kept', 'foo', 'bar')
        both.deleteBucket('test')
      },
    ],
    [
      'TestRangeAfterDeleteMatch: after the deletion of a key',
      (put, both) => {
        put('test', 'foo', 'bar')
        put('test', 'foo2', 'bar')
        both.delete('test', 'foo')
      },
    ],
    [
      'TestRangeAfterUnorderedKeyWriteMatch: after writes out of order',
      (put) => {
        for (const n of [5, 2, 9, 1, 4, 8, 3, 7, 6, 0]) put('test', `foo${n}`, `bar${n}`)
      },
    ],
    [
      'TestRangeAfterAlternatingBucketWriteMatch: after writes that alternate between buckets',
      (put) => {
        for (let n = 0; n < 20; n++) put(n % 2 === 0 ? 'key' : 'test', `foo${20 - n}`, `bar${n}`)
      },
    ],
    [
      'TestRangeAfterOverwriteMatch: after overwriting',
      (put) => {
        for (const value of ['bar2', 'bar0', 'bar10', 'bar', 'bar1']) put('test', 'foo', value)
      },
    ],
    [
      'TestRangeAfterOverwriteAndDeleteMatch: after overwriting and deleting',
      (put, both) => {
        put('test', 'foo', 'bar2')
        put('test', 'foo', 'bar3')
        put('test', 'foo1', 'bar1')
        put('test', 'foo', 'bar')
        both.delete('test', 'foo')
        both.delete('test', 'never there')
      },
    ],
    [
      'TestDedupe: the last write of a key wins, in any order',
      (put) => {
        for (const key of ['k1', 'k2', 'k1', 'k3', 'k2', 'k1']) put('test', key, `${key} earlier`)
        for (const key of ['k3', 'k1', 'k2', 'k0']) put('test', key, `${key} last`)
      },
    ],
  ]

  test.each(cases)('%s', (_, write) =>
    withDatabase(async ({ db }) => {
      // Once over nothing, once over what is already in the page file.
      for (const round of [1, 2]) {
        const model = new Model()
        for (const name of db.buckets({ key: 'utf8' })) void db.deleteBucket(name)
        if (round === 2) {
          for (const bucket of ['test', 'key']) {
            void db.bucket(bucket).put('foo1', 'before')
            model.put([bucket], 'foo1', 'before')
          }
          await db.checkpoint()
        }
        write(
          (bucket, key, value) => {
            void db.bucket(bucket).put(key, value)
            model.put([bucket], key, value)
          },
          {
            delete: (bucket, key) => {
              void db.bucket(bucket).delete(key)
              model.delete([bucket], key)
            },
            deleteBucket: (bucket) => {
              void db.deleteBucket(bucket)
              model.deleteBucket([bucket])
            },
          },
        )
        await expectSame(db, model)
      }
    }, smallPages)(),
  )
})

describe('maintenance and readers', () => {
  test(
    'TestV3MaintenanceDefragmentInflightRange: a range under way survives a defragmentation',
    withDatabase(async ({ db }) => {
      const bucket = db.bucket('key', { key: 'utf8' })
      const keys = Array.from({ length: 5000 }, (_, n) => String(n).padStart(5, '0'))
      for (const key of keys) void bucket.put(key, 'v'.repeat(40))
      await db.checkpoint()
      const iterator = bucket.keys()[Symbol.iterator]()
      const found = [iterator.next().value]
      await db.defrag()
      for (const key of keys) void bucket.delete(key)
      await db.checkpoint()
      await db.defrag()
      for (let next = iterator.next(); next.done !== true; next = iterator.next()) {
        found.push(next.value)
      }
      expect(found).toEqual(keys)
    }, smallPages),
  )

  test(
    'TestDefragNoSpace: a defragmentation that fails changes nothing, and the database serves on',
    withDatabase(async ({ db, directory }) => {
      for (let n = 0; n < 1000; n++) void db.bucket('key').put(`k${n}`, 'v')
      await db.checkpoint()
      const hash = await db.hash()
      const inject = (): never => {
        throw new Error('injected')
      }
      for (const point of ['before-copy', 'after-copy', 'round', 'before-publish'] as const) {
        const held = holdDefragAt(db, point, {
          pausePoint: (at) => (at === point ? inject() : undefined),
        })
        await expect(held.report).rejects.toThrow('injected')
        expect(await db.hash(), point).toBe(hash)
        const files = (await readdir(directory)).filter((name) => name.includes('-defrag-'))
        expect(files, point).toEqual([])
      }
      await db.bucket('key').put('k0', 'after')
      await db.defrag()
      expect(db.bucket('key', { value: 'utf8' }).get('k0')).toBe('after')
    }),
  )

  test(
    'TestIssue20271: whatever asks for maintenance at the same time is refused or takes its turn',
    withDatabase(async ({ db }) => {
      for (let n = 0; n < 2000; n++) void db.bucket('key').put(`k${n}`, 'v')
      const all = [db.defrag(), db.checkpoint(), db.check(), db.hash(), db.flush()]
      const busy = await codeOf(() => db.defrag())
      await Promise.all(all)
      expect(busy).toBe('ERR_BUSY')
      const codes = await Promise.all([1, 2, 3].map(() => codeOf(() => db.defrag())))
      expect(codes).toEqual([undefined, 'ERR_BUSY', 'ERR_BUSY'])
    }, smallPages),
  )

  test(
    'a copy of the file taken between commits is a database',
    withDatabase(async ({ db, directory }) => {
      for (let n = 0; n < 500; n++) void db.bucket('key').put(`k${n}`, 'v'.repeat(30))
      await db.checkpoint()
      const copy = join(directory, 'copied.db')
      await copyFile(db.path, copy)
      expect(await verifyFile(copy)).toBe(await db.hash())
    }, smallPages),
  )
})
