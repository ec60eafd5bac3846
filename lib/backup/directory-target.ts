// A directory as a target: an object is the file of that path below it.
//
//   <path>/<backup>/...   the objects
//   <path>/.staging/      where backups are made, on the same disk
//   <path>/.state/        records of freezes
//
// An object appears whole and durably: it is made under a temporary name, or in the staging
// directory, synced and renamed, and its directory is synced. What lies below the root and was not
// made by us is not trusted: links are not followed, nothing but regular files is opened. The root
// itself may be a link.

import { createReadStream, type Dirent } from 'node:fs'
import { lstat, readdir, rename, rm, rmdir, unlink } from 'node:fs/promises'
import { dirname, join, relative, resolve, sep } from 'node:path'
import { addAbortSignal, type Readable } from 'node:stream'
import { HotboltError, toHotboltError } from '../errors.ts'
import { isPath, pathOf } from '../paths.ts'
import { invalid } from '../rules.ts'
import {
  createFile,
  kindOf,
  lookBelow,
  notAFile,
  openFile,
  requireDirectory,
  requireFile,
} from '../safe-files.ts'
import { targetRule } from './backup-options.ts'
import { throwIfAborted } from './cancellation.ts'
import { DirectorySyncs, makeDirectories } from './files.ts'
import { isTemporaryObject, stagingFolder, stateFolder, temporaryObject } from './names.ts'
import { isKey, requireKey, type Target, type TargetBody, type TargetObject } from './target.ts'
import { copyFile } from './transfer.ts'

/** Entries of a directory that are looked at together. */
const looksAtOnce = 64

/** The directory is made by the first put() if it is missing. */
export function directoryTarget(path: string | URL): Target {
  return new DirectoryTarget(pathOf(path, 'path'))
}

/** What the options of backups name: a directory, or a target. */
export function targetFrom(target: string | URL | Target): Target {
  if (isPath(target)) return directoryTarget(target)
  if (targetRule.accepts(target)) return target
  throw invalid('target', targetRule.expected, target)
}

class DirectoryTarget implements Target {
  readonly location: string
  readonly stagingDirectory: string
  readonly stateDirectory: string
  readonly #syncs = new DirectorySyncs()
  /** Directories whose own names are durable. */
  readonly #durable = new Set<string>()

  constructor(path: string) {
    this.location = path
    this.stagingDirectory = join(path, stagingFolder)
    this.stateDirectory = join(path, stateFolder)
  }

  async put(key: string, body: TargetBody, signal?: AbortSignal): Promise<void> {
    requireObjectKey(key)
    const path = join(this.location, key)
    await asOwn(path, async () => {
      throwIfAborted(signal, 'Storing an object')
      try {
        await this.#putAt(key, path, body, signal)
      } catch (error) {
        // Another process has removed the directory, which was empty: once more.
        if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
        this.#durable.clear()
        await this.#putAt(key, path, body, signal)
      }
    })
  }

