// Releasing freezes: retries, deadlines, what is not believed, and what is left over.

import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { expect, test } from 'vitest'
import { cleanFreezes } from '../../lib/index.ts'
import { NumberedError, SimulatedSource, type SourceCall } from '../support/backup-source.ts'
import { backupName, withBackups } from '../support/backup-place.ts'
import { Gate } from '../support/gate.ts'

const timeoutMs = 5000
/** What a call has to end in once its deadline is over. */
const graceMs = 1000

const isOf =
  (verb: string, table: string) =>
  (call: SourceCall): boolean =>
    call.verb === verb && call.table === table

const count = (source: SimulatedSource, call: string): number =>
  source.calls.filter((each) => each === call).length

test(
  'a release that fails is tried again, with pauses that double and vary',
  withBackups(async (place) => {
    const source = SimulatedSource.of(3)
    let failures = 0
    source.intercept = (call) => {
      if (isOf('unfreeze', 't1')(call) && failures++ < 3) throw new Error('reset by peer')
    }
    const report = await place.create(source)
    expect(report).toMatchObject({ warnings: [], leftover: [] })
    expect(report.tables[1]?.unfreeze).toBe('released')
    expect(count(source, 'unfreeze t1')).toBe(4)
    const { delays } = place.clock
    expect(delays).toHaveLength(3)
    for (const [index, ms] of delays.entries()) {
      expect(ms).toBeGreaterThanOrEqual(50 * 2 ** index)
      expect(ms).toBeLessThanOrEqual(100 * 2 ** index)
    }
    place.expectNothingLeft(source)
  }),
)

test(
  'a release that keeps failing is a warning and a leftover, which cleanFreezes() releases',
  withBackups(async (place) => {
    for (const unfreeze of ['pipelined', 'deferred', 'inline'] as const) {
      const source = SimulatedSource.of(3)
      source.intercept = (call) => {
        if (isOf('unfreeze', 't1')(call)) throw new Error('reset by peer')
      }
      const name = `with-${unfreeze}`
      const report = await place.create(source, { unfreeze, name })
      expect(report.tables.map((table) => table.unfreeze)).toEqual([
        'released',
        'failed',
        'released',
      ])
      expect(report.leftover.map(({ table }) => table)).toEqual(['t1'])
      expect(report.warnings).toHaveLength(1)
      expect(report.warnings[0]).toContain('reset by peer')
      const recorded = await place.recorded(name)
      expect(recorded.map(({ freeze }) => freeze)).toEqual(report.leftover)
      expect(recorded[0]?.freeze.details).toEqual({ of: 't1' })
      source.intercept = () => {}
      const cleaned = await cleanFreezes(source, { target: place.target })
      expect(cleaned).toMatchObject({ released: report.leftover, leftover: [], abandoned: [] })
      expect((await place.manifest(name)).tables).toHaveLength(3)
      place.expectNothingLeft(source)
    }
  }),
)

test(
  'a source that says "released" and has done nothing is not believed',
  withBackups(async (place) => {
    const source = SimulatedSource.of(2)
    source.intercept = (call) => (isOf('unfreeze', 't0')(call) ? 'nothing' : undefined)
    const report = await place.create(source)
    expect(report.leftover.map(({ table }) => table)).toEqual(['t0'])
    expect(report.warnings[0]).toContain('but it is not')
    expect(await place.recorded()).toHaveLength(1)
    expect(source.frozen.size).toBe(1)
  }),
)

test(
  'a source that fails and has released all the same is believed by what is left',
  withBackups(async (place) => {
    const source = SimulatedSource.of(2)
    source.intercept = ({ verb, freeze }) => {
      if (verb !== 'unfreeze') return
      source.frozen.delete(freeze!.id)
      throw new Error('connection lost')
    }
    const report = await place.create(source)
    expect(report).toMatchObject({ warnings: [], leftover: [] })
    expect(count(source, 'unfreeze t0')).toBe(1)
    place.expectNothingLeft(source)
  }),
)

