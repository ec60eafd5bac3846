// What is forgotten instead of closed is given back when it is collected as garbage.
//
//   HOTBOLT_TIER=long: a hundred thousand of each kind in each round

import { join } from 'node:path'
import { expect, test } from 'vitest'
import { runChild } from '../support/child.ts'
import { countOf } from '../support/tiers.ts'
import { describeIf } from '../support/tools.ts'
import { holdDefragAt, inDirectory, verifyFile, withDatabase } from '../support/with-database.ts'
import { turnOfEventLoop } from '../../lib/database/range.ts'

const rounds = 5
/** Of a kind, per round. Opens and updates take longer: they start threads, and write. */
const countPerRound = (kind: string): number =>
  countOf({ short: 10_000, ci: 30_000, long: 100_000 }) /
  (kind.includes('open') || kind.includes('update') ? 10 : 1)

interface Measured {
  readonly rss: number
  readonly heapUsed: number
  readonly descriptors: number
  readonly sizeBytes: number
  readonly openSnapshots: number
}

const kinds = [
  'snapshot',
  'iterator',
  'iterator of a snapshot',
  'asynchronous iterator',
  'bucket',
  'update used after its end',
  'update that throws',
  'refused open',
  'refused value',
]

describeIf('linux', 'very many of one kind, forgotten', () => {
  test.concurrent.for(kinds)('%s', (kind, { expect }) =>
    inDirectory(async (directory) => {
      const path = join(directory, 'data.db')
      const count = countPerRound(kind)
      const lines = await runChild('leaks', [path, kind, String(count), String(rounds)])
      const measured = lines.map((line) => JSON.parse(line) as Measured)
      expect(measured.length).toBe(rounds)
      // A leak shows in every round, what is noise does not.
      const growthOf = (name: 'rss' | 'heapUsed'): number =>
        Math.min(...measured.slice(1).map((now, index) => now[name] - measured[index]![name]))
      // On a busy machine the threads that free things lag behind by a few megabytes.
      expect(growthOf('rss'), 'resident bytes in each round').toBeLessThan(4 << 20)
      expect(growthOf('heapUsed'), 'bytes of the heap in each round').toBeLessThan(256 << 10)
      const [first, last] = [measured[1]!, measured.at(-1)!]
      // The journal has a segment more or less in reserve.
      expect(last.descriptors, 'descriptors').toBeLessThanOrEqual(first.descriptors + 3)
      expect(last.sizeBytes, 'the page file').toBeLessThanOrEqual(first.sizeBytes)
      expect(last.openSnapshots, 'snapshots').toBe(0)
      await verifyFile(path)
    }),
  )
})

describeIf('gc', 'a forgotten reader of a replaced file', () => {
  const collect = async (): Promise<void> => {
    for (let n = 0; n < 4; n++) {
      globalThis.gc?.()
      await turnOfEventLoop()
    }
  }
  test(
    'keeps it until it is collected',
    withDatabase(async ({ db }) => {
      for (let n = 0; n < 500; n++) void db.bucket('b').put(`k${n}`, 'v')
      await db.checkpoint()
      const read = (): unknown => db.snapshot().bucket('b').range()[Symbol.iterator]().next()
      for (let n = 0; n < 10; n++) read()
      await db.defrag()
      expect(db.stats().pendingReclaimBytes).toBeGreaterThan(0)
      await collect()
      expect(db.stats().openSnapshots).toBe(0)
      while (db.stats().pendingReclaimBytes > 0) await db.flush()
    }),
  )

  test(
    'that is a check lets it go when it ends',
    withDatabase(async ({ db }) => {
      for (let n = 0; n < 3000; n++) void db.bucket('b').put(`k${n}`, 'v'.repeat(200))
      await db.checkpoint()
      const held = holdDefragAt(db, 'before-publish')
      await held.reached
      const checks = Array.from({ length: 20 }, () => db.check())
      held.release()
      await held.report
      for (const report of await Promise.all(checks)) expect(report.issues).toEqual([])
      while (db.stats().pendingReclaimBytes > 0) await turnOfEventLoop()
    }),
  )
})
