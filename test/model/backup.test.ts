// Backups by random schedules: whatever fails, hangs, or is cancelled, and in whatever order calls
// end, the same few sentences hold.

import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  cleanFreezes,
  HotboltError,
  type BackupReport,
  type UnfreezeMode,
} from '../../lib/index.ts'
import { NumberedError, SimulatedSource, type SourceCall } from '../support/backup-source.ts'
import { BackupPlace } from '../support/backup-place.ts'
import { holds } from '../support/property.ts'
import { randomFrom } from '../support/random.ts'
import { errorOf } from '../support/refusal.ts'
import { inDirectory } from '../support/with-database.ts'

/** What may happen to one table. */
const fates = [
  'well',
  'well',
  'well',
  'gone',
  'freeze fails',
  'copy fails',
  'release fails once',
  'release fails',
  'release does nothing',
  'release is ignorable',
] as const
type Fate = (typeof fates)[number]

interface Schedule {
  readonly fates: readonly Fate[]
  readonly unfreeze: UnfreezeMode
  readonly cut: boolean
  readonly tableConcurrency: number
  readonly unfreezeConcurrency: number
  readonly maxFrozen: number
  /** After so many calls of the source it is cancelled; 0: never. */
  readonly abortAt: number
  /** Of the order in which calls end. */
  readonly seed: number
}

const schedules: fc.Arbitrary<Schedule> = fc.record({
  fates: fc.array(fc.constantFrom(...fates), { maxLength: 12 }),
  unfreeze: fc.constantFrom('pipelined', 'deferred', 'inline'),
  cut: fc.boolean(),
  tableConcurrency: fc.integer({ min: 1, max: 5 }),
  unfreezeConcurrency: fc.integer({ min: 1, max: 5 }),
  maxFrozen: fc.integer({ min: 1, max: 6 }),
  abortAt: fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 60 })),
  seed: fc.integer({ min: 0, max: 1 << 30 }),
})

/** Makes each call take its random number of turns, and end as the table's fate says. */
function plan(source: SimulatedSource, schedule: Schedule, abort: () => void): void {
  const random = randomFrom(schedule.seed)
  const releases = new Map<string, number>()
  let calls = 0
  source.intercept = async (call) => {
    if (++calls === schedule.abortAt) abort()
    for (let turn = random(4); turn > 0; turn--) {
      await new Promise((resolve) => setImmediate(resolve))
    }
    const fate = schedule.fates[Number(call.table.slice(1))] ?? 'well'
    if (call.verb === 'unfreeze') return release(source, call, fate, releases)
    if (call.verb === 'freeze' && fate === 'gone') throw new NumberedError(60)
    if (fate === `${call.verb} fails`) throw new Error('planted')
  }
}

function release(
  source: SimulatedSource,
  { table, freeze }: SourceCall,
  fate: Fate,
  releases: Map<string, number>,
): void | 'nothing' {
  const count = (releases.get(table) ?? 0) + 1
  releases.set(table, count)
  if (fate === 'release does nothing') return 'nothing'
  if (fate === 'release fails' || (fate === 'release fails once' && count === 1)) {
    throw new Error('planted')
  }
  if (fate === 'release is ignorable') {
    source.frozen.delete(freeze!.id)
    throw new NumberedError(81)
  }
}

function expectBounds(source: SimulatedSource, schedule: Schedule, kept: number): void {
  const { unfreeze, cut, tableConcurrency, maxFrozen } = schedule
  expect(source.overlaps).toEqual([])
  if (cut) return
  // What could not be released is given up, and no longer counted.
  if (unfreeze === 'pipelined') expect(source.frozenMax).toBeLessThanOrEqual(maxFrozen + kept)
  if (unfreeze === 'inline') expect(source.frozenMax).toBeLessThanOrEqual(tableConcurrency + kept)
}

async function run(schedule: Schedule): Promise<void> {
  await inDirectory(async (directory) => {
    const place = new BackupPlace(directory)
    const source = SimulatedSource.of(schedule.fates.length)
    if (schedule.cut) source.withCut()
    const controller = new AbortController()
    plan(source, schedule, () => controller.abort(new Error('enough')))
    let report: BackupReport | undefined
    const error = await errorOf(async () => {
      report = await place.create(source, {
        unfreeze: schedule.unfreeze,
        freezeAllFirst: schedule.cut,
        tableConcurrency: schedule.tableConcurrency,
        unfreezeConcurrency: schedule.unfreezeConcurrency,
        maxFrozen: schedule.maxFrozen,
        signal: controller.signal,
      })
    })
    expectBounds(source, schedule, source.frozen.size)
    // There is a manifest if and only if it has resolved.
    expect(place.objects.has('b/manifest.json')).toBe(report !== undefined)
    if (report === undefined) {
      expect(error).toBeInstanceOf(HotboltError)
      expect([...place.objects.keys()]).toEqual([])
    } else {
      const there = report.tables.filter(({ outcome }) => outcome !== 'gone')
      await place.expectComplete(
        source,
        there.map(({ name }) => name),
      )
      expect(idsOf(report.leftover)).toEqual(idsOf(source.frozen.values()))
    }
    // What is still frozen is recorded, and nothing else is.
    const recorded = place.records.length === 0 ? [] : await place.recorded()
    expect(idsOf(recorded.map(({ freeze }) => freeze))).toEqual(idsOf(source.frozen.values()))
    source.intercept = () => {}
    const cleaned = await cleanFreezes(source, { target: place.target })
    expect(cleaned).toMatchObject({ leftover: [], abandoned: [], warnings: [] })
    place.expectNothingLeft(source)
  })
}

const idsOf = (freezes: Iterable<{ readonly id: string }>): string[] =>
  Array.from(freezes, ({ id }) => id).toSorted()

test('random schedules: every freeze is released or recorded, a manifest means a backup', () =>
  holds(fc.asyncProperty(schedules, run), 150))
