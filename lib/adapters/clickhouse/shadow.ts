// The directory `shadow` of a disk: what a FREEZE leaves there, and how it goes away again.
//
//   shadow/<id>/store/<abc>/<uuid>/<part>/...        a table of an Atomic database
//   shadow/<id>/data/<database>/<table>/<part>/...   of an Ordinary one
//   shadow/increment.txt                             the server's counter of freezes
//
// The files are hard links to those of the parts. An id belongs to one freeze, so that whatever is
// under it is ours, wherever the table may be now. Links are never followed, and nothing is touched
// before it is proven to lie in `shadow/<id>`.

import { randomBytes } from 'node:crypto'
import type { Stats } from 'node:fs'
import { chown, link, lstat, mkdir, open, readdir, realpath, rm, unlink } from 'node:fs/promises'
import { join, resolve, sep } from 'node:path'

import { HotboltError } from '../../index.ts'

/** What ClickHouse writes into a path as it is, and no number: those are names of its own. */
const safeId = /^(?=.*[A-Za-z_])[A-Za-z0-9_]{1,200}$/

/** ERR_INVALID_ARGUMENT for what is not the id of a freeze. */
export function checkedFreezeId(id: unknown): string {
  if (typeof id === 'string' && safeId.test(id)) return id
  const expected = "letters, digits and '_', not digits only"
  const message = `Expected the id of a freeze to be ${expected}, got ${JSON.stringify(id)}`
  throw new HotboltError('ERR_INVALID_ARGUMENT', message)
}

/** The directory of a freeze on a disk; undefined when there is none. ERR_SOURCE for a link. */
export async function freezeDirectory(disk: string, id: string): Promise<string | undefined> {
  const shadow = join(disk, 'shadow')
  const directory = join(shadow, checkedFreezeId(id))
  const stats = await statOf(directory)
  if (stats === undefined) return undefined
  const isOwn =
    stats.isDirectory() && (await realpath(directory)) === join(await realpath(shadow), id)
  if (!isOwn) {
    throw new HotboltError('ERR_SOURCE', `${directory} is no directory`, { path: directory })
  }
  return directory
}

/** ERR_SOURCE unless `path` is a directory inside `directory`, with no link on the way. */
export async function provenInside(directory: string, path: string): Promise<string> {
  const stats = await statOf(path)
  const isInside =
    stats?.isDirectory() === true &&
    path === resolve(path) &&
    path.startsWith(directory + sep) &&
    (await realpath(path)) === join(await realpath(directory), path.slice(directory.length))
  if (isInside) return path
  throw new HotboltError('ERR_SOURCE', `${path} is no directory inside ${directory}`, { path })
}

/** The directories of all parts of a freeze. */
export async function partsOf(directory: string): Promise<readonly string[]> {
  let level = [directory]
  // store/<abc>/<uuid>/<part>, data/<database>/<table>/<part>
  for (let depth = 0; depth < 4; depth += 1) {
    const below = await Promise.all(level.map((each) => directoriesIn(each)))
    level = below.flat()
  }
  return level
}

async function directoriesIn(directory: string): Promise<string[]> {
  const entries = await readdir(directory, { withFileTypes: true })
  return entries.flatMap((entry) => (entry.isDirectory() ? [join(directory, entry.name)] : []))
}

/** Whether anything but empty directories is left. */
export async function hasFiles(directory: string): Promise<boolean> {
  const entries = await readdir(directory, { withFileTypes: true }).catch(noneIfGone)
  for (const entry of entries) {
    if (!entry.isDirectory() || (await hasFiles(join(directory, entry.name)))) return true
  }
  return false
}

function noneIfGone(error: unknown): [] {
  if ((error as { code?: string }).code === 'ENOENT') return []
  throw error
}

/** Removes what is left of a freeze, and its empty directories. Links go, what they name stays. */
export async function removeFreeze(disk: string, id: string): Promise<void> {
  const directory = await freezeDirectory(disk, id)
  if (directory !== undefined) await rm(directory, { recursive: true, force: true })
}

/**
 * Makes the server's counter of freezes if there is none: of several FREEZEs that come first at
 * once, some find it just made and empty, and fail. false when this process may not.
 */
export async function prepareCounter(disk: string): Promise<boolean> {
  const shadow = join(disk, 'shadow')
  const counter = join(shadow, 'increment.txt')
  try {
    if ((await statOf(counter)) !== undefined) return true
    const owner = await lstat(disk)
    await makeOwned(shadow, owner)
    return await publishCounter(disk, counter, owner)
  } catch (error) {
    const { code } = error as { code?: string }
    if (code === 'EACCES' || code === 'EPERM' || code === 'EROFS') return false
    throw error
  }
}

async function makeOwned(directory: string, owner: Stats): Promise<void> {
  try {
    await mkdir(directory, { mode: owner.mode & 0o777 })
  } catch (error) {
    if ((error as { code?: string }).code !== 'EEXIST') throw error
    return
  }
  await giveTo(directory, owner)
}

/** What this process makes in the server's directories has to be the server's. */
export async function giveTo(path: string, owner: Stats): Promise<void> {
  const stats = await lstat(path)
  if (stats.uid === owner.uid && stats.gid === owner.gid) return
  await chown(path, owner.uid, owner.gid)
}

/** It appears with its content: an empty one is the very failure. */
async function publishCounter(disk: string, counter: string, owner: Stats): Promise<boolean> {
  // The server empties this directory when it starts, of names that begin like this.
  const temporaries = join(disk, 'tmp')
  const folder = (await statOf(temporaries))?.isDirectory() === true ? temporaries : disk
  const temporary = join(folder, `tmp_hotbolt_${randomBytes(8).toString('hex')}`)
  const file = await open(temporary, 'wx', 0o640)
  try {
    await file.writeFile('0\n')
    await file.close()
    await giveTo(temporary, owner)
    await link(temporary, counter)
  } catch (error) {
    if ((error as { code?: string }).code !== 'EEXIST') throw error
  } finally {
    await file.close().catch(() => {})
    await unlink(temporary).catch(() => {})
  }
  return true
}

/** Without following a link; undefined when there is nothing. */
export async function statOf(path: string): Promise<Stats | undefined> {
  try {
    return await lstat(path)
  } catch (error) {
    const { code } = error as { code?: string }
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined
    throw error
  }
}
