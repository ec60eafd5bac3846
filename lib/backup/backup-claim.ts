// How a run comes to own the name of its backup: the name's lock, proof that no backup has it, and
// the end of a run of that name that has died.

import { realpath } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { HotboltError, onDisk, toHotboltError } from '../errors.ts'
import { pathOf } from '../paths.ts'
import { invalid } from '../rules.ts'
import { lookAt, removeOwnTree, requireOwnDirectory } from '../safe-files.ts'
import { deleteObjects, hasManifest, hasObjects } from './backup-objects.ts'
import type { Clock } from './clock.ts'
import { realPlace } from './files.ts'
import {
  FreezeJournal,
  journalNames,
  type JournaledRun,
  type SourceIdentity,
} from './freeze-journal.ts'
import type { Freeze } from './freeze-source.ts'
import { isRunFolder } from './names.ts'
import { otherClaim } from './target-claim.ts'
import type { Target } from './target.ts'

/** Of the default name, which has seconds. */
const namesMax = 1000

export interface Claim {
  readonly target: Target
  readonly stateDirectory: string
  /** Undefined: the time in UTC, with a number behind it if that is taken. */
  readonly name: string | undefined
  /** Of each call of the target. */
  readonly timeoutMs: number
  readonly clock: Clock
  readonly signal: AbortSignal | undefined
}

/**
 * Whoever names a directory may name a link to it; the target's own place is none.
 * ERR_INVALID_ARGUMENT when neither the options nor the target say where.
 */
export async function stateDirectoryOf(
  given: string | URL | undefined,
  target: Target | undefined,
): Promise<string> {
  if (given !== undefined) return realPlace(pathOf(given, 'stateDirectory'))
  if (target?.stateDirectory !== undefined) return target.stateDirectory
  const expected = 'given, because the target has no place for records of freezes'
  throw invalid('stateDirectory', expected, undefined)
}

/**
 * The journal of the new backup, to be closed by the caller. ERR_LOCKED: one of this name is being
 * made; ERR_EXISTS: there is one.
 */
export async function claimName(claim: Claim): Promise<FreezeJournal> {
  if (claim.name !== undefined) return claimAs(claim, claim.name)
  const now = new Date().toISOString().replace(/[-:]|\.\d+/g, '')
  for (let number = 1; ; number++) {
    try {
      return await claimAs(claim, number === 1 ? now : `${now}-${number}`)
    } catch (error) {
      const isTaken = HotboltError.is(error, 'ERR_LOCKED') || HotboltError.is(error, 'ERR_EXISTS')
      if (!isTaken || number === namesMax) throw error
    }
  }
}

async function claimAs(claim: Claim, name: string): Promise<FreezeJournal> {
  const journal = await lockAll(claim, name)
  try {
    await requireUnused(claim, journal)
    return journal
  } catch (error) {
    await journal.close().catch(() => {}) // the first error says more
    throw toHotboltError(error)
  }
}

async function lockAll({ stateDirectory, target }: Claim, name: string): Promise<FreezeJournal> {
  const held = await lockInTarget(target, stateDirectory, name)
  try {
    const journal = await lock(stateDirectory, name)
    if (held !== undefined) journal.holdAlso(held)
    return journal
  } catch (error) {
    await held?.close().catch(() => {}) // the first error says more
    throw error
  }
}

/**
 * The name in the target too, when freezes are recorded elsewhere: whoever deletes a backup or
 * makes one may know of no other place. Undefined when the target has none. ERR_LOCKED.
 */
export async function lockInTarget(
  target: Target,
  stateDirectory: string,
  name: string,
): Promise<FreezeJournal | undefined> {
  const place = target.stateDirectory
  if (place === undefined || (await realPlace(place)) === (await realPlace(stateDirectory))) {
    return undefined
  }
  return lock(place, name)
}

async function lock(stateDirectory: string, name: string): Promise<FreezeJournal> {
  try {
    return await FreezeJournal.create(stateDirectory, name)
  } catch (cause) {
    if (!HotboltError.is(cause, 'ERR_LOCKED')) throw cause
    const { path } = cause
    throw new HotboltError('ERR_LOCKED', `A backup "${name}" is being made`, { path, cause })
  }
}