test(
  'numbers to be ignored: ignored when nothing is left, a leftover otherwise, never tried again',
  withBackups(async (place) => {
    const source = SimulatedSource.of(3)
    source.intercept = ({ verb, table, freeze }) => {
      if (verb !== 'unfreeze') return
      if (table === 't0') source.frozen.delete(freeze!.id)
      if (table !== 't2') throw new NumberedError(60)
    }
    const report = await place.create(source)
    expect(report.tables.map(({ unfreeze }) => unfreeze)).toEqual(['ignored', 'failed', 'released'])
    expect(report.leftover.map(({ table }) => table)).toEqual(['t1'])
    expect(count(source, 'unfreeze t0')).toBe(1)
    expect(count(source, 'unfreeze t1')).toBe(1)
    expect(await place.recorded()).toHaveLength(1)
  }),
)

test(
  'a refusal with any other number is a warning with it, whatever is left',
  withBackups(async (place) => {
    const source = SimulatedSource.of(3)
    source.intercept = ({ verb, table, freeze }) => {
      if (verb !== 'unfreeze' || table === 't2') return
      source.frozen.delete(freeze!.id)
      throw new NumberedError(table === 't0' ? 999 : 60)
    }
    const told: unknown[] = []
    const onWarning = (message: unknown): unknown => told.push(message)
    subscribe('hotbolt:backup-warning', onWarning)
    const report = await place.create(source)
    unsubscribe('hotbolt:backup-warning', onWarning)
    expect(report.warnings).toEqual([expect.stringMatching(/"t0".*999/)])
    expect(told).toEqual([expect.objectContaining({ message: report.warnings[0] })])
    expect(report.tables).toMatchObject([
      { unfreeze: 'refused', unfreezeError: 999 },
      { unfreeze: 'ignored', unfreezeError: 60 },
      { unfreeze: 'released' },
    ])
    expect(report.tables[2]).not.toHaveProperty('unfreezeError')
    expect(report.leftover).toEqual([])
    place.expectNothingLeft(source)
    const { released, warnings } = await cleanFreezes(source, { target: place.target })
    expect({ released, warnings }).toEqual({ released: [], warnings: [] })
  }),
)

test(
  "a number of one's own list is ignored instead; 60 is then a failure like any other",
  withBackups(async (place) => {
    const source = SimulatedSource.of(1)
    source.intercept = ({ verb, freeze }) => {
      if (verb !== 'unfreeze') return
      source.frozen.delete(freeze!.id)
      throw new NumberedError(7)
    }
    const report = await place.create(source, { ignoreErrors: [7] })
    expect(report.tables[0]?.unfreeze).toBe('ignored')
    source.intercept = ({ verb }) => {
      if (verb === 'freeze') throw new NumberedError(60)
    }
    const failed = place.create(source, { name: 'another', ignoreErrors: [7] })
    await expect(failed).rejects.toMatchObject({ code: 'ERR_SOURCE' })
    place.expectNothingLeft(source)
  }),
)

test(
  'a source that hangs in a release is given up after the deadline, and never asked again',
  withBackups(async (place) => {
    const source = SimulatedSource.of(3)
    const hanging = new Gate()
    source.intercept = async (call) => {
      if (isOf('unfreeze', 't1')(call)) await hanging.pass()
    }
    const backup = place.create(source, { unfreezeConcurrency: 1 })
    await hanging.reached()
    place.clock.expire(timeoutMs)
    await place.clock.asked(graceMs)
    place.clock.expire(graceMs)
    const report = await backup
    expect(report.leftover.map(({ table }) => table)).toEqual(['t1'])
    expect(report.tables.map(({ unfreeze }) => unfreeze)).toEqual([
      'released',
      'failed',
      'released',
    ])
    expect(count(source, 'unfreeze t1')).toBe(1)
    // Also not by this: the first call is still at work.
    const busy = await cleanFreezes(source, { target: place.target })
    expect(busy.leftover).toEqual(report.leftover)
    expect(count(source, 'unfreeze t1')).toBe(1)
    hanging.open()
    const cleaned = await cleanFreezes(source, { target: place.target })
    expect(cleaned.released).toEqual(report.leftover)
    place.expectNothingLeft(source)
  }),
)

