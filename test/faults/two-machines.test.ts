// Two machines that have no lock in common but the objects of one target: one of them makes the
// backup of a name, and neither removes what is the other's. And what uploads leave that were
// killed.

import { join } from 'node:path'
import { expect, test } from 'vitest'
import { FreezeJournal } from '../../lib/backup/freeze-journal.ts'
import {
  cleanFreezes,
  createBackup,
  deleteBackup,
  listBackups,
  verifyBackup,
  type BackupReport,
} from '../../lib/index.ts'
import type { UnfinishedObject } from '../../lib/backup/target.ts'
import { SimulatedSource } from '../support/backup-source.ts'
import { MemoryTarget } from '../support/memory-target.ts'
import { expectRefusal } from '../support/refusal.ts'
import { inDirectory } from '../support/with-database.ts'

/** An object store: no lock, but objects that are only stored where there is none. */
class SharedTarget extends MemoryTarget {
  /** Keys of uploads that nobody goes on with. */
  readonly unfinished: Set<string> = new Set()

  async create(key: string, body: Uint8Array): Promise<boolean> {
    if (this.objects.has(key)) return false
    await this.put(key, body)
    return true
  }

  async *listUnfinished(prefix: string): AsyncIterable<UnfinishedObject> {
    for (const key of this.unfinished) {
      if (!key.startsWith(prefix)) continue
      yield { key, discard: async () => void this.unfinished.delete(key) }
    }
  }
}

interface Context {
  readonly target: SharedTarget
  /** The state directories of two machines. */
  readonly here: string
  readonly there: string
  readonly make: (stateDirectory: string, source?: SimulatedSource) => Promise<BackupReport>
}

const withTwo = (run: (context: Context) => Promise<void>) => () =>
  inDirectory((directory) => {
    const target = new SharedTarget()
    const make: Context['make'] = (stateDirectory, source = SimulatedSource.of(2)) =>
      createBackup(source, { target, stateDirectory, name: 'b' })
    return run({ target, here: join(directory, 'here'), there: join(directory, 'there'), make })
  })

test(
  'while one makes a backup, the other is refused, and removes nothing of it',
  withTwo(async ({ target, here, there, make }) => {
    const source = SimulatedSource.of(2)
    let refused = 0
    source.intercept = async ({ verb, table }) => {
      if (verb !== 'freeze' || table !== 't1') return
      const refusal = await expectRefusal('ERR_LOCKED', () => make(there))
      expect(refusal.message).toContain('"b"')
      expect(
        (await cleanFreezes(SimulatedSource.of(0), { target, stateDirectory: there })).abandoned,
      ).toEqual([])
      refused++
    }
    await createBackup(source, { target, stateDirectory: here, name: 'b', tableConcurrency: 1 })
    expect(refused).toBe(1)
    expect(await verifyBackup({ target, name: 'b' })).toMatchObject({ ok: true, issues: [] })
    expect([...target.objects.keys()].filter((key) => key.includes('claim'))).toEqual([])
    await expectRefusal('ERR_EXISTS', () => make(there))
  }),
)

test(
  'of two that begin at once, one makes it',
  withTwo(async ({ target, here, there, make }) => {
    const outcomes = await Promise.allSettled([make(here), make(there)])
    expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
    const [lost] = outcomes.filter((each) => each.status === 'rejected')
    expect(['ERR_LOCKED', 'ERR_EXISTS']).toContain((lost!.reason as { code: string }).code)
    expect(await verifyBackup({ target, name: 'b' })).toMatchObject({ ok: true, issues: [] })
  }),
)

test(
  'who has died before it had the name removes nothing of who has it',
  withTwo(async ({ target, here, there, make }) => {
    const dead = await FreezeJournal.create(there, 'b')
    await dead.beginRun({ target: 'memory', staging: `b-${'0'.repeat(16)}`, claim: 'dead' })
    await dead.close()
    const source = SimulatedSource.of(2)
    const cleaned: unknown[] = []
    source.intercept = async ({ verb, table }) => {
      if (verb !== 'freeze' || table !== 't1') return
      const again = await FreezeJournal.open(there, 'b', { readOnly: true })
      expect(again.run()?.claim).toBe('dead')
      await again.close()
      await expectRefusal('ERR_LOCKED', () => make(there))
      cleaned.push(await cleanFreezes(SimulatedSource.of(0), { target, stateDirectory: there }))
    }
    await createBackup(source, { target, stateDirectory: here, name: 'b', tableConcurrency: 1 })
    expect(cleaned).toMatchObject([{ abandoned: [] }])
    expect(await verifyBackup({ target, name: 'b' })).toMatchObject({ ok: true, issues: [] })
  }),
)

test(
  'who has lost the name to another does not put a manifest to the objects of both',
  withTwo(async ({ target, here, make }) => {
    const source = SimulatedSource.of(1)
    source.intercept = ({ verb }) => {
      if (verb === 'freeze') target.objects.set('b/claim', Buffer.from('of another'))
    }
    await expectRefusal('ERR_LOCKED', () => make(here, source))
    expect(target.objects.has('b/manifest.json')).toBe(false)
    expect(target.objects.get('b/claim')?.toString()).toBe('of another')
    expect(source.frozen.size).toBe(0)
  }),
)

test(
  'what a killed run has left is cleaned by its machine, with the name and its uploads',
  withTwo(async ({ target, here, there, make }) => {
    const dead = await FreezeJournal.create(here, 'b')
    await dead.beginRun({ target: 'memory', staging: `b-${'0'.repeat(16)}`, claim: 'mine' })
    await dead.close()
    await target.put('b/claim', Buffer.from('mine'))
    await target.put('b/tables/t0/data', Buffer.from('left'))
    for (const key of ['b/tables/t1/large', 'other/tables/t/large']) target.unfinished.add(key)
    await expectRefusal('ERR_LOCKED', () => make(there))
    const clean = { target, stateDirectory: here }
    const look = await cleanFreezes(SimulatedSource.of(0), { ...clean, dryRun: true })
    expect(look).toMatchObject({ abandoned: ['b'], unfinished: ['b/tables/t1/large'] })
    expect(target.unfinished.size).toBe(2)
    const report = await cleanFreezes(SimulatedSource.of(0), clean)
    expect(report).toMatchObject({ abandoned: ['b'], unfinished: ['b/tables/t1/large'] })
    expect([...target.objects.keys()]).toEqual([])
    expect([...target.unfinished]).toEqual(['other/tables/t/large'])
    await make(there)
  }),
)

test(
  'a name whose machine has gone for good is free again when it is deleted',
  withTwo(async ({ target, there, make }) => {
    await target.put('b/claim', Buffer.from('gone'))
    target.unfinished.add('b/tables/t1/large')
    await expectRefusal('ERR_LOCKED', () => make(there))
    expect(await listBackups(target)).toMatchObject([{ name: 'b', state: 'broken' }])
    await deleteBackup({ target, name: 'b' })
    expect(target.unfinished.size).toBe(0)
    await make(there)
  }),
)
