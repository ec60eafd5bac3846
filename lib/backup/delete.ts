// Deleting a backup: never one that another needs, nor one that is being made.
//
// The manifest goes first, durably: what a crash leaves of the rest is no backup, and deleting
// again finishes it.

import { HotboltError } from '../errors.ts'
import { notAFile } from '../safe-files.ts'
import { targetError } from './backup-error.ts'
import { discardUnfinished } from './backup-objects.ts'
import { checkDeleteBackupOptions, type DeleteBackupOptions } from './backup-options.ts'
import { findBackups, lookAtBackup, type FoundBackup } from './backups.ts'
import { targetFrom } from './directory-target.ts'
import { FreezeJournal } from './freeze-journal.ts'
import { encodeManifest, manifestKey, readManifest } from './manifest.ts'
import { forEachOf } from './semaphore.ts'
import { isKey, listBelow, type Target, type TargetObject } from './target.ts'

/** Objects that are deleted at a time. */
const deletesAtOnce = 16

/**
 * ERR_NOT_FOUND; ERR_BACKUP_REQUIRED: another backup needs it, or cannot be asked whether it does;
 * ERR_LOCKED: it is being made, or one that may need it.
 */
export async function deleteBackup(options: DeleteBackupOptions): Promise<void> {
  const { target: given, name } = checkDeleteBackupOptions(options)
  const target = targetFrom(given)
  const backups = await findBackups(target)
  const backup = backups.find(({ summary }) => summary.name === name)
  if (backup === undefined) {
    throw new HotboltError('ERR_NOT_FOUND', `There is no backup "${name}" in ${target.location}`)
  }
  await removeBackup(target, backup, backups)
}

/**
 * Deletes a backup of a target that had the `known` ones a moment ago. ERR_BACKUP_REQUIRED,
 * ERR_LOCKED: it is there as it was.
 */
export async function removeBackup(
  target: Target,
  backup: FoundBackup,
  known: readonly FoundBackup[],
): Promise<void> {
  const { name } = backup.summary
  try {
    await whileNotRunning(target, name, async () => {
      requireUnneeded(name, await needsOf(target, backup, known))
      const putBack = await takeManifest(target, backup)
      // Nobody can come to need it from now on; but somebody may have since we looked.
      const late = await needsOf(target, backup, await findBackups(target, known))
      if (late.length > 0) await putBack()
      requireUnneeded(name, late)
      await deleteObjects(target, name)
    })
  } catch (error) {
    throw targetError(error, `Deleting the backup "${name}" in ${target.location}`)
  }
}

function requireUnneeded(name: string, needs: readonly Need[]): void {
  const [first] = needs
  if (first === undefined) return
  const reasons = needs.map(({ reason }) => reason).join('; ')
  throw new HotboltError(first.code, `The backup "${name}" has to stay: ${reasons}`)
}

/** Deletes the manifest; gives what undoes that. A broken one is left for later. */
async function takeManifest(target: Target, backup: FoundBackup): Promise<() => Promise<void>> {
  if (backup.summary.state === 'broken') return async () => {}
  const { name } = backup.summary
  const manifest = await readManifest(target, name)
  if (manifest.createdAt !== backup.summary.createdAt) {
    throw new HotboltError('ERR_NOT_FOUND', 'It was deleted meanwhile, and another one made')
  }
  const bytes = await encodeManifest(manifest)
  await target.delete(manifestKey(name))
  return () => target.put(manifestKey(name), bytes)
}

/** Why a backup may not be deleted. */
export interface Need {
  readonly by: string
  readonly code: 'ERR_BACKUP_REQUIRED' | 'ERR_LOCKED'
  readonly reason: string
}

/** Which of the backups need this one, or may. */
export async function needsOf(
  target: Target,
  backup: FoundBackup,
  backups: readonly FoundBackup[],
): Promise<readonly Need[]> {
  const needs: Need[] = []
  for (const other of backups) {
    if (other.summary.name === backup.summary.name) continue
    const need = await needOf(target, backup, other)
    if (need !== undefined) needs.push(need)
  }
  return needs
}

async function needOf(
  target: Target,
  backup: FoundBackup,
  other: FoundBackup,
): Promise<Need | undefined> {
  const by = other.summary.name
  const required = (reason: string): Need => ({ by, code: 'ERR_BACKUP_REQUIRED', reason })
  if (other.summary.requires.includes(backup.summary.name)) return required(`required by ${by}`)
  if (other.problemCode === undefined) return undefined
  // Without a manifest it needs nothing, unless it is still to get one.
  if (other.problemCode === 'ERR_NOT_FOUND') {
    if (await isRunning(target, by)) {
      return { by, code: 'ERR_LOCKED', reason: `${by} is being made and may require it` }
    }
    const now = await lookAtBackup(target, by)
    if (now === undefined || now.problemCode === 'ERR_NOT_FOUND') return undefined
    return needOf(target, backup, now)
  }
  // A damaged one keeps no other broken one, or neither could ever be deleted.
  const isDamaged = other.problemCode === 'ERR_BACKUP_CORRUPT'
  if (isDamaged && backup.problemCode !== undefined) return undefined
  return required(`it may be required by ${by}, whose manifest cannot be read`)
}

/**
 * The manifest first. ERR_NOT_A_FILE when something is left that is no object. Requires: nobody
 * needs it, and it is not running.
 */
async function deleteObjects(target: Target, name: string): Promise<void> {
  await target.delete(manifestKey(name))
  let foreign: TargetObject | undefined
  await forEachOf(listBelow(target, `${name}/`), deletesAtOnce, async (object) => {
    if (isKey(object.key)) await target.delete(object.key)
    else foreign = object
  })
  await discardUnfinished(target, name)
  if (foreign === undefined) return
  throw notAFile(
    foreign.key,
    `is left of the backup: it has ${foreign.problem ?? 'a foreign name'}`,
  )
}

/** Owns the name meanwhile: no backup of it can begin. ERR_LOCKED. */
async function whileNotRunning<T>(target: Target, name: string, run: () => Promise<T>): Promise<T> {
  const { stateDirectory } = target
  if (stateDirectory === undefined) return run()
  const journal = await FreezeJournal.create(stateDirectory, name)
  try {
    return await run()
  } finally {
    await journal.close()
  }
}

/** Whether somebody holds the journal of the backup's freezes. */
async function isRunning(target: Target, name: string): Promise<boolean> {
  const { stateDirectory } = target
  if (stateDirectory === undefined) return false
  try {
    const journal = await FreezeJournal.open(stateDirectory, name, { readOnly: true })
    await journal.close()
    return false
  } catch (error) {
    return HotboltError.is(error, 'ERR_LOCKED')
  }
}
