// Every call that a backup makes, of its source and of its target, fails in turn, or is the moment
// at which the backup is cancelled. Afterwards the backup is complete, or there is nothing of it.

import { expect, test } from 'vitest'
import {
  cleanFreezes,
  HotboltError,
  type BackupReport,
  type CreateBackupOptions,
} from '../../lib/index.ts'
import { SimulatedSource } from '../support/backup-source.ts'
import { withBackups, type BackupPlace } from '../support/backup-place.ts'
import { Gate } from '../support/gate.ts'
import { errorOf } from '../support/refusal.ts'

const tables = 5
const options = { tableConcurrency: 2, unfreezeConcurrency: 2, maxFrozen: 3 }

const modes: Partial<CreateBackupOptions>[] = [
  { unfreeze: 'pipelined' },
  { unfreeze: 'deferred' },
  { unfreeze: 'inline' },
  { unfreeze: 'pipelined', freezeAllFirst: true },
]

const nameOf = ({ unfreeze, freezeAllFirst }: Partial<CreateBackupOptions>): string =>
  `${unfreeze}${freezeAllFirst === true ? ' with a cut' : ''}`

/** Runs `onCall` at every call of both; it is told the how manieth of all it is. */
function watch(
  place: BackupPlace,
  source: SimulatedSource,
  onCall: (number: number, what: string) => Promise<void> | void,
): void {
  let calls = 0
  source.intercept = ({ verb, table }) => onCall(++calls, `${verb} ${table}`)
  place.target.intercept = ({ verb, key }) => onCall(++calls, `${verb} ${key}`)
}

interface Outcome {
  readonly report: BackupReport | undefined
  readonly error: unknown
  readonly source: SimulatedSource
}

/** Makes one backup after another, with a fault at call 1, 2, ... until one has no such call. */
async function eachCall(
  place: BackupPlace,
  mode: Partial<CreateBackupOptions>,
  begin: () => { onFault: (what: string) => void; signal?: AbortSignal },
  judge: (outcome: Outcome, what: string) => Promise<void>,
): Promise<number> {
  for (let at = 1; ; at++) {
    place.objects.clear()
    const source = SimulatedSource.of(tables).withCut()
    const { onFault, signal } = begin()
    let what: string | undefined
    watch(place, source, (number, call) => {
      if (number !== at) return
      what = call
      onFault(call)
    })
    let report: BackupReport | undefined
    const error = await errorOf(async () => {
      report = await place.create(source, { ...options, ...mode, signal })
    })
    place.target.intercept = () => {}
    source.intercept = () => {}
    if (what === undefined) {
      expect(report).toMatchObject({ warnings: [], leftover: [] })
      return at - 1
    }
    await judge({ report, error, source }, what)
  }
}