/** What a dead run of the same name has left in the target goes; its freezes stay recorded. */
async function requireUnused(claim: Claim, journal: FreezeJournal): Promise<void> {
  const { target, timeoutMs, clock, signal } = claim
  const { name } = journal
  const exists = (what: string): HotboltError =>
    new HotboltError('ERR_EXISTS', `${what} "${name}" in ${target.location} already`)
  if (await hasManifest(target, name, signal)) throw exists('There is a backup')
  const run = journal.run()
  const other = await otherClaim(target, run ?? {}, name, signal)
  if (run === undefined) {
    if (other !== undefined) throw other
    if (await hasObjects(target, name, signal))
      throw exists('There is something that is no backup under')
    return
  }
  if (run.target !== target.location) {
    const message = `A run for "${name}" in ${run.target} has died: clean up after it first`
    throw new HotboltError('ERR_EXISTS', message)
  }
  if (other === undefined) await deleteObjects(target, name, timeoutMs, clock)
  await removeStaging(target, name, run)
  await journal.endRun()
  if (other !== undefined) throw other
}

/** Where the runs that put into the target make their files. */
export async function stagingPlaceOf({ stagingDirectory }: Target): Promise<string> {
  return stagingDirectory ?? onDisk(() => realpath(tmpdir()))
}

/** The place of runs, if it is there, is no link and nobody else's. */
export async function requireStagingPlace(place: string): Promise<void> {
  await onDisk(async () => {
    if ((await lookAt(place)) !== undefined) await requireOwnDirectory(place)
  })
}

/** Removes the directory of a run, of which only the name is believed. ERR_CORRUPT. */
export async function removeStaging(
  target: Target,
  name: string,
  { staging }: Pick<JournaledRun, 'staging'>,
): Promise<void> {
  if (!isRunFolder(name, staging)) {
    const message = `${JSON.stringify(staging)} is not the directory of a run for "${name}"`
    throw new HotboltError('ERR_CORRUPT', message)
  }
  const place = await stagingPlaceOf(target)
  await requireStagingPlace(place)
  await onDisk(() => removeOwnTree(place, staging))
}

/** Recorded freezes of this source whose run is dead: nobody releases them until cleanFreezes(). */
export async function deadFreezes(
  stateDirectory: string,
  source: SourceIdentity,
  own: FreezeJournal,
  onWarning: (message: string) => void,
): Promise<Freeze[]> {
  const found: Freeze[] = []
  for (const name of await journalNames(stateDirectory)) {
    const freezes = await freezesIn(stateDirectory, name, source, own).catch((error: unknown) => {
      const { message } = toHotboltError(error)
      onWarning(`Whether the run for "${name}" has left freezes could not be found out: ${message}`)
      return []
    })
    if (freezes.length === 0) continue
    found.push(...freezes)
    const what = freezes.length === 1 ? '1 freeze is' : `${freezes.length} freezes are`
    onWarning(`${what} left of a run for "${name}" that has died: cleanFreezes() releases what is`)
  }
  return found
}

async function freezesIn(
  stateDirectory: string,
  name: string,
  source: SourceIdentity,
  own: FreezeJournal,
): Promise<Freeze[]> {
  let journal = own
  try {
    if (name !== own.name) {
      journal = await FreezeJournal.open(stateDirectory, name, { readOnly: true })
    }
    return journal
      .freezes()
      .filter(isOf(source))
      .map(({ freeze }) => freeze)
  } catch (error) {
    const isAlive = HotboltError.is(error, 'ERR_LOCKED') || HotboltError.is(error, 'ERR_NOT_FOUND')
    if (isAlive) return []
    throw error
  } finally {
    if (journal !== own) await journal.close()
  }
}

/** Whether a recorded freeze is of this source. */
export function isOf(source: SourceIdentity): (record: { source: SourceIdentity }) => boolean {
  return (record) => record.source.kind === source.kind && record.source.id === source.id
}
