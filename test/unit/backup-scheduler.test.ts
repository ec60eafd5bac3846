// The scheduler of backups: which tables, in what order, how many at a time, and what is reported.

import { createHash } from 'node:crypto'
import { copyFileSync, existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import {
  cleanFreezes,
  createBackup,
  deleteBackup,
  HotboltError,
  type BackupProgress,
} from '../../lib/index.ts'
import { directoryTarget } from '../../lib/backup/directory-target.ts'
import { FreezeJournal } from '../../lib/backup/freeze-journal.ts'
import { readManifest } from '../../lib/backup/manifest.ts'
import { verifyBackup } from '../../lib/backup/verify.ts'
import { NumberedError, SimulatedSource } from '../support/backup-source.ts'
import { backupName, withBackups, type BackupPlace } from '../support/backup-place.ts'
import { Gate, turns } from '../support/gate.ts'
import { MemoryTarget } from '../support/memory-target.ts'
import { expectRefusal } from '../support/refusal.ts'
import { codeOf, inDirectory, openFilesIn } from '../support/with-database.ts'

const names = (count: number): string[] => Array.from({ length: count }, (_, index) => `t${index}`)

test(
  'many slots are no leak of listeners',
  withBackups(async (place) => {
    const warnings: Error[] = []
    const onWarning = (warning: Error): unknown => warnings.push(warning)
    process.on('warning', onWarning)
    await place.create(SimulatedSource.of(40), { tableConcurrency: 40 })
    await turns(2)
    process.off('warning', onWarning)
    expect(warnings).toEqual([])
  }),
)

test(
  'a backup has every table, its hashes, and a manifest that says so',
  withBackups(async (place) => {
    const source = SimulatedSource.of(10)
    const report = await place.create(source)
    await place.expectComplete(source, names(10))
    place.expectNothingLeft(source)
    expect(report.tables.map(({ name }) => name)).toEqual(names(10))
    expect(new Set(report.tables.map(({ outcome }) => outcome))).toEqual(new Set(['copied']))
    expect(new Set(report.tables.map(({ unfreeze }) => unfreeze))).toEqual(new Set(['released']))
    expect(report).toMatchObject({ name: backupName, warnings: [], leftover: [], bytesReused: 0 })
    const sizes = [...source.tables.values()].map(({ files }) => files['data']!.length)
    expect(report.bytesCopied).toBe(sizes.reduce((sum, size) => sum + size, 0))
    const manifest = await place.manifest()
    expect(manifest.source).toEqual({ kind: 'simulated', id: 'one' })
    expect(manifest.cut).toBe(false)
    expect(manifest.tables[3]?.metadata).toEqual({ table: 't3' })
  }),
)

test(
  'a source without tables gives an empty backup',
  withBackups(async (place) => {
    const source = SimulatedSource.of(0)
    const report = await place.create(source)
    expect(report.tables).toEqual([])
    await place.expectComplete(source, [])
  }),
)

test(
  'include and exclude choose tables; excluding wins',
  withBackups(async (place) => {
    const source = SimulatedSource.of(12)
    await place.create(source, { include: ['t1*', 't?', 'none'], exclude: ['t10', 't3'] })
    const expected = names(12).filter((name) => name !== 't10' && name !== 't3')
    await place.expectComplete(source, expected)
    expect(source.calls).not.toContain('freeze t3')
  }),
)

test(
  'none of the tables being meant is ERR_NOT_FOUND, before any freeze',
  withBackups(async (place) => {
    const source = SimulatedSource.of(3)
    await expectRefusal('ERR_NOT_FOUND', () => place.create(source, { include: ['x*'] }))
    expect(source.calls).toEqual(['list'])
    place.expectUndone(source)
  }),
)

test(
  'a pattern of many stars does not take long',
  withBackups(async (place) => {
    const name = 'a'.repeat(1000)
    const source = new SimulatedSource({ [name]: { files: {} } })
    const include = [`${'*a'.repeat(400)}*b`]
    await expectRefusal('ERR_NOT_FOUND', () => place.create(source, { include }))
  }),
)

test(
  'two tables of one name, and names that cannot be, are ERR_SOURCE',
  withBackups(async (place) => {
    for (const listed of [['a', 'b', 'a'], ['a', ''], ['\ud800']]) {
      const source = SimulatedSource.of(1)
      source.listTables = async () => listed.map((name) => ({ name }))
      await expectRefusal('ERR_SOURCE', () => place.create(source))
      place.expectUndone(source)
    }
  }),
)

test(
  'as many tables as `tableConcurrency` are copied at a time, and no more',
  withBackups(async (place) => {
    const source = SimulatedSource.of(9)
    const gate = new Gate()
    source.intercept = async ({ verb }) => {
      if (verb === 'copy') await gate.pass()
    }
    const backup = place.create(source, { tableConcurrency: 3 })
    await gate.reached(3)
    expect(source.frozen.size).toBe(3)
    expect(gate.arrived).toBe(3)
    gate.open()
    const report = await backup
    expect(report.maxFrozen).toBeLessThanOrEqual(9)
    await place.expectComplete(source, names(9))
  }),
)

test(
  'pipelined: a slot takes the next table while the freeze of the last is being released',
  withBackups(async (place) => {
    const source = SimulatedSource.of(6)
    const gate = new Gate()
    source.intercept = async ({ verb }) => {
      if (verb === 'unfreeze') await gate.pass()
    }
    const backup = place.create(source, { tableConcurrency: 1, unfreezeConcurrency: 6 })
    // All six wait in their release, so the only slot has copied them all meanwhile.
    await gate.reached(6)
    expect(source.frozen.size).toBe(6)
    gate.open()
    expect((await backup).maxFrozen).toBe(6)
    place.expectNothingLeft(source)
  }),
)

test(
  'the manifest is there before the freezes are released',
  withBackups(async (place) => {
    const source = SimulatedSource.of(3)
    const gate = new Gate()
    source.intercept = async ({ verb }) => {
      if (verb === 'unfreeze') await gate.pass()
    }
    const manifestPut = new Gate()
    place.target.afterwards = async ({ key }) => {
      if (key.endsWith('manifest.json') && place.objects.has(key)) void manifestPut.pass()
    }
    const backup = place.create(source)
    await manifestPut.reached()
    expect(source.frozen.size).toBe(3)
    await place.expectComplete(source, names(3))
    gate.open()
    const { completeMs, durationMs } = await backup
    expect(completeMs).toBeLessThan(durationMs)
  }),
)

test(
  'pipelined: no more than `maxFrozen` are frozen at a time',
  withBackups(async (place) => {
    const source = SimulatedSource.of(10)
    const gate = new Gate()
    source.intercept = async ({ verb }) => {
      if (verb === 'unfreeze') await gate.pass()
    }
    const options = { tableConcurrency: 4, unfreezeConcurrency: 10, maxFrozen: 5 }
    const backup = place.create(source, options)
    await gate.reached(5)
    expect(source.frozen.size).toBe(5)
    gate.open()
    expect((await backup).maxFrozen).toBe(5)
    expect(source.frozenMax).toBe(5)
    await place.expectComplete(source, names(10))
  }),
)

test(
  'deferred: nothing is released before all is copied, then `unfreezeConcurrency` at a time',
  withBackups(async (place) => {
    const source = SimulatedSource.of(10)
    const gate = new Gate()
    source.intercept = async ({ verb }) => {
      if (verb === 'unfreeze') await gate.pass()
    }
    // maxFrozen is of the pipelined mode: here it would stand in the way for ever.
    const options = { unfreeze: 'deferred', unfreezeConcurrency: 4, maxFrozen: 2 } as const
    const backup = place.create(source, options)
    await gate.reached(4)
    expect(gate.arrived).toBe(4)
    expect(source.calls.filter((call) => call.startsWith('copy'))).toHaveLength(10)
    expect(source.frozen.size).toBe(10)
    await place.expectComplete(source, names(10))
    gate.open()
    expect((await backup).maxFrozen).toBe(10)
    place.expectNothingLeft(source)
  }),
)

test(
  'inline: a slot releases its table before it takes the next',
  withBackups(async (place) => {
    const source = SimulatedSource.of(4)
    const gate = new Gate()
    source.intercept = async ({ verb }) => {
      if (verb === 'unfreeze') await gate.pass()
    }
    const backup = place.create(source, { unfreeze: 'inline', tableConcurrency: 1 })
    await gate.reached()
    // A whole backup, as long as a slot that does not wait would need for much more than a freeze.
    await place.create(SimulatedSource.of(4), { name: 'meanwhile' })
    expect(source.calls).toEqual(['list', 'freeze t0', 'copy t0', 'unfreeze t0'])
    gate.open()
    const report = await backup
    const steps = ['freeze', 'copy', 'unfreeze', 'isFrozen']
    const expected = names(4).flatMap((name) => steps.map((step) => `${step} ${name}`))
    expect(source.calls).toEqual(['list', ...expected])
    expect(report.maxFrozen).toBe(1)
  }),
)

/** What a crash at this moment would leave of the journal, read from a copy of its files. */
async function recordedNow(place: BackupPlace, copyName: string): Promise<string[]> {
  for (const file of readdirSync(place.stateDirectory)) {
    if (!file.startsWith(`${backupName}.freezes`)) continue
    const copy = file.replace(`${backupName}.freezes`, `${copyName}.freezes`)
    copyFileSync(join(place.stateDirectory, file), join(place.directory, copy))
  }
  const journal = await FreezeJournal.open(place.directory, copyName, { readOnly: true })
  try {
    return journal.freezes().map(({ freeze }) => freeze.id)
  } finally {
    await journal.close()
  }
}

test(
  'a freeze is recorded durably before the source is asked for it',
  withBackups(async (place) => {
    const source = SimulatedSource.of(5)
    const missing: string[] = []
    let looked = 0
    source.intercept = async ({ verb, freeze }) => {
      if (verb !== 'freeze') return
      const ids = await recordedNow(place, `copy-${looked++}`)
      if (!ids.includes(freeze!.id)) missing.push(freeze!.table)
    }
    await place.create(source)
    expect(looked).toBe(5)
    expect(missing).toEqual([])
  }),
)

/** Runs with every record() of a journal going through `change`. */
async function withRecords(
  change: (record: () => Promise<void>) => Promise<void>,
  run: () => Promise<void>,
): Promise<void> {
  const { prototype } = FreezeJournal
  const own = Object.getOwnPropertyDescriptor(prototype, 'record')!
  const record = own.value as FreezeJournal['record']
  prototype.record = function (this: FreezeJournal, ...args): Promise<void> {
    return change(() => record.apply(this, args))
  }
  try {
    await run()
  } finally {
    Object.defineProperty(prototype, 'record', own)
  }
}

test(
  'as long as a record is not acknowledged, the source is not asked',
  withBackups(async (place) => {
    for (const freezeAllFirst of [false, true]) {
      const source = SimulatedSource.of(3).withCut()
      const gate = new Gate()
      const late = async (record: () => Promise<void>): Promise<void> => {
        await record()
        await gate.pass()
      }
      await withRecords(late, async () => {
        const backup = place.create(source, { freezeAllFirst, name: `cut-${freezeAllFirst}` })
        await gate.reached(freezeAllFirst ? 1 : 3)
        await turns()
        expect(source.calls).toEqual(['list'])
        gate.open()
        await backup
      })
      place.expectNothingLeft(source)
    }
  }),
)

test(
  'a freeze that cannot be recorded is not asked for',
  withBackups(async (place) => {
    const source = SimulatedSource.of(3)
    const full = (): Promise<void> =>
      Promise.reject(new HotboltError('ERR_NO_SPACE', 'No space is left for a record'))
    await withRecords(full, async () => {
      await expectRefusal('ERR_NO_SPACE', () => place.create(source))
    })
    expect(source.calls).toEqual(['list'])
    place.expectUndone(source)
  }),
)

test(
  'all records are durable before all tables are frozen at one moment',
  withBackups(async (place) => {
    const source = SimulatedSource.of(6).withCut()
    const freezeAll = source.freezeAll!
    let recorded: string[] = []
    source.freezeAll = async (freezes, signal) => {
      recorded = await recordedNow(place, 'copy')
      expect(recorded.toSorted()).toEqual(freezes.map(({ id }) => id).toSorted())
      return freezeAll(freezes, signal)
    }
    const report = await place.create(source, { freezeAllFirst: true, tableConcurrency: 2 })
    expect(recorded).toHaveLength(6)
    expect(report.maxFrozen).toBe(6)
    expect((await place.manifest()).cut).toBe(true)
    const lastFreeze = source.calls.findLastIndex((call) => call.startsWith('freeze'))
    expect(source.calls.findIndex((call) => call.startsWith('copy'))).toBeGreaterThan(lastFreeze)
    place.expectNothingLeft(source)
  }),
)

test(
  'a source that cannot freeze all at one moment refuses `freezeAllFirst`',
  withBackups(async (place) => {
    const source = SimulatedSource.of(2)
    const create = (): Promise<unknown> => place.create(source, { freezeAllFirst: true })
    await expectRefusal('ERR_INVALID_ARGUMENT', create)
    expect(source.calls).toEqual([])
  }),
)

test(
  'a table that goes before it is frozen, or while it is copied, is gone and no failure',
  withBackups(async (place) => {
    for (const [verb, code] of [
      ['freeze', 60],
      ['copy', 218],
    ] as const) {
      const source = SimulatedSource.of(4)
      source.intercept = (call) => {
        if (call.verb === verb && call.table === 't2') throw new NumberedError(code)
      }
      const name = `without-${verb}`
      const report = await place.create(source, { name })
      expect(report.tables[2]).toMatchObject({ name: 't2', outcome: 'gone', files: 0 })
      expect(report.warnings).toHaveLength(1)
      expect(report.warnings[0]).toContain('"t2" is gone')
      const manifest = await place.manifest(name)
      expect(manifest.tables.map((table) => table.name)).toEqual(['t0', 't1', 't3'])
      place.expectNothingLeft(source)
    }
  }),
)

test(
  'with a cut, a table that has gone meanwhile is gone, and any other failure fails the backup',
  withBackups(async (place) => {
    for (const code of [81, 82]) {
      const source = SimulatedSource.of(4).withCut()
      source.intercept = (call) => {
        if (call.verb === 'freeze' && call.table === 't1') throw new NumberedError(code)
      }
      const backup = place.create(source, { freezeAllFirst: true, name: `with-${code}` })
      if (code === 81) expect((await backup).tables[1]?.outcome).toBe('gone')
      else await expectRefusal('ERR_SOURCE', () => backup)
      place.expectNothingLeft(source)
    }
  }),
)

test(
  'the number 600 is not 60, and no number of the target is one of the source',
  withBackups(async (place) => {
    const source = SimulatedSource.of(2)
    source.intercept = ({ verb }) => {
      if (verb === 'freeze') throw new NumberedError(600)
    }
    await expectRefusal('ERR_SOURCE', () => place.create(source))
    source.intercept = () => {}
    place.target.intercept = ({ verb }) => {
      if (verb === 'put') throw new NumberedError(60)
    }
    await expectRefusal('ERR_IO', () => place.create(source))
    place.target.intercept = () => {}
    place.expectUndone(source)
  }),
)

test(
  'a table of an equal version is not copied again, and its owner is the backup that has it',
  withBackups(async (place) => {
    const source = new SimulatedSource({
      same: { files: { data: 'same' }, version: 'v1' },
      changed: { files: { data: 'old' }, version: 'v1' },
      unknown: { files: { data: 'unknown' } },
    })
    await place.create(source, { name: 'first' })
    source.tables.set('changed', { files: { data: 'new' }, version: 'v2' })
    const second = await place.create(source, { name: 'second', diffFrom: 'first' })
    source.calls.length = 0
    const report = await place.create(source, { diffFrom: 'second' })
    expect(second.tables.map(({ outcome }) => outcome)).toEqual(['reused', 'copied', 'copied'])
    expect(report.tables.map(({ outcome }) => outcome)).toEqual(['reused', 'reused', 'copied'])
    expect(report.bytesReused).toBe('same'.length + 'new'.length)
    expect(source.calls).not.toContain('copy same')
    const manifest = await place.manifest()
    expect(manifest.tables.map(({ owner }) => owner)).toEqual(['first', 'second', backupName])
    expect(manifest.requires).toEqual(['first', 'second'])
    await place.expectComplete(source, ['same', 'changed', 'unknown'])
    place.expectNothingLeft(source)
  }),
)

test(
  'a table whose files are missing or cut short in the earlier backup is copied again',
  withBackups(async (place) => {
    const table = { files: { data: 'the content' }, version: 'v1' }
    const source = new SimulatedSource({ whole: table, missing: table, short: table })
    await place.create(source, { name: 'first' })
    place.objects.delete('first/tables/missing/data')
    place.objects.set('first/tables/short/data', Buffer.from('the cont'))
    const report = await place.create(source, { diffFrom: 'first' })
    expect(report.tables.map(({ outcome }) => outcome)).toEqual(['reused', 'copied', 'copied'])
    expect(report.warnings).toEqual([
      expect.stringContaining('"missing" is copied again'),
      expect.stringContaining('"short" is copied again'),
    ])
    await place.expectComplete(source, ['whole', 'missing', 'short'])
  }),
)

test(
  'bytesPerSecond holds for all tables together, however small they are',
  withBackups(async (place) => {
    const content = 'x'.repeat(1000)
    const tables = Array.from({ length: 50 }, (_, n) => [`t${n}`, { files: { data: content } }])
    const source = new SimulatedSource(Object.fromEntries(tables))
    const startMs = performance.now()
    await place.create(source, { bytesPerSecond: 100_000, tableConcurrency: 4 })
    expect(performance.now() - startMs).toBeGreaterThan(495)
  }),
)

test(
  'versions of another source are not compared',
  withBackups(async (place) => {
    await place.create(SimulatedSource.of(1, 'other'), { name: 'first' })
    const source = SimulatedSource.of(1)
    const create = (): Promise<unknown> => place.create(source, { diffFrom: 'first' })
    await expectRefusal('ERR_INVALID_ARGUMENT', create)
    await expectRefusal('ERR_NOT_FOUND', () => place.create(source, { diffFrom: 'none' }))
    place.expectNothingLeft(source)
  }),
)

test(
  'a backup that is deleted as another comes to depend on it fails that one',
  withBackups(async (place) => {
    const source = new SimulatedSource({ a: { files: { data: 'a' }, version: 'v1' } })
    for (const moment of ['before', 'after'] as const) {
      place.objects.clear()
      await place.create(source, { name: 'first' })
      const deleteFirst = ({ verb, key }: { verb: string; key: string }): void => {
        if (verb === 'put' && key === `${backupName}/manifest.json`) {
          place.objects.delete('first/manifest.json')
        }
      }
      if (moment === 'before') {
        source.intercept = ({ verb }) => {
          if (verb === 'freeze') place.objects.delete('first/manifest.json')
        }
      } else {
        source.intercept = () => {}
        place.target.afterwards = deleteFirst
      }
      await expectRefusal('ERR_NOT_FOUND', () => place.create(source, { diffFrom: 'first' }))
      expect([...place.objects.keys()]).toEqual(['first/tables/a/data'])
      place.expectNothingLeft(source)
    }
  }),
)

test(
  'nor is another backup taken for it that was made under its name meanwhile',
  withBackups(async (place) => {
    const source = new SimulatedSource({ a: { files: { data: 'one' }, version: 'v1' } })
    await place.create(source, { name: 'first' })
    source.intercept = async ({ verb }) => {
      if (verb !== 'freeze') return
      source.intercept = () => {}
      await deleteBackup({ target: place.target, name: 'first' })
      const other = new SimulatedSource({ a: { files: { data: 'two' }, version: 'v2' } })
      await place.create(other, { name: 'first' })
    }
    await expectRefusal('ERR_NOT_FOUND', () => place.create(source, { diffFrom: 'first' }))
    const left = [...place.objects.keys()].toSorted()
    expect(left).toEqual(['first/manifest.json', 'first/tables/a/data'])
    place.expectNothingLeft(source)
  }),
)

test(
  'a name that is taken is ERR_EXISTS, and nothing is frozen or changed',
  withBackups(async (place) => {
    const source = SimulatedSource.of(2)
    await place.create(source)
    const before = new Map(place.objects)
    source.calls.length = 0
    await expectRefusal('ERR_EXISTS', () => place.create(source))
    expect(source.calls).toEqual([])
    expect(place.objects).toEqual(before)
    place.objects.clear()
    place.objects.set(`${backupName}/notes.txt`, Buffer.from("somebody's"))
    await expectRefusal('ERR_EXISTS', () => place.create(source))
    expect(place.objects.size).toBe(1)
    place.expectNothingLeft(source)
  }),
)

test(
  'a second backup of a name is ERR_LOCKED while the first runs; one of another name is made',
  withBackups(async (place) => {
    const source = SimulatedSource.of(2)
    const gate = new Gate()
    source.intercept = async ({ verb }) => {
      if (verb === 'copy') await gate.pass()
    }
    const first = place.create(source)
    await gate.reached()
    const other = SimulatedSource.of(1)
    await expectRefusal('ERR_LOCKED', () => place.create(other))
    const report = await place.create(other, { name: 'another' })
    expect(report.warnings).toEqual([])
    gate.open()
    await first
    place.expectNothingLeft(source)
  }),
)

test(
  'the default name is the time in UTC, with a number when that is taken',
  withBackups(async (place) => {
    const source = SimulatedSource.of(1)
    const reports = await Promise.all(
      Array.from({ length: 5 }, () => place.create(source, { name: undefined })),
    )
    const found = reports.map(({ name }) => name)
    expect(new Set(found).size).toBe(5)
    for (const name of found) expect(name).toMatch(/^\d{8}T\d{6}Z(-\d)?$/)
    expect([...source.frozen.values()]).toEqual([])
    // Of those who looked at one record together nobody may have had it alone: it stays, empty.
    for (const record of place.records) {
      expect(await place.recorded(record.replace('.freezes', ''))).toEqual([])
    }
  }),
)

test(
  'without a place for records of freezes there is no backup',
  withBackups(async (place) => {
    const target = new MemoryTarget()
    const create = (): Promise<unknown> => place.create(SimulatedSource.of(1), { target })
    const error = await expectRefusal('ERR_INVALID_ARGUMENT', create)
    expect(error.message).toContain('stateDirectory')
  }),
)

test('nobody touches a running backup that records its freezes elsewhere', () =>
  inDirectory(async (directory) => {
    const target = join(directory, 'backups')
    const elsewhere = join(directory, 'elsewhere')
    const own = { target, name: 'b', stateDirectory: elsewhere }
    // A run of this name that died, recorded in a third place.
    const third = join(directory, 'third')
    const dead = await FreezeJournal.create(third, 'b')
    const staging = `b-${'0'.repeat(16)}`
    await dead.beginRun({ target: directoryTarget(target).location, staging })
    await dead.close()
    const source = SimulatedSource.of(3)
    const refused: (string | undefined)[] = []
    source.intercept = async ({ verb, table }) => {
      if (verb !== 'freeze' || table !== [...source.tables.keys()].at(-1)) return
      const others = SimulatedSource.of(1)
      const attempts = [
        () => deleteBackup({ target, name: 'b' }),
        () => createBackup(others, { target, name: 'b' }),
        () => createBackup(others, { target, name: 'b', stateDirectory: third }),
      ]
      for (const attempt of attempts) refused.push(await codeOf(attempt))
      const { warnings } = await cleanFreezes(others, { target, stateDirectory: third })
      expect(warnings.join()).toContain('is being made')
    }
    await createBackup(source, { ...own, tableConcurrency: 1 })
    expect(refused).toEqual(['ERR_LOCKED', 'ERR_LOCKED', 'ERR_LOCKED'])
    expect(await verifyBackup({ target, name: 'b' })).toMatchObject({ ok: true, issues: [] })
    expect(readdirSync(elsewhere)).toEqual([])
    await cleanFreezes(source, { target, stateDirectory: third })
    expect(readdirSync(third)).toEqual([])
    await deleteBackup({ target, name: 'b' })
    expect(readdirSync(join(target, '.state'))).toEqual([])
  }))

test(
  'progress counts tables, bytes and freezes, and ends with all of them',
  withBackups(async (place) => {
    const source = SimulatedSource.of(5)
    const seen: BackupProgress[] = []
    const report = await place.create(source, { onProgress: (progress) => seen.push(progress) })
    const phases = seen.map(({ phase }) => phase)
    expect([...new Set(phases)]).toEqual(['listing', 'copying', 'publishing', 'unfreezing', 'done'])
    const { bytesCopied } = report
    expect(seen.at(-1)).toMatchObject({ tablesTotal: 5, tablesCopied: 5, frozen: 0, bytesCopied })
    const copied = seen.map(({ tablesCopied }) => tablesCopied)
    expect(copied).toEqual(copied.toSorted((a, b) => a - b))
  }),
)

test(
  'the limit of the speed is shared out among the slots',
  withBackups(async (place) => {
    const source = SimulatedSource.of(8)
    const limits: number[] = []
    source.answer = (frozen) => ({
      ...frozen,
      copy: (directory, options) => {
        limits.push(options.bytesPerSecond)
        return frozen.copy(directory, options)
      },
    })
    await place.create(source, { bytesPerSecond: 1000, tableConcurrency: 4 })
    expect(limits).toEqual(Array.from({ length: 8 }, () => 250))
    limits.length = 0
    await place.create(source, { name: 'unlimited' })
    expect(new Set(limits)).toEqual(new Set([0]))
    expect(existsSync(join(place.stateDirectory, 'unlimited.freezes'))).toBe(false)
  }),
)

test('into a directory, of files without hashes: every byte is as it was', () =>
  inDirectory(async (directory) => {
    const source = new SimulatedSource({
      plain: { files: { data: 'content'.repeat(1000), 'part/1/col.bin': '' }, hashes: false },
      '\u00dcber/..': { files: { 'a%2Eb': 'x' }, hashes: false },
      nothing: { files: {} },
    })
    const target = join(directory, 'backups')
    const report = await createBackup(source, { target, name: 'b' })
    expect(report).toMatchObject({ warnings: [], leftover: [], bytesCopied: 7001 })
    const verified = await verifyBackup({ target, name: 'b' })
    expect(verified).toMatchObject({ ok: true, files: 3, sizeBytes: 7001, issues: [] })
    const { tables } = await readManifest(directoryTarget(target), 'b')
    const hash = createHash('sha256').update('x').digest('hex')
    expect(tables[1]?.files).toEqual([{ path: 'a%2Eb', sizeBytes: 1, sha256: hash }])
    expect(readdirSync(join(target, '.state'))).toEqual([])
    expect(readdirSync(join(target, '.staging'))).toEqual([])
    expect(source.frozen.size).toBe(0)
    expect(openFilesIn(directory)).toEqual([])
  }))
