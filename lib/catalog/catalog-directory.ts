// A catalog on the disk:
//
//   <dir>/.catalog                    a database: the format's version, the catalog's id; its lock
//   <dir>/<encoded name>/store.db     a store, with its journal beside it
//   <dir>/%~<sha-256>/name            of a name that is too long to be in a file name
//   <dir>/.creating-<random>/         a store that is being made
//   <dir>/.dropped-<random>/          one that is being removed
//   <dir>/.aside-<random>.db          frozen content of a store that was dropped or renamed
//
// A store's directory gets and loses its name whole, by one rename, and the rename is synced: after
// a crash a store is there or not. What a crash has left under the last three names is removed by
// the next owner, never adopted. Everything else in the directory is somebody else's: not listed,
// not touched, and never reached through a link.
//
// Whoever calls this owns the catalog, and holds the name's lock where it changes something.

import type { Dirent } from 'node:fs'
import { readdir, readFile, rename, rmdir } from 'node:fs/promises'
import { join } from 'node:path'
import { HotboltError, onDisk } from '../errors.ts'
import { Semaphore } from '../backup/semaphore.ts'
import { decodeName, encodeName, nameBytesMax } from '../names.ts'
import {
  lookAt,
  makeDirectory,
  randomDigits,
  removeTree,
  renameDirectory,
  syncDirectory,
  writeSynced,
} from './files.ts'

/** The database that makes the directory a catalog. */
export const markerName = '.catalog'
export const storeFileName = 'store.db'
const nameFileName = 'name'
/** The name that comes with a rename; it counts when it is the right one. */
const nextNameFileName = 'name.next'
const longPrefix = '%~'
const temporary = /^\.(?:(?:creating|dropped)-[0-9a-f]{32}|aside-[0-9a-f]{32}\.db.*)$/
/** Files that list() looks at at a time. */
const looksMax = 16

export class CatalogDirectory {
  readonly path: string
  readonly #mode: number

  constructor(path: string, mode: number) {
    this.path = path
    this.#mode = mode
  }

