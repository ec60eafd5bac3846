// The record of a backup's freezes: a database whose lock is the name's, and which goes when
// nothing is left in it.

import { existsSync, readdirSync, writeFileSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { cleanFreezes, open, type Freeze } from '../../lib/index.ts'
import { FreezeJournal, journalNames } from '../../lib/backup/freeze-journal.ts'
import { SimulatedSource } from '../support/backup-source.ts'
import { withBackups } from '../support/backup-place.ts'
import { expectRefusal } from '../support/refusal.ts'
import { codeOf, inDirectory, verifyFile } from '../support/with-database.ts'

const source = { kind: 'simulated', id: 'one' }
const freezeOf = (id: string, table = 't'): Freeze => ({
  id,
  table,
  details: { of: table },
  createdAt: '2026-01-31T12:00:00.000Z',
})

test('what is recorded is there when it is opened again, and the file is sound', () =>
  inDirectory(async (directory) => {
    const state = join(directory, 'a', 'state')
    const journal = await FreezeJournal.create(state, 'b')
    const run = { target: 'somewhere', staging: join(directory, 'b-1') }
    await journal.beginRun(run)
    await journal.record(source, [freezeOf('one'), freezeOf('two'), freezeOf('three')])
    await journal.forget(freezeOf('two'))
    await journal.close()
    await verifyFile(join(state, 'b.freezes'))
    const again = await FreezeJournal.open(state, 'b', { readOnly: true })
    const freezes = again.freezes().map(({ freeze }) => freeze)
    expect(freezes).toEqual([freezeOf('one'), freezeOf('three')])
    expect(again.freezes()[0]?.source).toEqual(source)
    expect(again.run()).toEqual(run)
    await again.close()
    expect(await journalNames(state)).toEqual(['b'])
  }))

test('it goes when nothing is left in it, and stays when something is', () =>
  inDirectory(async (directory) => {
    const journal = await FreezeJournal.create(directory, 'b')
    await journal.record(source, [freezeOf('one')])
    await journal.close()
    expect(readdirSync(directory)).toEqual(['b.freezes'])
    const reader = await FreezeJournal.open(directory, 'b', { readOnly: true })
    await reader.close()
    const again = await FreezeJournal.create(directory, 'b')
    await again.beginRun({ target: 't', staging: 's' })
    await again.forget(freezeOf('one'))
    await again.close()
    expect(readdirSync(directory)).toEqual(['b.freezes'])
    const last = await FreezeJournal.create(directory, 'b')
    await last.endRun()
    await last.close()
    expect(readdirSync(directory)).toEqual([])
  }))

test('its owner is alone; who only looks is refused as well', () =>
  inDirectory(async (directory) => {
    const journal = await FreezeJournal.create(directory, 'b')
    await expectRefusal('ERR_LOCKED', () => FreezeJournal.create(directory, 'b'))
    const look = (): Promise<unknown> => FreezeJournal.open(directory, 'b', { readOnly: true })
    await expectRefusal('ERR_LOCKED', look)
    await journal.close()
    await expectRefusal('ERR_NOT_FOUND', look)
    expect(await journalNames(join(directory, 'none'))).toEqual([])
  }))

test('who takes turns with those that remove it is alone all the same, and loses no record', () =>
  inDirectory(async (directory) => {
    let owners = 0
    let turns = 0
    const takeTurns = async (who: number): Promise<void> => {
      for (let turn = 0; turn < 15; turn++) {
        let journal: FreezeJournal
        try {
          journal = await FreezeJournal.create(directory, 'b')
        } catch (error) {
          expect(await codeOf(() => Promise.reject(error as Error))).toBe('ERR_LOCKED')
          continue
        }
        turns++
        expect(++owners).toBe(1)
        expect(journal.freezes()).toEqual([])
        const freeze = freezeOf(`f_${who}_${turn}`)
        await journal.record(source, [freeze])
        expect(existsSync(join(directory, 'b.freezes'))).toBe(true)
        expect(journal.freezes()).toHaveLength(1)
        await journal.forget(freeze)
        owners--
        await journal.close()
      }
    }
    await Promise.all(Array.from({ length: 6 }, (_, who) => takeTurns(who)))
    expect(turns).toBeGreaterThan(20)
    expect(readdirSync(directory)).toEqual([])
  }))

test(
  'what a process left that died as it made or removed one is removed by cleaning',
  withBackups(async ({ target, stateDirectory, records }) => {
    await mkdir(stateDirectory)
    const files = [
      'b.freezes-create-0123456789abcd',
      'b-4f9c8a52-1e1c-4c0c-8f57-2f0e6ab50000.freezes.removing',
    ]
    for (const file of [...files, 'notes.txt']) writeFileSync(join(stateDirectory, file), '')
    expect(records).toEqual([])
    await cleanFreezes(SimulatedSource.of(0), { target, dryRun: true })
    expect(readdirSync(stateDirectory)).toHaveLength(3)
    await cleanFreezes(SimulatedSource.of(0), { target })
    expect(readdirSync(stateDirectory)).toEqual(['notes.txt'])
  }),
)

test(
  'one that is damaged is a warning of cleaning and of the next backup; others are cleaned',
  withBackups(async (place) => {
    const simulated = SimulatedSource.of(1)
    simulated.intercept = ({ verb }) => (verb === 'unfreeze' ? 'nothing' : undefined)
    await place.create(simulated, { name: 'z-sound' })
    simulated.intercept = () => {}
    writeFileSync(join(place.stateDirectory, 'a-garbage.freezes'), 'garbage'.repeat(10_000))
    const db = await open(join(place.stateDirectory, 'b-wrong.freezes'))
    await db.bucket('freezes').put('x', '{"source":{},"freeze":{"id":"../x"}}')
    await db.close()
    const report = await place.create(simulated)
    expect(report.warnings).toHaveLength(3)
    expect(report.leftover).toHaveLength(1)
    const cleaned = await cleanFreezes(simulated, { target: place.target })
    expect(cleaned.released).toHaveLength(1)
    expect(cleaned.warnings).toHaveLength(2)
    expect(cleaned.warnings[0]).toContain('a-garbage')
    expect(cleaned.warnings[1]).toContain('b-wrong')
    expect(place.records).toEqual(['a-garbage.freezes', 'b-wrong.freezes'])
  }),
)

test(
  'cleaning leaves a run alone that is alive, and deletes objects only in the target they are in',
  withBackups(async (place) => {
    await mkdir(place.stateDirectory)
    const alive = await FreezeJournal.create(place.stateDirectory, 'alive')
    await alive.record(source, [freezeOf('alive')])
    const elsewhere = await FreezeJournal.create(place.stateDirectory, 'elsewhere')
    await elsewhere.beginRun({ target: 'another', staging: join(place.directory, 'elsewhere-1') })
    await elsewhere.close()
    const outside = await FreezeJournal.create(place.stateDirectory, 'outside')
    await mkdir(join(place.directory, 'outside-photos'))
    await outside.beginRun({ target: 'memory', staging: join(place.directory, 'outside-photos') })
    await outside.close()
    place.objects.set('elsewhere/tables/t/data', Buffer.from('x'))
    const report = await cleanFreezes(SimulatedSource.of(0), { target: place.target })
    expect(report).toMatchObject({ released: [], running: ['alive'], abandoned: [] })
    expect(report.warnings).toHaveLength(2)
    expect(report.warnings[0]).toContain('another')
    expect(report.warnings[1]).toContain('photos')
    expect(existsSync(join(place.directory, 'outside-photos'))).toBe(true)
    expect(place.objects.size).toBe(1)
    const { stateDirectory } = place
    const withoutTarget = await cleanFreezes(SimulatedSource.of(0), { stateDirectory })
    expect(withoutTarget.warnings).toHaveLength(2)
    await alive.close()
    const create = place.create(SimulatedSource.of(1), { name: 'elsewhere' })
    place.objects.clear()
    await expect(create).rejects.toMatchObject({ code: 'ERR_EXISTS' })
  }),
)

test('cleaning without a place to look in is refused; nothing there is nothing to do', () =>
  inDirectory(async (directory) => {
    const simulated = SimulatedSource.of(0)
    await expectRefusal('ERR_INVALID_ARGUMENT', () => cleanFreezes(simulated, {}))
    const report = await cleanFreezes(simulated, { target: join(directory, 'none') })
    const nothing = { released: [], leftover: [], running: [], abandoned: [], warnings: [] }
    expect(report).toEqual(nothing)
    expect(readdirSync(directory)).toEqual([])
  }))
