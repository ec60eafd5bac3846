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
import { link, lstat, readdir, realpath, unlink } from 'node:fs/promises'
import { join, resolve, sep } from 'node:path'

import { HotboltError } from '../../index.ts'
import { createFile } from '../../safe-files.ts'
import { give, HeldDirectory, holding, serverOf, type Owner } from './held-directory.ts'

/** What ClickHouse writes into a path as it is, and no number: those are names of its own. */
const safeId = /^(?=.*[A-Za-z_])[A-Za-z0-9_]{1,200}$/

const counterName = 'increment.txt'

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
  if ((await freezeDirectory(disk, id)) === undefined) return
  const shadow = HeldDirectory.open(await realpath(join(disk, 'shadow')), await serverOf(disk))
  await holding(shadow, (held) => held.remove(id))
}

/**
 * Makes the server's counter of freezes if there is none: of several FREEZEs that come first at
 * once, some find it just made and empty, and fail. false when this process may not.
 */
export async function prepareCounter(disk: string): Promise<boolean> {
  try {
    if ((await statOf(join(disk, 'shadow', counterName))) === undefined) await makeCounter(disk)
    return true
  } catch (error) {
    const { code } = error as { code?: string }
    if (['EACCES', 'EPERM', 'EROFS', 'ERR_PERMISSION'].includes(code ?? '')) return false
    throw error
  }
}

async function makeCounter(disk: string): Promise<void> {
  const server = await serverOf(disk)
  await holding(HeldDirectory.ofDisk(disk), (root) =>
    holding(root.make('shadow', server.mode & 0o777), async (shadow) => {
      // The server empties this directory when it starts, of names that begin like ours.
      const stats = await statOf(join(root.path, 'tmp'))
      if (stats?.isDirectory() !== true) return publishCounter(root, shadow, server)
      return holding(root.enter('tmp'), (folder) => publishCounter(folder, shadow, server))
    }),
  )
}

/** It appears with its content: an empty one is the very failure. */
async function publishCounter(
  folder: HeldDirectory,
  shadow: HeldDirectory,
  server: Owner,
): Promise<void> {
  const temporary = join(folder.path, `tmp_hotbolt_${randomBytes(8).toString('hex')}`)
  const file = await createFile(temporary, 0o640)
  try {
    await file.writeFile('0\n')
    await give(file, server)
    await link(temporary, join(shadow.path, counterName))
  } catch (error) {
    if ((error as { code?: string }).code !== 'EEXIST') throw error
  } finally {
    await file.close().catch(() => {})
    await unlink(temporary).catch(() => {})
  }
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
