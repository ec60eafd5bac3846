// The objects of one backup in a target, as a run that fails and one that cleans up see them.

import { isDeepStrictEqual } from 'node:util'
import { HotboltError } from '../errors.ts'
import { targetError } from './backup-error.ts'
import { withDeadline, type Clock } from './clock.ts'
import { manifestKey, readManifest, type ManifestTable } from './manifest.ts'
import { claimKey } from './names.ts'
import { forEachOf } from './semaphore.ts'
import { listBelow, type Target, type UnfinishedObject } from './target.ts'

const deletesAtATime = 8

/** Whether the backup is complete: its manifest is the last that is put and the first that goes. */
export function hasManifest(target: Target, name: string, signal?: AbortSignal): Promise<boolean> {
  const key = manifestKey(name)
  return asOwn(target, async () => {
    for await (const object of listBelow(target, key, signal)) if (object.key === key) return true
    return false
  })
}

export function hasObjects(target: Target, name: string, signal?: AbortSignal): Promise<boolean> {
  return asOwn(target, async () => {
    for await (const _ of listBelow(target, `${name}/`, signal)) return true
    return false
  })
}

/** Deletes all objects of the backup; manifest first, claim last. `timeoutMs`: of each call. */
export function deleteObjects(
  target: Target,
  name: string,
  timeoutMs: number,
  clock: Clock,
): Promise<void> {
  const deleteObject = (key: string): Promise<void> =>
    withDeadline((signal) => target.delete(key, signal), timeoutMs, clock)
  const listKeys = async (signal: AbortSignal): Promise<string[]> => {
    const keys: string[] = []
    for await (const { key, problem } of listBelow(target, `${name}/`, signal)) {
      if (problem === undefined) keys.push(key)
    }
    return keys
  }
  return asOwn(target, async () => {
    await deleteObject(manifestKey(name))
    const keys = await withDeadline(listKeys, timeoutMs, clock)
    const claim = claimKey(name)
    const others = keys.filter((key) => key !== claim)
    await forEachOf(others, deletesAtATime, deleteObject)
    await withDeadline((signal) => discardUnfinished(target, name, signal), timeoutMs, clock)
    if (keys.includes(claim)) await deleteObject(claim)
  })
}

/** The keys of what uploads for the backup have left; none where nobody may look. */
export async function unfinishedOf(
  target: Target,
  name: string,
  signal?: AbortSignal,
): Promise<readonly UnfinishedObject[]> {
  const found: UnfinishedObject[] = []
  const prefix = `${name}/`
  try {
    for await (const each of target.listUnfinished?.(prefix, signal) ?? []) {
      if (each.key.startsWith(prefix)) found.push(each)
    }
  } catch (error) {
    if (!HotboltError.is(error, 'ERR_PERMISSION')) throw error
  }
  return found
}

/** Requires: nobody makes the backup. */
export async function discardUnfinished(
  target: Target,
  name: string,
  signal?: AbortSignal,
): Promise<void> {
  const unfinished = await unfinishedOf(target, name, signal)
  await forEachOf(unfinished, deletesAtATime, (each) => each.discard(signal))
}

async function asOwn<T>(target: Target, run: () => Promise<T>): Promise<T> {
  try {
    return await run()
  } catch (error) {
    throw targetError(error, `${target.location} failed`)
  }
}

/**
 * Throws ERR_NOT_FOUND unless the files of these tables are in the backups that own them, as their
 * manifests say: one may have been deleted meanwhile, and another made under its name.
 */
export async function requireOwners(
  target: Target,
  tables: readonly ManifestTable[],
  signal?: AbortSignal,
): Promise<void> {
  const owners = new Map<string, ManifestTable[]>()
  for (const table of tables) owners.set(table.owner, [...(owners.get(table.owner) ?? []), table])
  for (const [owner, reused] of owners) {
    const owned = await ownTables(target, owner, signal)
    if (reused.every(({ name, files }) => isDeepStrictEqual(owned.get(name), files))) continue
    const message = `Backup "${owner}", whose files are used again, has been deleted meanwhile`
    throw new HotboltError('ERR_NOT_FOUND', message)
  }
}

/** The files of the tables that the backup owns; none when there is no such backup. */
async function ownTables(
  target: Target,
  name: string,
  signal: AbortSignal | undefined,
): Promise<Map<string, ManifestTable['files']>> {
  if (!(await hasManifest(target, name, signal))) return new Map()
  const { tables } = await readManifest(target, name, signal)
  const own = tables.filter(({ owner }) => owner === name)
  return new Map(own.map((table) => [table.name, table.files]))
}