  async get(key: string, signal?: AbortSignal): Promise<Readable> {
    requireObjectKey(key)
    return asOwn(join(this.location, key), async () => {
      throwIfAborted(signal, 'Reading an object')
      const file = await openFile(await this.#fileAt(key))
      const stream = createReadStream('', { fd: file, highWaterMark: 256 << 10 })
      return signal === undefined ? stream : addAbortSignal(signal, stream)
    })
  }

  async *list(prefix: string, signal?: AbortSignal): AsyncIterable<TargetObject> {
    const folder = prefix.slice(0, Math.max(0, prefix.lastIndexOf('/')))
    if (folder !== '' && (folder.startsWith('.') || !isKey(folder))) return
    try {
      const stats = folder === '' ? undefined : await lookBelow(this.location, folder)
      if (stats !== undefined) requireDirectory(join(this.location, folder), stats)
      const folders = [folder]
      for (let next = folders.pop(); next !== undefined; next = folders.pop()) {
        throwIfAborted(signal, 'Listing objects')
        for (const found of await this.#entriesOf(next)) {
          if (found.isFolder) folders.push(found.key)
          else if (found.key.startsWith(prefix)) yield found.object
        }
      }
    } catch (error) {
      throw toHotboltError(error)
    }
  }

  async *listFolders(signal?: AbortSignal): AsyncIterable<string> {
    throwIfAborted(signal, 'Listing objects')
    for (const { key, object, isFolder } of await asOwn(this.location, () => this.#entriesOf(''))) {
      if (isFolder || object.problem !== undefined) yield key
    }
  }

  async delete(key: string, signal?: AbortSignal): Promise<void> {
    requireObjectKey(key)
    const path = join(this.location, key)
    await asOwn(path, async () => {
      throwIfAborted(signal, 'Deleting an object')
      const stats = await lookBelow(this.location, key)
      if (stats?.isDirectory() === true) throw notAFile(path, 'is a directory, not an object')
      if (stats !== undefined) {
        await ignoring('ENOENT', unlink(path))
        await ignoring('ENOENT', this.#syncs.sync(dirname(path)))
      }
      await this.#removeEmpty(dirname(path))
    })
  }

  localFile(key: string): Promise<string> {
    requireObjectKey(key)
    return asOwn(join(this.location, key), async () => {
      const path = await this.#fileAt(key)
      requireFile(path, await lstat(path))
      return path
    })
  }

  async #putAt(key: string, path: string, body: TargetBody, signal?: AbortSignal): Promise<void> {
    await this.#makeFolders(key)
    const stats = await lookBelow(this.location, key)
    if (stats !== undefined) requireFile(path, stats)
    if (body instanceof Uint8Array) {
      await this.#throughTemporary(path, (temporary) => writeNew(temporary, body), signal)
    } else if (!(await this.#move(path, body, signal))) {
      await this.#throughTemporary(path, (temporary) => copyBody(body, temporary, signal), signal)
    }
    await this.#syncs.sync(dirname(path))
  }

  async #throughTemporary(
    path: string,
    make: (temporary: string) => Promise<void>,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const temporary = join(dirname(path), temporaryObject())
    try {
      await make(temporary)
      throwIfAborted(signal, 'Storing an object')
      await rename(temporary, path)
    } catch (error) {
      await rm(temporary, { force: true })
      throw error
    }
  }

  /** False when the file is not ours to take, or on another disk. */
  async #move(
    path: string,
    body: Exclude<TargetBody, Uint8Array>,
    signal: AbortSignal | undefined,
  ): Promise<boolean> {
    const source = resolve(body.file)
    if (!source.startsWith(this.stagingDirectory + sep)) return false
    // No directory on the way is a link.
    await lookBelow(this.location, relative(this.location, source).split(sep).join('/'))
    const file = await openFile(source)
    try {
      const { size } = await file.stat()
      if (size !== body.sizeBytes) throw sizeChanged(source, body.sizeBytes, size)
      await file.sync()
    } finally {
      await file.close()
    }
    throwIfAborted(signal, 'Storing an object')
    try {
      await rename(source, path)
      return true
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EXDEV') return false
      throw error
    }
  }

  /** The directories above the object; none of them is a link. */
  async #makeFolders(key: string): Promise<void> {
    if (!this.#durable.has(this.location)) {
      await makeDirectories(this.location, this.#syncs)
      this.#durable.add(this.location)
    }
    const folders = key.split('/').slice(0, -1)
    for (const [index] of folders.entries()) {
      const folder = folders.slice(0, index + 1).join('/')
      const path = join(this.location, folder)
      const stats = await lookBelow(this.location, folder)
      if (stats !== undefined) requireDirectory(path, stats)
      if (stats !== undefined && this.#durable.has(path)) continue
      await makeDirectories(path, this.#syncs)
      // Also when it was there: whoever has just made it may not have synced yet.
      await this.#syncs.sync(dirname(path))
      this.#durable.add(path)
    }
  }

  async #fileAt(key: string): Promise<string> {
    const path = join(this.location, key)
    if ((await lookBelow(this.location, key)) !== undefined) return path
    throw new HotboltError('ERR_NOT_FOUND', `There is no ${key} in ${this.location}`, { path })
  }

  /** Gives what is in a directory below the root; nothing when it has gone meanwhile. */
  async #entriesOf(folder: string): Promise<Found[]> {
    const path = join(this.location, folder)
    const entries = await ignoring('ENOENT', readdir(path, { withFileTypes: true }))
    const visible = (entries ?? []).filter(({ name }) =>
      folder === '' ? !name.startsWith('.') : !isTemporaryObject(name),
    )
    const found: Found[] = []
    for (let at = 0; at < visible.length; at += looksAtOnce) {
      const looks = visible.slice(at, at + looksAtOnce).map(async (entry) => {
        const key = folder === '' ? entry.name : `${folder}/${entry.name}`
        const object = await objectAt(join(path, entry.name), key, entry)
        return object === undefined ? [] : { key, object, isFolder: isFolder(key, entry) }
      })
      found.push(...(await Promise.all(looks)).flat())
    }
    return found
  }

  /** Removes directories that hold nothing, or only what a put() has left that was killed. */
  async #removeEmpty(folder: string): Promise<void> {
    for (let path = folder; path !== this.location; path = dirname(path)) {
      const names = (await ignoring('ENOENT', readdir(path))) ?? []
      for (const name of names) {
        if (!isTemporaryObject(name) && !(await removeHollow(join(path, name)))) return
      }
      for (const name of names.filter(isTemporaryObject)) {
        await ignoring('ENOENT', unlink(join(path, name)))
      }
      this.#durable.delete(path)
      try {
        await rmdir(path)
        await this.#syncs.sync(dirname(path))
      } catch (error) {
        const { code } = error as NodeJS.ErrnoException
        if (code === 'ENOTEMPTY' || code === 'EEXIST') return
        if (code !== 'ENOENT') throw error
      }
    }
  }
}

