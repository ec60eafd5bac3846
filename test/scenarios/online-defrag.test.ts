// The scenarios of openshift/etcd pull request 378 (journaled, online defragmentation), stricter:
//
// * that a write falls into the copy is proven, by holding the defragmentation at a named point;
// * every key and every deletion is checked, by comparing the hash of everything with a model's;
// * a reader over the switchover is held open, and proven not to delay it.

import { chmod, chown, readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import type { Database, DefragPhase, DefragReport } from '../../lib/index.ts'
import type { PausePoint } from '../../lib/options.ts'
import { hashOf, Model } from '../support/model.ts'
import {
  codeOf,
  defragWith,
  holdDefragAt,
  pausePoints,
  pointsAfterRename,
  pointsBeforeRename,
  smallPages,
  withDatabase,
} from '../support/with-database.ts'
import { hasTool, testIf } from '../support/tools.ts'

/** A database and its model, written together. */
class Pair {
  readonly db: Database
  readonly model: Model

  constructor(db: Database, model: Model = new Model()) {
    this.db = db
    this.model = model
  }

  put(bucket: string, key: string, value: string): void {
    void this.db.bucket(bucket).put(key, value)
    this.model.put([bucket], key, value)
  }

  delete(bucket: string, key: string): void {
    void this.db.bucket(bucket).delete(key)
    this.model.delete([bucket], key)
  }

  deleteBucket(bucket: string): void {
    void this.db.deleteBucket(bucket)
    this.model.deleteBucket([bucket])
  }

  /** `count` keys, half of them deleted again and committed, so that there is something to gain. */
  async fill(count = 1000): Promise<void> {
    for (let n = 0; n < 2 * count; n++) this.put('key', `k${n}`, `value ${n} ${'.'.repeat(50)}`)
    await this.db.checkpoint()
    for (let n = count; n < 2 * count; n++) this.delete('key', `k${n}`)
    await this.db.checkpoint()
  }

  async expectEqual(): Promise<void> {
    expect(await this.db.hash()).toBe(this.model.hash())
  }

  /** Runs `during` while a defragmentation stands at `point`. */
  async defragDuring(point: PausePoint, during: () => Promise<void> | void): Promise<DefragReport> {
    const held = holdDefragAt(this.db, point)
    await held.reached
    await during()
    held.release()
    const report = await held.report
    await this.expectEqual()
    return report
  }
}

function withPair(run: (pair: Pair, path: string) => Promise<void>, options = smallPages) {
  return withDatabase(async ({ db, path }) => run(new Pair(db), path), options)
}

const temporaryFiles = async (path: string): Promise<string[]> =>
  (await readdir(join(path, '..'))).filter((name) => name.includes('-defrag-'))

describe.each(pausePoints)('while the defragmentation stands at %s', (point) => {
  test(
    'ConcurrentWrites: every put survives, and is acknowledged before it goes on',
    withPair(async (pair) => {
      await pair.fill()
      await pair.defragDuring(point, async () => {
        for (let n = 0; n < 700; n++) pair.put('key', `concurrent ${n}`, `value ${n}`)
        await pair.db.flush()
        expect(pair.db.stats().durableSeq).toBe(pair.db.stats().lastSeq)
        await pair.db.bucket('key').put('acknowledged', 'v')
        pair.model.put(['key'], 'acknowledged', 'v')
      })
    }),
  )

  test(
    'ConcurrentReads: reads give the newest state, synchronously',
    withPair(async (pair) => {
      await pair.fill(300)
      await pair.defragDuring(point, async () => {
        await pair.expectEqual()
        pair.put('key', 'k0', 'during')
        expect(String(pair.db.bucket('key').get('k0'))).toBe('during')
        expect(pair.db.bucket('key').count()).toBe(300)
        await pair.expectEqual()
      })
    }),
  )

  test(
    'DeletesDuringDefrag: what was deleted is gone, the rest is there',
    withPair(async (pair) => {
      await pair.fill()
      await pair.defragDuring(point, () => {
        for (let n = 0; n < 500; n++) pair.delete('key', `k${n}`)
      })
      const bucket = pair.db.bucket('key')
      for (let n = 0; n < 1000; n++) expect(bucket.has(`k${n}`), `k${n}`).toBe(n >= 500)
    }),
  )

  test(
    'OverwriteDuringCopy: overwritten keys have the new value, the others the old one',
    withPair(async (pair) => {
      await pair.fill(400)
      await pair.defragDuring(point, () => {
        for (let n = 0; n < 200; n++) pair.put('key', `k${n}`, `overwritten ${n}`)
      })
    }),
  )

  test(
    'NewBucketDuringCopy: a bucket that was born meanwhile, nested ones and sequences too',
    withPair(async (pair) => {
      await pair.fill(200)
      await pair.defragDuring(point, () => {
        for (let n = 0; n < 50; n++) pair.put('born', `k${n}`, `v${n}`)
        const inner = pair.db.bucket('born').bucket('inner')
        void inner.put('k', 'v')
        void inner.setSequence(7n)
        pair.model.put(['born', 'inner'], 'k', 'v')
        pair.model.setSequence(['born', 'inner'], 7n)
        void pair.db.createBucket('empty')
        pair.model.createBucket(['empty'])
      })
    }),
  )

  test(
    'a bucket that is deleted, or deleted and made again',
    withPair(async (pair) => {
      await pair.fill(200)
      for (let n = 0; n < 300; n++) pair.put('doomed', `k${n}`, `v${n}`)
      await pair.defragDuring(point, () => {
        pair.deleteBucket('doomed')
        pair.deleteBucket('key')
        pair.put('key', 'k1', 'again')
      })
      expect(pair.db.buckets({ key: 'utf8' })).toEqual(['key'])
    }),
  )

  test(
    'CommitDuringDefragPreservesData: checkpoints neither lose nor delay anything',
    withPair(async (pair) => {
      await pair.fill(300)
      await pair.defragDuring(point, async () => {
        for (let n = 0; n < 100; n++) pair.put('key', `first ${n}`, 'v')
        // From the last round to the switch a checkpoint waits: it is not awaited here.
        const checkpoints = [pair.db.checkpoint()]
        for (let n = 0; n < 100; n++) pair.delete('key', `k${n}`)
        checkpoints.push(pair.db.checkpoint())
        for (let n = 0; n < 100; n++) pair.put('key', `second ${n}`, 'v')
        await pair.expectEqual()
        for (const checkpoint of checkpoints) checkpoint.catch(() => {})
      })
      await pair.db.checkpoint()
      await pair.expectEqual()
    }),
  )

  test(
    'ConcurrentReadTxSurvivesSwitchover: a reader keeps its state and delays nothing',
    withPair(async (pair) => {
      await pair.fill()
      const [old, hash] = [pair.db.snapshot(), pair.model.hash()]
      const iterator = pair.db.bucket('key').keys()[Symbol.iterator]()
      iterator.next()
      let inside = old
      let hashInside = ''
      const report = await pair.defragDuring(point, () => {
        for (let n = 0; n < 100; n++) pair.put('key', `k${n}`, 'during')
        inside = pair.db.snapshot()
        hashInside = pair.model.hash()
        for (let n = 0; n < 100; n++) pair.delete('key', `k${n}`)
      })
      // The report is here and the readers still are: nobody waited for them.
      expect([hashOf(old), hashOf(inside)]).toEqual([hash, hashInside])
      expect(report.pendingReclaimBytes).toBeGreaterThan(0)
      expect(report.phases.map(({ phase }) => phase)).toContain('switching')
      let rest = 1
      while (iterator.next().done !== true) rest++
      expect(rest).toBe(1000)
      old.close()
      inside.close()
      await pair.expectEqual()
    }),
  )

  test(
    'an update commits over it, whole or not at all',
    withPair(async (pair) => {
      await pair.fill(200)
      await pair.defragDuring(point, async () => {
        await pair.db.update(async (tx) => {
          await Promise.resolve()
          for (let n = 0; n < 200; n += 2) tx.bucket('key').put(`k${n}`, 'updated')
          tx.bucket('key').delete('k1')
        })
        const rolledBack = pair.db.update((tx) => {
          tx.deleteBucket('key')
          throw new Error('no')
        })
        await expect(rolledBack).rejects.toThrow('no')
        for (let n = 0; n < 200; n += 2) pair.model.put(['key'], `k${n}`, 'updated')
        pair.model.delete(['key'], 'k1')
      })
    }),
  )

  test(
    "one that is started from the first one's progress gets ERR_BUSY",
    withDatabase(async ({ db }) => {
      await db.bucket('b').put('k', 'v')
      const nested: Promise<string | undefined>[] = []
      await db.defrag({ onProgress: () => nested.push(codeOf(() => db.defrag())) })
      expect(nested.length).toBeGreaterThan(0)
      expect(new Set(await Promise.all(nested))).toEqual(new Set(['ERR_BUSY']))
    }),
  )

  test(
    'the check never takes one file for the other',
    withDatabase(async ({ db }) => {
      for (let n = 0; n < 300; n++) void db.bucket('b').put(`k${n}`, Buffer.alloc(500))
      await db.checkpoint()
      for (let round = 0; round < 10; round++) {
        let going = true
        const defrag = db.defrag().finally(() => (going = false))
        while (going) {
          const reports = await Promise.all(Array.from({ length: 20 }, () => db.check()))
          expect(reports.flatMap((report) => report.issues)).toEqual([])
        }
        await defrag
      }
    }),
  )

  test(
    'a second one gets ERR_BUSY',
    withPair(async (pair) => {
      await pair.fill(100)
      await pair.defragDuring(point, async () => {
        expect(await codeOf(() => pair.db.defrag())).toBe('ERR_BUSY')
      })
      await pair.db.defrag()
    }),
  )
})

describe('overlap', () => {
  test(
    'the copy is proven to be under way while writes are acknowledged',
    withPair(async (pair) => {
      await pair.fill(4000)
      const phases: DefragPhase[] = []
      const seen: { bytesCopied: number; bytesTotal: number }[] = []
      // Slow enough that the copy needs longer than these writes, however fast the disk.
      const held = holdDefragAt(pair.db, 'copy-started', {
        bytesPerSecond: 400_000,
        onProgress: (progress) => {
          phases.push(progress.phase)
          seen.push(progress)
        },
      })
      await held.reached
      for (let n = 0; n < 20; n++) {
        pair.put('key', `k${n}`, 'acknowledged during the copy')
        await pair.db.flush()
        expect(pair.db.stats().defragPhase).toBe('copying')
      }
      held.release()
      const report = await held.report
      await pair.expectEqual()
      expect(phases.filter((phase, index) => phases.indexOf(phase) === index)).toEqual([
        'preparing',
        'copying',
        'catching-up',
        'switching',
        'cleaning',
        'done',
      ])
      const partial = seen.filter(({ bytesCopied, bytesTotal }) => bytesCopied < bytesTotal)
      expect(partial.length).toBeGreaterThan(1)
      expect(report.rounds[0]?.entries).toBeGreaterThanOrEqual(20)
      expect(report.bytesCopied).toBeGreaterThan(100_000)
    }),
  )

  test(
    'ConcurrentReadsAndWrites: all at once, without any pause, over many defragmentations',
    withPair(async (pair) => {
      await pair.fill(500)
      let defragging = true
      let writes = 0
      const write = async (): Promise<void> => {
        while (defragging) {
          for (let n = 0; n < 10; n++, writes++) {
            pair.put('key', `k${writes % 700}`, `write ${writes}`)
            if (writes % 3 === 0) pair.delete('key', `k${(writes * 7) % 700}`)
          }
          await pair.db.flush()
        }
      }
      const read = async (): Promise<void> => {
        while (defragging) {
          using snapshot = pair.db.snapshot()
          expect(hashOf(snapshot)).toBe(pair.model.hash())
          await pair.db.flush()
        }
      }
      const traffic = [write(), read()]
      for (let round = 0; round < 15 || writes < 300; round++) await pair.db.defrag()
      defragging = false
      await Promise.all(traffic)
      await pair.expectEqual()
    }),
  )

  test(
    'WriteAvailability: no write waits for the copy, which is made to last',
    withPair(async (pair) => {
      await pair.fill(4000)
      let done = false
      const defrag = pair.db.defrag({ bytesPerSecond: 80_000 }).finally(() => (done = true))
      let writes = 0
      for (; !done; writes++) {
        pair.put('key', `k${writes % 4000}`, 'v')
        await pair.db.flush()
      }
      await defrag
      await pair.expectEqual()
      // Of writes that wait for it there would be one or two.
      expect(writes).toBeGreaterThan(10)
    }),
  )
})

describe('the journal of what is written meanwhile', () => {
  test(
    'LargeJournalReplay: 40,000 operations, every one of them',
    withPair(async (pair) => {
      await pair.fill(2000)
      const report = await pair.defragDuring('copy-started', async () => {
        for (let n = 0; n < 40_000; n++) {
          if (n % 4 === 3) pair.delete('key', `k${(n * 31) % 8000}`)
          else pair.put('key', `k${(n * 17) % 8000}`, `replayed ${n}`)
        }
        await pair.db.flush()
      })
      expect(report.rounds.reduce((sum, { entries }) => sum + entries, 0)).toBeGreaterThan(39_999)
    }),
  )

  test(
    'Backpressure: beyond maxRetainedBytes it is replayed from the journal, every bit of it',
    withPair(
      async (pair) => {
        await pair.fill(500)
        const held = holdDefragAt(pair.db, 'copy-started')
        await held.reached
        for (let round = 0; round < 30; round++) {
          for (let n = 0; n < 100; n++) pair.put('key', `k${round}-${n}`, 'x'.repeat(100))
          for (let n = 0; n < 20; n++) pair.delete('key', `k${round * 20 + n}`)
          if (round === 10) pair.deleteBucket('key')
          await pair.db.flush()
        }
        // The memtables were checkpointed into the old file, so only the journal has them.
        const { sealedBytes, memtableBytes, journalBytes } = pair.db.stats()
        expect(sealedBytes + memtableBytes).toBeLessThan(300_000)
        expect(journalBytes).toBeGreaterThan(300_000)
        held.release()
        const report = await held.report
        expect(report.rounds.reduce((sum, round) => sum + round.entries, 0)).toBeGreaterThan(3000)
        await pair.expectEqual()
      },
      { pageSize: 1024, checkpointBytes: 16 << 10, maxRetainedBytes: 32 << 10 },
    ),
  )

  test(
    'is kept in memory instead of being merged into the old file, up to maxRetainedBytes',
    withPair(async (pair) => {
      await pair.fill(200)
      const { txid } = pair.db.stats()
      await pair.defragDuring('copy-started', async () => {
        for (let round = 0; round < 20; round++) {
          for (let n = 0; n < 100; n++) pair.put('key', `k${round}-${n}`, 'x'.repeat(100))
          await pair.db.flush()
        }
        await pair.expectEqual()
        const stats = pair.db.stats()
        expect([stats.txid, stats.sealedBytes > 200_000]).toEqual([txid, true])
        expect(stats.sealedMemtables).toBeGreaterThan(5)
      })
    }),
  )

  test(
    'keeps within maxRetainedBytes, and it ends, however fast somebody writes who awaits',
    withPair(
      async (pair) => {
        await pair.fill(1000)
        const batchBytes = 200 * (100 + 200)
        let keptMax = 0
        let ended = false
        const held = holdDefragAt(pair.db, 'copy-started')
        await held.reached
        const writing = (async () => {
          for (let round = 0; !ended; round++) {
            if (round === 60) held.release()
            for (let n = 0; n < 200; n++) pair.put('key', `w${round % 20}-${n}`, 'x'.repeat(100))
            await pair.db.flush()
            const { memtableBytes, sealedBytes } = pair.db.stats()
            keptMax = Math.max(keptMax, memtableBytes + sealedBytes)
          }
        })()
        const report = await held.report.finally(() => (ended = true))
        await writing
        expect(report.warnings).toEqual([])
        expect(keptMax).toBeLessThan((512 << 10) + batchBytes)
        await pair.expectEqual()
      },
      { pageSize: 1024, checkpointBytes: 64 << 10, maxRetainedBytes: 512 << 10 },
    ),
  )

  test(
    'is caught up with at full speed: bytesPerSecond is the limit of the copy alone',
    withPair(
      async (pair) => {
        await pair.fill(20)
        const bytesPerSecond = 1 // what is written meanwhile would take weeks
        const held = holdDefragAt(pair.db, 'after-copy', { bytesPerSecond })
        await held.reached
        for (let n = 0; n < 20_000; n++) pair.put('key', `new ${n}`, 'x'.repeat(200))
        held.release()
        const { rounds } = await held.report
        expect(rounds[0]!.bytes).toBeGreaterThan(4_000_000)
        await pair.expectEqual()
      },
      { ...smallPages, checkpointBytes: 1 << 20 },
    ),
  )

  test(
    'is not forgotten when a checkpoint gets in between the last round and the switch',
    withPair(async (pair) => {
      for (let attempt = 0; attempt < 10; attempt++) {
        const held = holdDefragAt(pair.db, 'round')
        await held.reached
        for (let n = 0; n < 3000; n++) pair.put('key', `k${n}`, `${attempt} `.repeat(20))
        held.release()
        // The round is being replayed now: this checkpoint has its turn right after it.
        await new Promise((resolve) => {
          setImmediate(resolve)
        })
        for (let n = 0; n < 50; n++) pair.put('key', `late ${n}`, `attempt ${attempt}`)
        await pair.db.checkpoint()
        await held.report
        await pair.expectEqual()
      }
    }),
  )

  test(
    'ExceedBatchLimit: many more puts than a memtable holds, without a pause between them',
    withPair(async (pair) => {
      await pair.fill(200)
      await pair.defragDuring('copy-started', () => {
        for (let n = 0; n < 5000; n++) pair.put('key', `k${n}`, 'v'.repeat(40))
      })
    }),
  )

  test(
    'ReadsDuringDefragSeeBufferedPuts: a reader sees the put that it follows',
    withPair(async (pair) => {
      await pair.fill(200)
      await pair.defragDuring('copy-started', () => {
        for (let n = 0; n < 300; n++) {
          pair.put('key', `new ${n}`, `v${n}`)
          expect(String(pair.db.bucket('key').get(`new ${n}`))).toBe(`v${n}`)
          pair.delete('key', `k${n % 200}`)
          expect(pair.db.bucket('key').has(`k${n % 200}`)).toBe(false)
        }
      })
    }),
  )

  test(
    'a journal that grew over many segments is gone afterwards',
    withPair(async (pair, path) => {
      await pair.fill(200)
      await pair.defragDuring('copy-started', async () => {
        for (let n = 0; n < 40; n++) {
          pair.put('key', `large ${n}`, 'x'.repeat(50_000))
          await pair.db.flush()
        }
      })
      await pair.db.checkpoint()
      expect(pair.db.stats().journalBytes).toBeLessThan(20 << 20)
      expect(await temporaryFiles(path)).toEqual([])
    }),
  )
})

describe('the file', () => {
  test(
    'LogicalConsistency: it shrinks, key by key everything is there, and the file is another one',
    withPair(async (pair, path) => {
      await pair.fill(5000)
      for (let n = 0; n < 5000; n += 5) pair.delete('key', `k${n}`)
      await pair.db.checkpoint()
      const [before, inode] = [pair.db.stats().sizeBytes, (await stat(path)).ino]
      const report = await pair.db.defrag()
      await pair.expectEqual()
      for (const [key, value] of pair.model.find(['key'])!.range()) {
        expect(pair.db.bucket('key').get(key)).toEqual(value)
      }
      expect(report.sizeBeforeBytes).toBe(before)
      expect((await stat(path)).size).toBe(report.sizeAfterBytes)
      expect(report.sizeAfterBytes).toBeLessThan(before / 2)
      expect((await stat(path)).ino).not.toBe(inode)
      expect((await pair.db.check()).issues).toEqual([])
    }),
  )

  test(
    'MultipleSequential: rounds of changes and defragmentations',
    withPair(async (pair) => {
      for (let round = 0; round < 8; round++) {
        for (let n = 0; n < 500; n++) pair.put('key', `k${(n * 13 + round) % 900}`, `${round}`)
        for (let n = round; n < 900; n += 8) pair.delete('key', `k${n}`)
        pair.put(`bucket ${round}`, 'k', 'v')
        const report = await pair.db.defrag()
        await pair.expectEqual()
        expect(report.warnings).toEqual([])
      }
    }),
  )

  test(
    'a second one right after the first gains nothing more',
    withPair(async (pair) => {
      await pair.fill(2000)
      const first = await pair.db.defrag()
      const second = await pair.db.defrag()
      expect(second.sizeAfterBytes).toBeLessThanOrEqual(first.sizeAfterBytes)
      expect(second.sizeAfterBytes).toBeGreaterThan(first.sizeAfterBytes * 0.9)
    }),
  )

  test(
    'EmptyDatabase: nothing is copied and the result is a database',
    withPair(async (pair) => {
      const report = await pair.db.defrag()
      expect([report.entriesCopied, report.rounds.length > 0]).toEqual([0, true])
      pair.put('key', 'k', 'v')
      await pair.db.defrag()
      await pair.expectEqual()
    }),
  )

  test(
    'what was only in memory is in the new file',
    withPair(async (pair) => {
      for (let n = 0; n < 50; n++) pair.put('key', `k${n}`, 'v')
      await pair.db.defrag()
      await pair.expectEqual()
    }),
  )

  test(
    'nested buckets, sequences, overflow runs and empty buckets come along',
    withPair(async (pair) => {
      const { db, model } = pair
      for (const path of [['a'], ['a', 'b'], ['a', 'b', 'c'], ['d', 'inline']]) {
        let bucket = db.bucket(path[0]!)
        for (const name of path.slice(1)) bucket = bucket.bucket(name)
        for (let n = 0; n < 40 * path.length; n++) {
          void bucket.put(`k${n}`, 'v'.repeat(n * 9))
          model.put(path, `k${n}`, 'v'.repeat(n * 9))
        }
        void bucket.put('run', 'x'.repeat(70_000))
        model.put(path, 'run', 'x'.repeat(70_000))
        void bucket.setSequence(BigInt(path.length) << 60n)
        model.setSequence(path, BigInt(path.length) << 60n)
      }
      void db.createBucket('empty')
      model.createBucket(['empty'])
      for (let n = 0; n < 2; n++) {
        await db.defrag()
        await pair.expectEqual()
      }
    }),
  )

  test.each([1024, 4096, 16_384, 65_536])('keeps its page size of %i', (pageSize) =>
    withPair(
      async (pair) => {
        await pair.fill(600)
        await pair.db.defrag()
        expect(pair.db.stats().pageSize).toBe(pageSize)
        await pair.expectEqual()
      },
      { pageSize },
    )(),
  )

  test(
    'keeps its mode, and its owner as far as we may',
    withPair(async (pair, path) => {
      await pair.fill(100)
      await chmod(path, 0o640)
      const { uid, gid } = hasTool('root') ? { uid: 1234, gid: 2345 } : await stat(path)
      await chown(path, uid, gid)
      await pair.db.defrag()
      const after = await stat(path)
      expect([after.mode & 0o777, after.uid, after.gid]).toEqual([0o640, uid, gid])
    }),
  )

  testIf(
    'linux',
    'gives its space back when the last reader of the old one ends',
    withPair(async (pair) => {
      await pair.fill(4000)
      const old = pair.db.snapshot()
      const before = pair.db.stats().sizeBytes
      await pair.db.defrag()
      expect(pair.db.stats().pendingReclaimBytes).toBeGreaterThanOrEqual(before)
      expect(old.bucket('key').count()).toBe(4000)
      old.close()
      while (pair.db.stats().pendingReclaimBytes > 0) await pair.db.flush()
    }),
  )

  test(
    'fillPercent decides how full the pages are made',
    withPair(async (pair) => {
      await pair.fill(5000)
      const sizes: number[] = []
      for (const fillPercent of [1, 0.5]) {
        await pair.db.defrag({ fillPercent })
        sizes.push(pair.db.stats().sizeInUseBytes)
      }
      expect(sizes[1]! / sizes[0]!).toBeGreaterThan(1.6)
      await pair.expectEqual()
    }),
  )
})

describe('cancelling', () => {
  test.each(pointsBeforeRename)('at %s leaves the database as it was, serving', (point) =>
    withPair(async (pair, path) => {
      await pair.fill(500)
      const inode = (await stat(path)).ino
      const abortion = new AbortController()
      const held = holdDefragAt(pair.db, point, { signal: abortion.signal })
      await held.reached
      for (let n = 0; n < 300; n++) pair.put('key', `k${n}`, 'during')
      const reason = new Error('enough')
      abortion.abort(reason)
      held.release()
      await expect(held.report).rejects.toMatchObject({ code: 'ERR_ABORTED', cause: reason })
      expect(pair.db.stats().defragPhase).toBe('aborted')
      expect(await temporaryFiles(path)).toEqual([])
      expect((await stat(path)).ino).toBe(inode)
      await pair.expectEqual()
      for (let n = 0; n < 300; n++) pair.delete('key', `k${n}`)
      await pair.db.checkpoint()
      await pair.expectEqual()
      await pair.db.defrag()
      await pair.expectEqual()
    })(),
  )

  test.each(pointsAfterRename)('at %s comes too late', (point) =>
    withPair(async (pair) => {
      await pair.fill(200)
      const abortion = new AbortController()
      const held = holdDefragAt(pair.db, point, { signal: abortion.signal })
      await held.reached
      abortion.abort()
      held.release()
      expect((await held.report).warnings).toEqual([])
      await pair.expectEqual()
    })(),
  )

  test(
    'before it begins is ERR_ABORTED as well',
    withPair(async (pair) => {
      const signal = AbortSignal.abort()
      expect(await codeOf(() => pair.db.defrag({ signal }))).toBe('ERR_ABORTED')
      await pair.db.defrag()
    }),
  )

  test(
    'in the middle of a slow copy takes effect at once',
    withPair(async (pair, path) => {
      await pair.fill(4000)
      const abortion = new AbortController()
      const held = holdDefragAt(pair.db, 'copy-started', {
        signal: abortion.signal,
        bytesPerSecond: 1000,
      })
      await held.reached
      abortion.abort()
      held.release()
      expect(await codeOf(() => held.report)).toBe('ERR_ABORTED')
      expect(await temporaryFiles(path)).toEqual([])
      await pair.expectEqual()
    }),
  )

  test(
    'a hundred times in a row leaks nothing',
    withPair(async (pair, path) => {
      await pair.fill(100)
      for (let n = 0; n < 100; n++) {
        const abortion = new AbortController()
        const held = holdDefragAt(pair.db, pointsBeforeRename[n % pointsBeforeRename.length]!, {
          signal: abortion.signal,
        })
        await held.reached
        pair.put('key', `k${n}`, `${n}`)
        abortion.abort()
        held.release()
        expect(await codeOf(() => held.report)).toBe('ERR_ABORTED')
      }
      expect(await temporaryFiles(path)).toEqual([])
      await pair.expectEqual()
    }),
  )

  test(
    'an onProgress that throws ends it with that error',
    withPair(async (pair) => {
      await pair.fill(100)
      const reason = new Error('from the callback')
      const failed = defragWith(pair.db, {
        onProgress: () => {
          throw reason
        },
      })
      await expect(failed).rejects.toBe(reason)
      const late = await pair.db.defrag({
        onProgress: ({ phase }) => {
          if (phase === 'done') throw reason
        },
      })
      expect(late.warnings).toEqual([expect.stringContaining('from the callback')])
      await pair.db.defrag()
      await pair.expectEqual()
    }),
  )
})
