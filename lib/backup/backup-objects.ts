// The objects of one backup in a target, as a run that fails and one that cleans up see them.

import { HotboltError } from '../errors.ts'
import { targetError } from './backup-error.ts'
import { withDeadline, type Clock } from './clock.ts'
import { manifestKey } from './manifest.ts'
import { forEachOf } from './semaphore.ts'
import type { Target } from './target.ts'

const deletesAtATime = 8

/** Whether the backup is complete: its manifest is the last that is put and the first that goes. */
export function hasManifest(target: Target, name: string, signal?: AbortSignal): Promise<boolean> {
  const key = manifestKey(name)
  return asOwn(target, async () => {
    for await (const object of target.list(key, signal)) if (object.key === key) return true
    return false
  })
}

export function hasObjects(target: Target, name: string, signal?: AbortSignal): Promise<boolean> {
  return asOwn(target, async () => {
    for await (const _ of target.list(`${name}/`, signal)) return true
    return false
  })
}

/** Deletes all objects of the backup, the manifest first. `timeoutMs`: of each call. */
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
    for await (const { key, problem } of target.list(`${name}/`, signal)) {
      if (problem === undefined) keys.push(key)
    }
    return keys
  }
  return asOwn(target, async () => {
    await deleteObject(manifestKey(name))
    const keys = await withDeadline(listKeys, timeoutMs, clock)
    await forEachOf(keys, deletesAtATime, deleteObject)
  })
}

async function asOwn<T>(target: Target, run: () => Promise<T>): Promise<T> {
  try {
    return await run()
  } catch (error) {
    throw targetError(error, `${target.location} failed`)
  }
}

/** Throws ERR_NOT_FOUND unless all these backups are there. */
export async function requireBackups(
  target: Target,
  names: readonly string[],
  signal: AbortSignal,
): Promise<void> {
  for (const name of names) {
    if (await hasManifest(target, name, signal)) continue
    const message = `Backup "${name}", whose files are used again, has been deleted meanwhile`
    throw new HotboltError('ERR_NOT_FOUND', message)
  }
}
