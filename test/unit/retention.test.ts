// Which backups are kept, and why; and that nothing goes that a kept one needs.

import fc from 'fast-check'
import { expect, test } from 'vitest'
import { listBackups } from '../../lib/backup/backups.ts'
import type { PruneReport } from '../../lib/backup/backup-options.ts'
import { directoryTarget } from '../../lib/backup/directory-target.ts'
import { FreezeJournal } from '../../lib/backup/freeze-journal.ts'
import { pruneBackups } from '../../lib/backup/retention.ts'
import type { Target } from '../../lib/backup/target.ts'
import { verifyBackup } from '../../lib/backup/verify.ts'
import { putBackup } from '../support/backups.ts'
import { MemoryTarget } from '../support/memory-target.ts'
import { holds } from '../support/property.ts'
import { expectRefusal } from '../support/refusal.ts'
import { keysIn } from '../support/target-contract.ts'
import { inDirectory } from '../support/with-database.ts'

const table = { name: 't', contents: { a: 'x' } }

/** Named by their times: '2026-11-20T15' is 15 o'clock. `base` has the files. */
async function putAt(target: Target, hour: string, base?: string): Promise<void> {
  const createdAt = `${hour}:00:00.000Z`
  const owner = base === undefined ? {} : { owner: base }
  await putBackup(target, hour, [{ ...table, ...owner }], { createdAt })
}

async function targetWith(...hours: string[]): Promise<MemoryTarget> {
  const target = new MemoryTarget()
  for (const hour of hours) await putAt(target, hour)
  return target
}

const keptOf = ({ kept }: PruneReport): Record<string, readonly string[]> =>
  Object.fromEntries(kept.map(({ name, reasons }) => [name, reasons]))

test('the newest are kept', async () => {
  const target = await targetWith('2026-01-03T01', '2026-01-01T01', '2026-01-02T01')
  const report = await pruneBackups({ target, keepLast: 2 })
  expect(keptOf(report)).toEqual({ '2026-01-02T01': ['last'], '2026-01-03T01': ['last'] })
  expect(report.deleted).toEqual(['2026-01-01T01'])
  const left = await listBackups(target)
  expect(left.map(({ name }) => name)).toEqual(['2026-01-02T01', '2026-01-03T01'])
  expect(await keysIn(target)).toHaveLength(4)
})

test('of each of the last days the newest is kept, whatever days lie between', async () => {
  const days = ['2026-01-01T05', '2026-01-01T23', '2026-03-01T00', '2026-03-01T12', '2026-03-09T00']
  const report = await pruneBackups({ target: await targetWith(...days), keepDaily: 3 })
  expect(keptOf(report)).toEqual({
    '2026-01-01T23': ['daily 2026-01-01'],
    '2026-03-01T12': ['daily 2026-03-01'],
    '2026-03-09T00': ['daily 2026-03-09'],
  })
})

test.each([
  ['2021-01-03T23', '2020-W53'],
  ['2021-01-04T00', '2021-W01'],
  ['2026-12-31T12', '2026-W53'],
  ['2027-01-03T12', '2026-W53'],
  ['2018-12-31T00', '2019-W01'],
  ['2024-02-29T00', '2024-W09'],
])('%s is in the week %s of ISO 8601', async (hour, week) => {
  const report = await pruneBackups({ target: await targetWith(hour), keepWeekly: 1 })
  expect(keptOf(report)).toEqual({ [hour]: [`weekly ${week}`] })
})

test('of each of the last weeks and months the newest is kept, with all its reasons', async () => {
  const target = await targetWith(
    '2025-12-31T10',
    '2026-01-01T10',
    '2026-01-04T10',
    '2026-01-05T10',
    '2026-01-30T10',
    '2026-02-01T10',
    '2026-02-02T10',
  )
  const report = await pruneBackups({ target, keepLast: 1, keepWeekly: 3, keepMonthly: 3 })
  expect(keptOf(report)).toEqual({
    '2025-12-31T10': ['monthly 2025-12'],
    '2026-01-05T10': ['weekly 2026-W02'],
    '2026-01-30T10': ['monthly 2026-01'],
    '2026-02-01T10': ['weekly 2026-W05'],
    '2026-02-02T10': ['last', 'weekly 2026-W06', 'monthly 2026-02'],
  })
  expect(report.deleted.toSorted()).toEqual(['2026-01-01T10', '2026-01-04T10'])
})

test('a dry run says the same and does nothing', async () => {
  const target = await targetWith('2026-01-01T01', '2026-01-02T01', '2026-01-03T01')
  const before = await keysIn(target)
  const dry = await pruneBackups({ target, keepLast: 1, dryRun: true })
  expect(await keysIn(target)).toEqual(before)
  expect(await pruneBackups({ target, keepLast: 1 })).toEqual(dry)
  expect(dry.deleted).toHaveLength(2)
})

test('what a kept one requires is kept; of what goes, those that require go first', async () => {
  const target = await targetWith('2026-01-01T01', '2026-01-02T01')
  await putAt(target, '2026-01-03T01', '2026-01-02T01')
  await putAt(target, '2026-01-04T01', '2026-01-01T01')
  const report = await pruneBackups({ target, keepLast: 1 })
  expect(keptOf(report)).toEqual({
    '2026-01-01T01': ['required by 2026-01-04T01'],
    '2026-01-04T01': ['last'],
  })
  expect(report.deleted).toEqual(['2026-01-03T01', '2026-01-02T01'])
  expect((await verifyBackup({ target, name: '2026-01-04T01' })).ok).toBe(true)
})