  /** Of the store's file, which need not exist. */
  fileOf(name: string): string {
    return join(this.#directoryOf(name), storeFileName)
  }

  /** Where a store's frozen content may be put. */
  newAsidePath(): string {
    return join(this.path, `.aside-${randomDigits()}.db`)
  }

  async has(name: string): Promise<boolean> {
    const directory = this.#directoryOf(name)
    if ((await lookAt(directory))?.isDirectory() !== true) return false
    return this.#holdsStore(directory)
  }

  /** In the order of their UTF-8 bytes. */
  async list(): Promise<string[]> {
    const entries = await onDisk(() => readdir(this.path, { withFileTypes: true }))
    const looks = new Semaphore(looksMax)
    const found = await Promise.all(
      entries.map((entry) => looks.run(() => this.#nameOfEntry(entry))),
    )
    return sortedByBytes(found.filter((name) => name !== undefined))
  }

  /** `build` makes the store's file under the path that it is given. ERR_EXISTS. */
  async create(name: string, build: (file: string) => Promise<void>): Promise<void> {
    await this.requireFree(name)
    let place = join(this.path, `.creating-${randomDigits()}`)
    try {
      await this.#prepare(place, name)
      await build(join(place, storeFileName))
      await syncDirectory(place)
      await renameDirectory(place, this.#directoryOf(name))
      place = this.#directoryOf(name)
      await syncDirectory(this.path)
    } catch (error) {
      await removeTree(place).catch(() => {}) // nobody has used it
      throw error
    }
  }

  /** The directory of a new store, where nobody looks at the catalog yet. */
  async prepare(name: string): Promise<string> {
    const directory = this.#directoryOf(name)
    await this.#prepare(directory, name)
    return directory
  }

  /** Requires: the store is there and closed. */
  async drop(name: string): Promise<void> {
    await this.#discard(this.#directoryOf(name))
  }

  /** Requires: the store is there and closed. ERR_EXISTS. */
  async rename(from: string, to: string): Promise<void> {
    await this.requireFree(to)
    const before = this.#directoryOf(from)
    const after = this.#directoryOf(to)
    await this.#writeName(join(before, nextNameFileName), to)
    await syncDirectory(before)
    await renameDirectory(before, after)
    await syncDirectory(this.path)
    if (!isLong(to)) return
    await onDisk(() => rename(join(after, nextNameFileName), join(after, nameFileName)))
  }

  /** What a crash has left behind. */
  async removeLeftovers(): Promise<void> {
    const entries = await onDisk(() => readdir(this.path, { withFileTypes: true }))
    for (const entry of entries) {
      if (isTemporary(entry)) await removeTree(join(this.path, entry.name))
    }
  }

  /** The whole catalog; what is somebody else's stays, and the directory with it. */
  async remove(): Promise<void> {
    const entries = await onDisk(() => readdir(this.path, { withFileTypes: true }))
    // First: from here on it is no catalog any more.
    const isMarker = ({ name }: Dirent): boolean => name.startsWith(markerName)
    for (const entry of entries.filter(isMarker)) await removeTree(join(this.path, entry.name))
    for (const entry of entries) {
      const isStore = (await this.#nameOfEntry(entry)) !== undefined
      if (isStore) await this.#discard(join(this.path, entry.name))
      else if (isTemporary(entry)) await removeTree(join(this.path, entry.name))
    }
    await rmdir(this.path).catch(() => {}) // it is not empty
  }

  async #discard(directory: string): Promise<void> {
    const dropped = join(this.path, `.dropped-${randomDigits()}`)
    await onDisk(() => rename(directory, dropped))
    await syncDirectory(this.path)
    await removeTree(dropped).catch(() => {}) // it is dropped; the next owner removes what is left
  }

  #directoryOf(name: string): string {
    return join(this.path, encodeName(name))
  }

  async #holdsStore(directory: string): Promise<boolean> {
    return (await lookAt(join(directory, storeFileName)))?.isFile() === true
  }

  /** ERR_EXISTS. */
  async requireFree(name: string): Promise<void> {
    if ((await lookAt(this.#directoryOf(name))) === undefined) return
    const isStore = await this.has(name)
    const what = isStore ? 'There is a store' : 'Something that is no store has the directory'
    throw new HotboltError('ERR_EXISTS', `${what} of the name ${JSON.stringify(name)}`, {
      path: this.#directoryOf(name),
    })
  }

  async #prepare(directory: string, name: string): Promise<void> {
    await makeDirectory(directory, this.#mode)
    await this.#writeName(join(directory, nameFileName), name)
  }

  async #writeName(path: string, name: string): Promise<void> {
    if (isLong(name)) await writeSynced(path, name, this.#mode)
  }

  async #nameOfEntry(entry: Dirent): Promise<string | undefined> {
    if (!entry.isDirectory()) return undefined
    const directory = join(this.path, entry.name)
    const isLongName = entry.name.startsWith(longPrefix)
    const name = isLongName ? await longNameIn(directory, entry.name) : decodeName(entry.name)
    if (name === undefined) return undefined
    return (await this.#holdsStore(directory)) ? name : undefined
  }
}

const isTemporary = (entry: Dirent): boolean =>
  temporary.test(entry.name) && (entry.isDirectory() || entry.isFile())

const isLong = (name: string): boolean => encodeName(name).startsWith(longPrefix)

/** The file proves itself: the directory is called by its hash. */
async function longNameIn(directory: string, encoded: string): Promise<string | undefined> {
  for (const file of [nameFileName, nextNameFileName]) {
    const path = join(directory, file)
    const found = await lookAt(path)
    if (found?.isFile() !== true || found.size > nameBytesMax) continue
    const name = await onDisk(() => readFile(path, 'utf8'))
    if (encodeName(name) === encoded) return name
  }
  return undefined
}

/** JavaScript compares UTF-16, which has another order. */
function sortedByBytes(names: readonly string[]): string[] {
  const pairs = names.map((name) => ({ name, bytes: Buffer.from(name) }))
  pairs.sort((left, right) => Buffer.compare(left.bytes, right.bytes))
  return pairs.map(({ name }) => name)
}