test(
  'a source that ends when its deadline is over is asked again',
  withBackups(async (place) => {
    const source = SimulatedSource.of(1)
    let asked = 0
    const waiting = new Gate()
    source.intercept = async ({ verb, signal }) => {
      if (verb !== 'unfreeze' || asked++ > 0) return
      void waiting.pass()
      await new Promise((_, reject) => {
        signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true })
      })
    }
    const backup = place.create(source)
    await waiting.reached()
    place.clock.expire(timeoutMs)
    expect(await backup).toMatchObject({ warnings: [], leftover: [] })
    expect(count(source, 'unfreeze t0')).toBe(2)
    place.expectNothingLeft(source)
  }),
)

test(
  'a source that hangs when it is asked what is left is given up as well',
  withBackups(async (place) => {
    const source = SimulatedSource.of(1)
    const hanging = new Gate()
    source.intercept = async ({ verb }) => {
      if (verb === 'isFrozen') await hanging.pass()
    }
    const backup = place.create(source)
    await hanging.reached()
    place.clock.expire(timeoutMs)
    await place.clock.asked(graceMs)
    place.clock.expire(graceMs)
    expect((await backup).leftover).toHaveLength(1)
    expect(await place.recorded()).toHaveLength(1)
    hanging.open()
  }),
)

test(
  'a release is not cancelled with the backup',
  withBackups(async (place) => {
    const source = SimulatedSource.of(4)
    const controller = new AbortController()
    const gate = new Gate()
    const aborted: boolean[] = []
    source.intercept = async ({ verb, signal }) => {
      if (verb !== 'unfreeze') return
      await gate.pass()
      aborted.push(signal.aborted)
    }
    const options = { signal: controller.signal, tableConcurrency: 1 }
    const backup = place.create(source, options)
    backup.catch(() => {})
    await gate.reached()
    controller.abort(new Error('enough'))
    gate.open()
    await expect(backup).rejects.toMatchObject({ code: 'ERR_ABORTED' })
    expect(aborted.length).toBeGreaterThan(0)
    expect(aborted).not.toContain(true)
    place.expectUndone(source)
  }),
)

test(
  'deferred: what fails goes back into the queue, behind what has not been tried',
  withBackups(async (place) => {
    const source = SimulatedSource.of(3)
    let failures = 0
    source.intercept = (call) => {
      if (isOf('unfreeze', 't0')(call) && failures++ < 1) throw new Error('reset by peer')
    }
    const options = { unfreeze: 'deferred', unfreezeConcurrency: 1, tableConcurrency: 1 } as const
    await place.create(source, options)
    const releases = source.calls.filter((call) => call.startsWith('unfreeze'))
    expect(releases.slice(0, 2)).toEqual(['unfreeze t0', 'unfreeze t1'])
    expect(releases.filter((call) => call === 'unfreeze t0')).toHaveLength(2)
    place.expectNothingLeft(source)
  }),
)

test(
  'the freezes of a dead run of the same source are told by the next one, and left to cleaning',
  withBackups(async (place) => {
    const source = SimulatedSource.of(2)
    source.intercept = ({ verb }) => (verb === 'unfreeze' ? 'nothing' : undefined)
    const first = await place.create(source)
    source.intercept = () => {}
    const second = await place.create(source, { name: 'second' })
    expect(second.leftover.toSorted(byId)).toEqual(first.leftover.toSorted(byId))
    expect(second.warnings).toHaveLength(1)
    expect(second.warnings[0]).toContain('2 freezes are left')
    const other = await place.create(SimulatedSource.of(1, 'other'), { name: 'third' })
    expect(other).toMatchObject({ warnings: [], leftover: [] })
    const foreign = await cleanFreezes(SimulatedSource.of(1, 'other'), { target: place.target })
    expect(foreign).toMatchObject({ released: [], leftover: [] })
    expect(foreign.warnings[0]).toContain('of other sources')
    expect(await place.recorded(backupName)).toHaveLength(2)
    await cleanFreezes(source, { target: place.target })
    place.expectNothingLeft(source)
  }),
)

const byId = (a: { id: string }, b: { id: string }): number => (a.id < b.id ? -1 : 1)
