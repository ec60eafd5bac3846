// A target of somebody's own that lists more than it was asked for: nothing of that is deleted,
// counted or believed.

import { expect, test } from 'vitest'
import { cleanFreezes, createBackup, deleteBackup, verifyBackup } from '../../lib/index.ts'
import type { Target, TargetObject } from '../../lib/backup/target.ts'
import { FreezeJournal } from '../../lib/backup/freeze-journal.ts'
import { SimulatedSource } from '../support/backup-source.ts'
import { putBackup } from '../support/backups.ts'
import { MemoryTarget } from '../support/memory-target.ts'
import { expectRefusal } from '../support/refusal.ts'
import { inDirectory } from '../support/with-database.ts'

/** Lists everything, whatever was asked for. */
class HeedlessTarget extends MemoryTarget {
  isHeedless = false

  override async *list(prefix: string, signal?: AbortSignal): AsyncIterable<TargetObject> {
    yield* super.list(this.isHeedless ? '' : prefix, signal)
  }
}

const tables = [{ name: 't', contents: { a: 'content' } }]
const verbs: Readonly<Record<string, (target: Target, state: string) => Promise<unknown>>> = {
  deleteBackup: (target) => deleteBackup({ target, name: 'one' }),
  verifyBackup: (target) => verifyBackup({ target, name: 'one' }),
  createBackup: (target, stateDirectory) =>
    createBackup(SimulatedSource.of(1), { target, stateDirectory, name: 'dead' }),
}

test.each(Object.keys(verbs))('%s ends with an error and deletes nothing of others', (verb) =>
  inDirectory(async (directory) => {
    const target = new HeedlessTarget()
    for (const name of ['one', 'two']) await putBackup(target, name, tables)
    const dead = await FreezeJournal.create(directory, 'dead')
    await dead.beginRun({ target: target.location, staging: `dead-${'0'.repeat(16)}` })
    await dead.close()
    const before = [...target.objects.keys()].filter((key) => key.startsWith('two/'))
    target.isHeedless = true
    await expectRefusal('ERR_IO', () => verbs[verb]!(target, directory))
    const clean = { target, stateDirectory: directory }
    expect((await cleanFreezes(SimulatedSource.of(0), clean)).warnings).toHaveLength(1)
    expect([...target.objects.keys()].filter((key) => key.startsWith('two/'))).toEqual(before)
  }),
)