test('backups that require each other are kept, and the work ends', async () => {
  const target = await targetWith('2026-01-03T01')
  await putAt(target, '2026-01-01T01', '2026-01-02T01')
  await putAt(target, '2026-01-02T01', '2026-01-01T01')
  const report = await pruneBackups({ target, keepLast: 1 })
  expect(report.deleted).toEqual([])
  expect(keptOf(report)).toMatchObject({ '2026-01-01T01': ['required by 2026-01-02T01'] })
})

test('broken ones are kept, and a damaged one keeps all that it may need', async () => {
  const target = await targetWith('2026-01-01T01', '2026-01-02T01')
  await target.put('unfinished/tables/t/a', Buffer.from('x'))
  const first = await pruneBackups({ target, keepLast: 1 })
  expect(first.deleted).toEqual(['2026-01-01T01'])
  expect(keptOf(first)).toMatchObject({ unfinished: ['broken'] })
  await putAt(target, '2026-01-01T01')
  await target.put('damaged/manifest.json', Buffer.from('{}'))
  const second = await pruneBackups({ target, keepLast: 1 })
  expect(second.deleted).toEqual([])
  expect(keptOf(second)['2026-01-01T01']?.[0]).toContain('damaged')
})

test('while a backup is made, nothing goes that it may need', () =>
  inDirectory(async (directory) => {
    const target = directoryTarget(directory)
    for (const hour of ['2026-01-01T01', '2026-01-02T01']) await putAt(target, hour)
    const journal = await FreezeJournal.create(target.stateDirectory!, 'running')
    try {
      await target.put('running/tables/t/a', Buffer.from('x'))
      const report = await pruneBackups({ target, keepLast: 1 })
      expect(report.deleted).toEqual([])
      expect(keptOf(report)['2026-01-01T01']?.[0]).toContain('running')
    } finally {
      await journal.close()
    }
    expect((await pruneBackups({ target, keepLast: 1 })).deleted).toEqual(['2026-01-01T01'])
  }))

test.each(['deleted', 'made anew'])(
  'one that is %s meanwhile is not deleted again',
  async (what) => {
    const target = await targetWith('2026-01-01T01', '2026-01-02T01')
    const name = '2026-01-01T01'
    const manifest = `${name}/manifest.json`
    let reads = 0
    const get = target.get.bind(target)
    target.get = async (key, signal) => {
      // First it is listed; then it is about to go.
      if (key === manifest && ++reads === 2) {
        for (const each of await keysIn(target)) {
          if (each.startsWith(`${name}/`)) await target.delete(each)
        }
        if (what === 'made anew') await putBackup(target, name, [table])
      }
      return get(key, signal)
    }
    await pruneBackups({ target, keepLast: 1 })
    expect(reads).toBeGreaterThan(1)
    const left = what === 'deleted' ? [] : [name]
    const names = (await listBackups(target)).map((backup) => backup.name)
    expect(names.toSorted()).toEqual([...left, '2026-01-02T01'])
    for (const each of names) expect((await verifyBackup({ target, name: each })).ok).toBe(true)
  },
)

test('the rules are for each source: one does not take the place of another', async () => {
  const target = await targetWith('2026-01-01T01', '2026-01-01T02')
  for (const hour of ['2026-01-02T01', '2026-01-03T01', '2026-01-04T01']) {
    const createdAt = `${hour}:00:00.000Z`
    await putBackup(target, hour, [table], { createdAt, source: { kind: 'files', id: 'other' } })
  }
  const report = await pruneBackups({ target, keepLast: 2, keepDaily: 1 })
  expect(report.deleted).toEqual(['2026-01-02T01'])
  expect(keptOf(report)).toMatchObject({
    '2026-01-01T01': ['last'],
    '2026-01-01T02': ['last', 'daily 2026-01-01'],
  })
})

test('keeping nothing at all is refused', async () => {
  const target = await targetWith('2026-01-01T01')
  for (const rules of [{}, { keepLast: 0, keepDaily: 0 }, { keepLast: undefined, dryRun: true }]) {
    await expectRefusal('ERR_INVALID_ARGUMENT', () => pruneBackups({ target, ...rules }))
  }
  await expectRefusal('ERR_INVALID_ARGUMENT', () => pruneBackups({ target, keepLast: -1 }))
  expect(await listBackups(target)).toHaveLength(1)
})

test('whatever the rules, what is left is whole', async () => {
  const hours = fc.uniqueArray(fc.nat(24 * 400), { minLength: 1, maxLength: 12 })
  const rules = fc.record({
    keepLast: fc.nat(3),
    keepDaily: fc.nat(3),
    keepWeekly: fc.nat(3),
    keepMonthly: fc.nat(3),
  })
  const property = fc.asyncProperty(
    hours,
    rules,
    fc.infiniteStream(fc.nat(20)),
    async (...args) => {
      const [given, keep, choices] = args
      fc.pre(Object.values(keep).some((count) => count > 0))
      const target = new MemoryTarget()
      const made: string[] = []
      for (const hour of given.toSorted((one, other) => one - other)) {
        const name = new Date(Date.UTC(2025, 0, 1, hour)).toISOString().slice(0, 13)
        await putAt(target, name, made[choices.next().value ?? 0])
        made.push(name)
      }
      const report = await pruneBackups({ target, ...keep })
      const kept = report.kept.map(({ name }) => name)
      expect([...kept, ...report.deleted].toSorted()).toEqual(made)
      expect((await listBackups(target)).map(({ name }) => name)).toEqual(kept)
      expect(kept.slice(-keep.keepLast || kept.length)).toEqual(
        made.slice(-keep.keepLast || made.length).filter((name) => kept.includes(name)),
      )
      for (const { reasons } of report.kept) expect(reasons.length).toBeGreaterThan(0)
      for (const { requires } of await listBackups(target)) {
        for (const name of requires) expect(kept).toContain(name)
      }
    },
  )
  await holds(property, 200)
})
