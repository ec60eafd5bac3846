// Directories that hold stores: what makes them and their names durable. What Node's file system
// rejects with becomes a HotboltError here.

import { randomBytes } from 'node:crypto'
import type { Stats } from 'node:fs'
import { open, rename, rm, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { HotboltError, onDisk, toHotboltError } from '../errors.ts'
import * as paths from '../paths.ts'
import * as files from '../safe-files.ts'

/** What is at `path` itself, a link not followed; undefined: nothing. */
export const lookAt = (path: string): Promise<Stats | undefined> => onDisk(() => files.lookAt(path))

/** What has been made, renamed or removed in it survives a power cut. */
export const syncDirectory = (path: string): Promise<void> =>
  onDisk(() => paths.syncDirectory(path))

/** A file with this content, synced; its directory is not. */
export async function writeSynced(path: string, text: string, mode: number): Promise<void> {
  await onDisk(async () => {
    const file = await open(path, 'w', mode)
    try {
      await file.writeFile(text)
      await file.sync()
    } finally {
      await file.close()
    }
  })
}

/** A new directory, which may be entered by whoever may read files of `mode`. ERR_EXISTS. */
export async function makeDirectory(path: string, mode: number): Promise<void> {
  await onDisk(() => files.makeDirectoryOfMode(path, directoryMode(mode)))
}

/** The same with those above it, durably; one that exists is left as it is. */
export async function makeDirectories(path: string, mode: number): Promise<void> {
  await onDisk(() => makeWithParents(path, directoryMode(mode)))
}

async function makeWithParents(path: string, mode: number): Promise<void> {
  try {
    await files.makeDirectoryOfMode(path, mode)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'EEXIST' && (await stat(path)).isDirectory()) return
    if (code !== 'ENOENT' || dirname(path) === path) throw error
    await makeWithParents(dirname(path), mode)
    return makeWithParents(path, mode)
  }
  await paths.syncDirectory(dirname(path))
}

/** A directory gets a new name, which nobody has or an empty directory. ERR_EXISTS. */
export async function renameDirectory(from: string, to: string): Promise<void> {
  try {
    await rename(from, to)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code !== 'ENOTEMPTY' && code !== 'ENOTDIR') throw toHotboltError(error)
    const message = `There is something at ${to} already`
    throw new HotboltError('ERR_EXISTS', message, { path: to, cause: error })
  }
}

/** With everything in it; links are not followed. Without effect when there is nothing. */
export async function removeTree(path: string): Promise<void> {
  await onDisk(() => rm(path, { recursive: true, force: true }))
}

/** For a name that nobody else has. */
export const randomDigits = (): string => randomBytes(16).toString('hex')

const directoryMode = (mode: number): number => mode | ((mode & 0o444) >> 2)
