// A catalog as the destination of a restore: complete under its name, or not there.

import { readdir, realpath } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import type { Database } from '../database/database.ts'
import { HotboltError, onDisk, toHotboltError } from '../errors.ts'
import type {
  BeginRestoreOptions,
  RestoreDestination,
  RestoreSession,
} from '../backup/freeze-source.ts'
import type { ManifestTable } from '../backup/manifest.ts'
import { requireWhole } from '../backup/restore-files.ts'
import { pathOf } from '../paths.ts'
import { CatalogDirectory, storeFileName } from './catalog-directory.ts'
import {
  mendExchange,
  putInPlace,
  removeAbandoned,
  RestoreDirectory,
  restoredMode,
} from './exchange.ts'
import { lookAt, makeDirectories, syncDirectory } from './files.ts'
import { hasMarker, openMarker } from './marker.ts'

/**
 * The directory for a catalog. Its parent is made if it does not exist. ERR_EXISTS when there is
 * something, unless that is an empty directory, or a catalog that may be overwritten: ERR_LOCKED
 * while somebody has it open.
 */
export function catalogDestination(directory: string | URL): RestoreDestination {
  const location = pathOf(directory, 'directory')
  const begin = async (
    _manifest: unknown,
    { overwrite, isPart }: BeginRestoreOptions,
  ): Promise<RestoreSession> => {
    requireWhole(overwrite && isPart)
    const target = await realTarget(location)
    if ((await lookAt(target)) === undefined) await mendExchange(target)
    const found = await whatIsAt(target)
    if (found === 'catalog' && overwrite) return beginOverwrite(target)
    if (found !== 'nothing') throw exists(target, found)
    await removeAbandoned(target)
    return new CatalogRestore(target, await RestoreDirectory.create(target), undefined)
  }
  return { kind: 'catalog', location, begin }
}

/** The old catalog belongs to us from here on: what is written to it would be lost. */
async function beginOverwrite(target: string): Promise<RestoreSession> {
  const marker = await openMarker(target, { create: false })
  try {
    await removeAbandoned(target)
    return new CatalogRestore(target, await RestoreDirectory.create(target), marker)
  } catch (error) {
    await marker.close()
    throw error
  }
}

class CatalogRestore implements RestoreSession {
  readonly #target: string
  readonly #building: RestoreDirectory
  readonly #stores: CatalogDirectory
  readonly #replaced: Database | undefined

  constructor(target: string, building: RestoreDirectory, replaced: Database | undefined) {
    this.#target = target
    this.#building = building
    this.#stores = new CatalogDirectory(building.path, restoredMode)
    this.#replaced = replaced
  }

  directoryFor(table: ManifestTable): Promise<string> {
    return this.#stores.prepare(table.name)
  }

  async complete(table: ManifestTable, directory: string): Promise<void> {
    requireStoreFile(table)
    await syncDirectory(directory)
  }

  async commit(): Promise<void> {
    await syncDirectory(this.#building.path)
    await putInPlace(this.#building.path, this.#target, this.#replaced !== undefined)
    await this.#building.release()
    await this.#letGo()
  }

  async abort(): Promise<void> {
    try {
      await this.#building.remove()
    } finally {
      await this.#letGo()
    }
  }

  /** Its directory may have another name by now, or none: what it says of that does not matter. */
  async #letGo(): Promise<void> {
    await this.#replaced?.close().catch(() => {})
  }
}

/** A table of a store is its one file. */
export function requireStoreFile({ name, files }: ManifestTable): void {
  if (files.length === 1 && files[0]?.path === storeFileName) return
  const message = `The backup of ${JSON.stringify(name)} is not that of a store`
  throw new HotboltError('ERR_BACKUP_CORRUPT', message)
}

/** Links in front of the last name are resolved, and a link of that name, if it leads somewhere. */
export async function realTarget(path: string): Promise<string> {
  try {
    return await realpath(path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw toHotboltError(error)
  }
  await makeDirectories(dirname(path), restoredMode)
  return join(await onDisk(() => realpath(dirname(path))), basename(path))
}

type Found = 'nothing' | 'catalog' | 'something else'

async function whatIsAt(path: string): Promise<Found> {
  const found = await lookAt(path)
  if (found === undefined) return 'nothing'
  if (!found.isDirectory()) return 'something else'
  if (await hasMarker(path)) return 'catalog'
  const names = await onDisk(() => readdir(path))
  return names.length === 0 ? 'nothing' : 'something else'
}

function exists(path: string, found: Found): HotboltError {
  const what = found === 'catalog' ? 'a catalog' : 'something that is no catalog'
  return new HotboltError('ERR_EXISTS', `There is ${what} at ${path} already`, { path })
}