interface Found {
  readonly key: string
  readonly object: TargetObject
  readonly isFolder: boolean
}

const isFolder = (key: string, entry: Dirent): boolean => entry.isDirectory() && isKey(key)

async function objectAt(
  path: string,
  key: string,
  entry: Dirent,
): Promise<TargetObject | undefined> {
  if (!isKey(key)) return { key, sizeBytes: 0, problem: 'a name that no object has' }
  if (entry.isDirectory()) return { key, sizeBytes: 0 }
  const stats = await ignoring('ENOENT', lstat(path))
  if (stats === undefined) return undefined
  if (stats.isFile()) return { key, sizeBytes: stats.size }
  return { key, sizeBytes: 0, problem: kindOf(stats) }
}

/** What is hidden at the root is not part of the objects. */
function requireObjectKey(key: string): void {
  requireKey(key)
  if (!key.startsWith('.')) return
  const message = `${key} begins with '.', where a directory keeps what is no object`
  throw new HotboltError('ERR_INVALID_ARGUMENT', message)
}

/** False when something else than directories is in it. A put() that was killed leaves such. */
async function removeHollow(path: string): Promise<boolean> {
  try {
    await rmdir(path)
    return true
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT') return true
    if (code !== 'ENOTEMPTY' && code !== 'EEXIST') return false
  }
  for (const name of (await ignoring('ENOENT', readdir(path))) ?? []) {
    if (!(await removeHollow(join(path, name)))) return false
  }
  return removeHollow(path)
}

async function writeNew(path: string, bytes: Uint8Array): Promise<void> {
  const file = await createFile(path)
  try {
    await file.writeFile(bytes)
    await file.sync()
  } finally {
    await file.close()
  }
}

async function copyBody(
  body: Exclude<TargetBody, Uint8Array>,
  path: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  const { sizeBytes } = await copyFile(body.file, path, { signal })
  if (sizeBytes !== body.sizeBytes) throw sizeChanged(body.file, body.sizeBytes, sizeBytes)
}

function sizeChanged(path: string, expected: number, found: number): HotboltError {
  const message = `${path} has ${found} bytes, not ${expected} as it should`
  return new HotboltError('ERR_INVALID_ARGUMENT', message, { path })
}

/** Errors of the operating system get their codes here. */
async function asOwn<T>(path: string, run: () => Promise<T>): Promise<T> {
  try {
    return await run()
  } catch (error) {
    throw toHotboltError(error, path)
  }
}

async function ignoring<T>(code: string, work: Promise<T>): Promise<T | undefined> {
  try {
    return await work
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === code) return undefined
    throw error
  }
}
