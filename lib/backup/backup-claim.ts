// How a run comes to own the name of its backup: the name's lock, proof that no backup has it, and
// the end of a run of that name that has died.

import { rm } from 'node:fs/promises'
import { basename, resolve } from 'node:path'
import { HotboltError, toHotboltError } from '../errors.ts'
import { pathOf } from '../paths.ts'
import { invalid } from '../rules.ts'
import { deleteObjects, hasManifest, hasObjects } from './backup-objects.ts'
import type { Clock } from './clock.ts'
import {
  FreezeJournal,
  journalNames,
  type JournaledRun,
  type SourceIdentity,
} from './freeze-journal.ts'
import type { Freeze } from './freeze-source.ts'
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

/** ERR_INVALID_ARGUMENT when neither the options nor the target say where. */
export function stateDirectoryOf(
  given: string | URL | undefined,
  target: Target | undefined,
): string {
  const directory = given === undefined ? target?.stateDirectory : pathOf(given, 'stateDirectory')
  if (directory !== undefined) return directory
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
  if (place === undefined || resolve(place) === resolve(stateDirectory)) return undefined
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
  if (run === undefined) {
    if (await hasObjects(target, name, signal))
      throw exists('There is something that is no backup under')
    return
  }
  if (run.target !== target.location) {
    const message = `A run for "${name}" in ${run.target} has died: clean up after it first`
    throw new HotboltError('ERR_EXISTS', message)
  }
  await deleteObjects(target, name, timeoutMs, clock)
  await removeStaging(run, name)
  await journal.endRun()
}

/** Only what has the name of such a directory. */
export async function removeStaging(run: JournaledRun, name: string): Promise<void> {
  const { staging } = run
  const file = basename(staging)
  if (!file.startsWith(`${name}-`) || !/-[0-9a-f]{16}$/.test(file)) {
    throw new HotboltError('ERR_CORRUPT', `${staging} is not the directory of a run for "${name}"`)
  }
  try {
    await rm(staging, { recursive: true, force: true })
  } catch (error) {
    throw toHotboltError(error)
  }
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
