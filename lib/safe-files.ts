// Files and directories that somebody else may have prepared: the one place for how they are looked
// at, opened, made and removed.
//
// A link is never followed, nothing but a regular file is opened, and no open waits for the other
// end of a FIFO. What we call our own is proven: its kind, that it has one name, and its owner: we,
// root, or the owner of the directory that holds it, who may replace it anyway. What is removed is
// named by a directory that was proven and a name in it, never by what a record says.
//
// The parents of a directory are trusted: who may write to them may exchange it between two of our
// calls.

import { constants, type Stats } from 'node:fs'
import { lstat, mkdir, open, rm, unlink, type FileHandle } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { HotboltError } from './errors.ts'

/** Whoever may read a backup may read the database. */
export const directoryMode = 0o700
export const fileMode = 0o600

/** Never waits for a FIFO's other end, never follows a link at the end of the path. */
const safeRead = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK
const othersMayWrite = 0o002
const sticky = 0o1000

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
    requireDirectory(path, stats)
  }
  return undefined
}

/** Opens a regular file for reading, whatever lies there. ERR_NOT_A_FILE. */
export async function openFile(path: string): Promise<FileHandle> {
  // Looked at before: opening a device may do something already.
  requireFile(path, await lstat(path))
  return openProven(path, safeRead, requireFile)
}

/** Opens a directory that is no link, for what is done by descriptor. ERR_NOT_A_FILE. */
export function openDirectory(path: string): Promise<FileHandle> {
  return openProven(path, safeRead | constants.O_DIRECTORY, requireDirectory)
}

/** A new file, with this mode at once. Fails with EEXIST, also for a link. */
export function createFile(path: string, mode: number = fileMode): Promise<FileHandle> {
  return open(path, 'wx', mode)
}

async function openProven(
  path: string,
  flags: number,
  requireKind: (path: string, stats: Stats) => void,
): Promise<FileHandle> {
  const file = await open(path, flags)
  try {
    requireKind(path, await file.stat())
    return file
  } catch (error) {
    await file.close()
    throw error
  }
}

/** A directory with this mode at once, less the umask's bits. False: there is something already. */
export async function makeDirectory(path: string, mode: number = directoryMode): Promise<boolean> {
  try {
    await mkdir(path, { mode })
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw error
  }
}

/**
 * A new directory with exactly this mode, whatever the umask is, and never with more. Fails with
 * EEXIST. Bits that are inherited (that of the group) stay.
 */
export async function makeDirectoryOfMode(path: string, mode: number): Promise<void> {
  await mkdir(path, { mode })
  const directory = await openDirectory(path)
  try {
    const { mode: made } = await directory.stat()
    if ((made & 0o777) !== mode) await directory.chmod((made & 0o7000) | mode)
  } finally {
    await directory.close()
  }
}

/** ERR_NOT_A_FILE unless it is a regular file. */
export function requireFile(path: string, stats: Stats): void {
  if (!stats.isFile()) throw notAFile(path, `is ${kindOf(stats)}, not a regular file`)
}

/** ERR_NOT_A_FILE unless it is a directory. */
export function requireDirectory(path: string, stats: Stats): void {
  if (!stats.isDirectory()) throw notAFile(path, `is ${kindOf(stats)}, not a directory`)
}

/**
 * Proves that `path`, of which these are the `stats`, is a regular file of our own with no more
 * than `names` names. ERR_NOT_A_FILE, ERR_PERMISSION.
 */
export async function requireOwnFile(path: string, stats: Stats, names = 1): Promise<void> {
  requireFile(path, stats)
  if (stats.nlink > names) throw notAFile(path, 'has another name, which may be of another file')
  await requireOwner(path, stats)
}

/**
 * Proves that there is a directory of our own at `path` in which not everybody may exchange what is
 * in it. Fails with ENOENT. ERR_NOT_A_FILE, ERR_PERMISSION.
 */
export async function requireOwnDirectory(path: string): Promise<void> {
  const stats = await lstat(path)
  requireDirectory(path, stats)
  await requireOwner(path, stats)
  const isOpenToAll = (stats.mode & othersMayWrite) !== 0 && (stats.mode & sticky) === 0
  if (isOpenToAll) throw untrusted(path, 'may be written by everybody')
}

/** The same, and nobody but its owner may write to it: what is in it was put there by us. */
export async function requirePrivateDirectory(path: string): Promise<void> {
  await requireOwnDirectory(path)
  const { mode } = await lstat(path)
  if ((mode & 0o022) !== 0) throw untrusted(path, 'may be written by others')
}

async function requireOwner(path: string, { uid }: Stats): Promise<void> {
  const us = process.geteuid?.()
  if (us === undefined || uid === us || uid === 0) return
  if (uid !== (await lstat(dirname(path))).uid) throw untrusted(path, `belongs to user ${uid}`)
}

/** Removes a file of our own; without effect when there is none. ERR_NOT_A_FILE, ERR_PERMISSION. */
export async function removeOwnFile(directory: string, name: string): Promise<void> {
  const path = entryOf(directory, name)
  const stats = await lookAt(path)
  if (stats === undefined) return
  await requireOwnFile(path, stats, Infinity)
  await ignoringMissing(unlink(path))
}

/**
 * Removes a directory of our own with all that is in it; links in it go, what they lead to stays.
 * Without effect when there is none. ERR_NOT_A_FILE, ERR_PERMISSION.
 */
export async function removeOwnTree(directory: string, name: string): Promise<void> {
  const path = entryOf(directory, name)
  const stats = await lookAt(path)
  if (stats === undefined) return
  requireDirectory(path, stats)
  await requireOwner(path, stats)
  await rm(path, { recursive: true, force: true })
}

/** ERR_CORRUPT when the name would lead out of the directory. */
function entryOf(directory: string, name: string): string {
  const isName = name !== '' && name !== '.' && name !== '..' && basename(name) === name
  if (isName && !name.includes('\0')) return join(directory, name)
  throw new HotboltError('ERR_CORRUPT', `${JSON.stringify(name)} is no name in a directory`)
}

async function ignoringMissing(work: Promise<void>): Promise<void> {
  try {
    await work
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  }
}

export function notAFile(path: string, what: string): HotboltError {
  return new HotboltError('ERR_NOT_A_FILE', `${path} ${what}`, { path })
}

function untrusted(path: string, what: string): HotboltError {
  return new HotboltError('ERR_PERMISSION', `${path} ${what}: it is not used`, { path })
}

export function kindOf(stats: Pick<Stats, 'isSymbolicLink' | 'isDirectory' | 'isFile'>): string {
  if (stats.isSymbolicLink()) return 'a symbolic link'
  if (stats.isDirectory()) return 'a directory'
  return stats.isFile() ? 'a file' : 'a device, pipe or socket'
}
