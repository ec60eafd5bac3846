// What backups do with files and directories besides moving bytes: making them so that a power cut
// does not lose them, and looking whether a path leads where it seems to.
//
// Symbolic links below a root are never followed. Who may exchange a directory for a link between
// two of our calls could write the backups themselves: that is not defended against.

import { constants, type Stats } from 'node:fs'
import { lstat, mkdir, open, realpath, type FileHandle } from 'node:fs/promises'
import { dirname, join, sep } from 'node:path'
import { HotboltError, toHotboltError } from '../errors.ts'
import { syncDirectory } from '../paths.ts'

/** Whoever may read a backup may read the database. */
export const directoryMode = 0o700
export const fileMode = 0o600

/** Never waits for a FIFO's other end, never follows a link at the end of the path. */
export const safeRead: number = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK

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

/** False when there is something already. */
export async function makeDirectory(path: string): Promise<boolean> {
  try {
    await mkdir(path, { mode: directoryMode })
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw error
  }
}

/** `undefined` when there is nothing. Links are not followed. */
export async function lookAt(path: string): Promise<Stats | undefined> {
  try {
    return await lstat(path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

/**
 * What lies at `key`, a relative path with '/', below `root`; undefined: nothing. ERR_NOT_A_FILE
 * when something on the way is no directory but a link or a file.
 */
export async function lookBelow(root: string, key: string): Promise<Stats | undefined> {
  const segments = key.split('/')
  let path = root
  for (const [index, segment] of segments.entries()) {
    path = join(path, segment)
    const stats = await lookAt(path)
    if (stats === undefined || index === segments.length - 1) return stats
    if (!stats.isDirectory()) throw notAFile(path, `is ${kindOf(stats)}, not a directory`)
  }
  return undefined
}

/** Opens a regular file for reading, whatever lies there. ERR_NOT_A_FILE. */
export async function openFile(path: string): Promise<FileHandle> {
  // Looked at before: opening a device may do something already.
  requireFile(path, await lstat(path))
  const file = await open(path, safeRead)
  try {
    requireFile(path, await file.stat())
    return file
  } catch (error) {
    await file.close()
    throw error
  }
}

export function requireFile(path: string, stats: Stats): void {
  if (!stats.isFile()) throw notAFile(path, `is ${kindOf(stats)}, not a regular file`)
}

export function notAFile(path: string, what: string): HotboltError {
  return new HotboltError('ERR_NOT_A_FILE', `${path} ${what}`, { path })
}

export function kindOf(stats: Pick<Stats, 'isSymbolicLink' | 'isDirectory' | 'isFile'>): string {
  if (stats.isSymbolicLink()) return 'a symbolic link'
  if (stats.isDirectory()) return 'a directory'
  return stats.isFile() ? 'a file' : 'a device, pipe or socket'
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