for (const mode of modes) {
  test(
    `${nameOf(mode)}: every call fails in turn`,
    withBackups(async (place) => {
      const seen = { complete: 0, failed: 0 }
      // A release is tried again; everything else that fails ends the backup.
      const mayFail = (what: string): boolean => /^(unfreeze|isFrozen)/.test(what)
      const begin = (): { onFault: (what: string) => void } => ({
        onFault: (what) => {
          throw new Error(`planted in ${what}`)
        },
      })
      const calls = await eachCall(place, mode, begin, async ({ report, error, source }, what) => {
        if (report !== undefined) {
          seen.complete++
          expect(mayFail(what), what).toBe(true)
          await place.expectComplete(source, [...source.tables.keys()])
          expect(report.leftover, what).toEqual([])
          return place.expectNothingLeft(source)
        }
        seen.failed++
        expect(mayFail(what), what).toBe(false)
        expect(error, what).toBeInstanceOf(HotboltError)
        expect((error as HotboltError).message).toContain(`planted in ${what}`)
        expect(['ERR_SOURCE', 'ERR_IO']).toContain((error as HotboltError).code)
        place.expectUndone(source)
      })
      expect(calls).toBeGreaterThan(5 * tables)
      // Which call comes when is not the same in each run.
      expect(seen.complete).toBeGreaterThan(0)
      expect(seen.failed).toBeGreaterThan(3 * tables)
    }),
  )

  test(
    `${nameOf(mode)}: cancelled at every call`,
    withBackups(async (place) => {
      const reason = new Error('enough')
      let controller = new AbortController()
      const begin = (): { onFault: () => void; signal: AbortSignal } => {
        controller = new AbortController()
        return { onFault: () => controller.abort(reason), signal: controller.signal }
      }
      const seen = { complete: 0, aborted: 0 }
      await eachCall(place, mode, begin, async ({ report, error, source }, what) => {
        if (report !== undefined) {
          seen.complete++
          expect(what).toMatch(/^(unfreeze|isFrozen|put .*manifest)/)
          await place.expectComplete(source, [...source.tables.keys()])
          return place.expectNothingLeft(source)
        }
        seen.aborted++
        expect(error, what).toMatchObject({ code: 'ERR_ABORTED', cause: reason })
        place.expectUndone(source)
      })
      expect(seen.aborted).toBeGreaterThan(2 * tables)
      // Only then it is certain that something is left to be released when it is complete.
      if (mode.unfreeze === 'deferred') expect(seen.complete).toBeGreaterThan(0)
    }),
  )
}

test(
  'a signal that is aborted before the backup begins: nothing is asked',
  withBackups(async (place) => {
    const source = SimulatedSource.of(1)
    const create = place.create(source, { signal: AbortSignal.abort(new Error('never')) })
    await expect(create).rejects.toMatchObject({ code: 'ERR_ABORTED' })
    expect(source.calls).toEqual([])
    expect(place.target.calls).toEqual([])
  }),
)

test(
  'a target that fails for good from any call on: what cannot be deleted is recorded, and cleaned',
  withBackups(async (place) => {
    let withRecord = 0
    for (let at = 1; ; at++) {
      place.objects.clear()
      const source = SimulatedSource.of(tables)
      let calls = 0
      place.target.intercept = () => {
        if (++calls >= at) throw new Error('the target is gone')
      }
      const error = await errorOf(() => place.create(source, options))
      place.target.intercept = () => {}
      expect(source.frozen.size).toBe(0)
      if (error === undefined) break
      expect(error).toMatchObject({ code: 'ERR_IO' })
      if (place.objects.size > 0) {
        withRecord++
        expect(place.records).toEqual(['b.freezes'])
        expect((error as Error).message).toContain('Deleting what was copied failed')
        const dry = await cleanFreezes(source, { target: place.target, dryRun: true })
        expect(dry.abandoned).toEqual(['b'])
        expect(place.objects.size).toBeGreaterThan(0)
        const cleaned = await cleanFreezes(source, { target: place.target })
        expect(cleaned).toMatchObject({ abandoned: ['b'], warnings: [] })
      } else if (place.records.length > 0) {
        await cleanFreezes(source, { target: place.target })
      }
      place.expectUndone(source)
    }
    expect(withRecord).toBeGreaterThan(tables - 1)
  }),
)

test(
  'a run of the same name takes over what a failed one could not delete',
  withBackups(async (place) => {
    const source = SimulatedSource.of(tables)
    let broken = false
    place.target.intercept = ({ verb, key }) => {
      broken ||= verb === 'put' && key.includes('/t3/')
      if (broken) throw new Error('the target is gone')
    }
    await expect(place.create(source)).rejects.toMatchObject({ code: 'ERR_IO' })
    expect(place.objects.size).toBeGreaterThan(0)
    place.target.intercept = () => {}
    source.tables.delete('t0')
    await place.create(source)
    await place.expectComplete(source, ['t1', 't2', 't3', 't4'])
    expect([...place.objects.keys()].filter((key) => key.includes('/t0/'))).toEqual([])
    place.expectNothingLeft(source)
  }),
)

