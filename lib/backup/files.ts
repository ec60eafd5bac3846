// What backups do with directories besides moving bytes: making them so that a power cut does not
// lose them, and finding out where a path leads.

import { realpath } from 'node:fs/promises'
import { dirname, join, sep } from 'node:path'
import { toHotboltError } from '../errors.ts'
import { syncDirectory } from '../paths.ts'
import { makeDirectory } from '../safe-files.ts'

/** Syncs of directories, of which those that are asked for during one share the next. */
export class DirectorySyncs {
  readonly #running = new Map<string, Promise<void>>()
  readonly #waiting = new Map<string, Promise<void>>()

  /** What was changed in the directory before the call survives a power cut. */
  sync(path: string): Promise<void> {
    const waiting = this.#waiting.get(path)
    if (waiting !== undefined) return waiting
    const before = this.#running.get(path) ?? Promise.resolve()
    const next = before
      .catch(() => {}) // told to those who waited for it
      .then(() => {
        this.#waiting.delete(path)
        this.#running.set(path, next)
        return syncDirectory(path)
      })
      .finally(() => {
        if (this.#running.get(path) === next) this.#running.delete(path)
      })
    this.#waiting.set(path, next)
    return next
  }
}

/** Makes a directory, and those above it, where they are missing; durably. */
export async function makeDirectories(path: string, syncs: DirectorySyncs): Promise<void> {
  // Not mkdir's `recursive`, which says ENOENT for a read-only disk.
  const made = await makeDirectory(path).catch(async (error: unknown) => {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    await makeDirectories(dirname(path), syncs)
    return makeDirectory(path)
  })
  if (made) await syncs.sync(dirname(path))
}

/** The real path of something that need not exist. */
export async function realPlace(path: string): Promise<string> {
  try {
    return await realpath(path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw toHotboltError(error)
    const parent = dirname(path)
    return parent === path ? path : join(await realPlace(parent), path.slice(parent.length))
  }
}

/** Of real paths: whether one is the other, or lies in it. */
export const isInside = (inner: string, outer: string): boolean =>
  `${inner}${sep}`.startsWith(`${outer}${sep}`)