test(
  'the first failure is what is told, though others follow',
  withBackups(async (place) => {
    const source = SimulatedSource.of(3)
    source.intercept = ({ verb, table }) => {
      if (verb === 'copy' && table === 't1') throw new Error('the first')
      if (verb === 'unfreeze' && table === 't1') throw new Error('the second')
    }
    place.target.intercept = ({ verb }) => {
      if (verb === 'delete') throw new Error('the third')
    }
    const create = place.create(source, { tableConcurrency: 1 })
    const error = (await errorOf(() => create)) as HotboltError
    expect(error.code).toBe('ERR_SOURCE')
    expect(error.message).toMatch(/^Table "t1" could not be copied: the first; then: /)
    expect(error.message).toContain('the second')
    expect(error.message).toContain('the third')
    expect(error.cause).toMatchObject({ message: 'the first' })
  }),
)

const timeoutMs = 5000

for (const verb of ['freeze', 'copy'] as const) {
  test(
    `a source that ignores the cancellation of a ${verb} is given up, and not asked to release it`,
    withBackups(async (place) => {
      const source = SimulatedSource.of(1)
      const controller = new AbortController()
      const hanging = new Gate()
      source.intercept = async (call) => {
        if (call.verb === verb) await hanging.pass()
      }
      const create = place.create(source, { signal: controller.signal })
      create.catch(() => {})
      await hanging.reached()
      controller.abort(new Error('enough'))
      await place.clock.asked(timeoutMs)
      place.clock.expire(timeoutMs)
      await expect(create).rejects.toMatchObject({ code: 'ERR_ABORTED' })
      expect(source.calls).not.toContain('unfreeze t0')
      expect(await place.recorded()).toHaveLength(1)
      hanging.open()
      await source.settled()
      const cleaned = await cleanFreezes(source, { target: place.target })
      expect(cleaned.released).toHaveLength(1)
      place.expectUndone(source)
    }),
  )
}

for (const what of ['a file', 'the manifest'] as const) {
  test(
    `a target that ignores the cancellation as ${what} is put is given up, and cleaned later`,
    withBackups(async (place) => {
      const source = SimulatedSource.of(1)
      const controller = new AbortController()
      const hanging = new Gate()
      place.target.ignoresSignals = true
      const isIt = (key: string): boolean => key.endsWith('manifest.json') === (what !== 'a file')
      place.target.intercept = async ({ verb, key }) => {
        if (verb === 'put' && isIt(key)) await hanging.pass()
      }
      const create = place.create(source, { signal: controller.signal })
      create.catch(() => {})
      await hanging.reached()
      controller.abort(new Error('enough'))
      await place.clock.asked(timeoutMs)
      place.clock.expire(timeoutMs)
      await expect(create).rejects.toMatchObject({ code: 'ERR_ABORTED' })
      expect(source.frozen.size).toBe(0)
      // It comes late, and is whole: what has a manifest has its files.
      hanging.open()
      await new Promise((resolve) => setImmediate(resolve))
      const cleaned = await cleanFreezes(source, { target: place.target })
      expect(place.objects.has('b/manifest.json')).toBe(what !== 'a file')
      if (what === 'a file') expect(cleaned.abandoned).toEqual(['b'])
      else await place.expectComplete(source, ['t0'])
      place.expectNothingLeft(source)
    }),
  )
}

test(
  'an onProgress that throws ends the backup with its error; afterwards it is a warning',
  withBackups(async (place) => {
    for (const phase of ['listing', 'copying', 'publishing', 'unfreezing', 'done']) {
      place.objects.clear()
      const source = SimulatedSource.of(2)
      const cause = new Error('of the caller')
      const onProgress = (progress: { readonly phase: string }): void => {
        if (progress.phase === phase) throw cause
      }
      const create = place.create(source, { onProgress })
      if (phase === 'unfreezing' || phase === 'done') {
        expect((await create).warnings[0]).toContain('of the caller')
        place.expectNothingLeft(source)
      } else {
        await expect(create).rejects.toBe(cause)
        place.expectUndone(source)
      }
    }
  }),
)
