// One store's file as the destination of a restore: the backup of a store, or of one store of a
// catalog.
//
// What is there before is replaced by one rename, under its lock. Its journal has to be gone by
// then. Opening it does that: the journal is merged into the file. If it cannot be opened, because
// it is damaged, its journal is put aside first.

import { link, readdir, rename } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import type { Database } from '../database/database.ts'
import { HotboltError, onDisk, toHotboltError, type ErrorCode } from '../errors.ts'
import type { RestoreDestination, RestoreSession } from '../backup/freeze-source.ts'
import type { Manifest, ManifestTable } from '../backup/manifest.ts'
import { pathOf } from '../paths.ts'
import { realTarget, requireStoreFile } from './catalog-destination.ts'
import { storeFileName } from './catalog-directory.ts'
import { removeAbandoned, RestoreDirectory, restoredMode } from './exchange.ts'
import { lookAt, makeDirectory, syncDirectory } from './files.ts'
import { openStoreFile } from './marker.ts'

/** What a damaged database says when it is opened; it is not locked by anybody then. */
const damages: readonly ErrorCode[] = [
  'ERR_NOT_A_DATABASE',
  'ERR_BYTE_ORDER',
  'ERR_VERSION',
  'ERR_CHECKSUM',
  'ERR_PAGE_SIZE',
  'ERR_TRUNCATED',
  'ERR_CORRUPT',
  'ERR_JOURNAL_STALE',
  'ERR_JOURNAL_CORRUPT',
]

/**
 * The path for a store, of a backup of one store, or of a catalog of which one store is restored.
 * ERR_EXISTS when there is something, or a journal without its file; a file may be overwritten, but
 * ERR_LOCKED while somebody has it open.
 */
export function storeDestination(path: string | URL): RestoreDestination {
  const location = pathOf(path, 'path')
  const begin = async (
    manifest: Manifest,
    { overwrite }: { readonly overwrite: boolean },
  ): Promise<RestoreSession> => {
    requireOneStore(manifest)
    const target = await realTarget(location)
    const found = await lookAt(target)
    if (found !== undefined && !found.isFile()) throw notAFile(target)
    const isFree = found === undefined && (await journalOf(target)).length === 0
    if (!isFree && !overwrite) throw exists(target)
    const replaced = found === undefined ? undefined : await openReplaced(target)
    try {
      await removeAbandoned(target)
      const building = await RestoreDirectory.create(target)
      return new StoreRestore({ target, building, replaced, overwrite })
    } catch (error) {
      await replaced?.close()
      throw error
    }
  }
  return { kind: undefined, location, begin }
}

interface StoreRestoreParts {
  readonly target: string
  readonly building: RestoreDirectory
  /** The store that is there, if it can be opened. */
  readonly replaced: Database | undefined
  readonly overwrite: boolean
}

class StoreRestore implements RestoreSession {
  readonly #parts: StoreRestoreParts
  #file: string | undefined

  constructor(parts: StoreRestoreParts) {
    this.#parts = parts
  }

  async directoryFor(_table: ManifestTable): Promise<string> {
    const directory = join(this.#parts.building.path, 'table')
    await makeDirectory(directory, restoredMode)
    this.#file = join(directory, storeFileName)
    return directory
  }

  async complete(table: ManifestTable): Promise<void> {
    requireStoreFile(table)
  }

  async commit(): Promise<void> {
    const { target, building, overwrite } = this.#parts
    const file = this.#file
    if (file === undefined) throw new HotboltError('ERR_NOT_FOUND', 'No store was restored')
    if (overwrite) await replace(file, target, building.path)
    else await linkNew(file, target)
    await syncDirectory(dirname(target))
    await this.abort()
  }

  async abort(): Promise<void> {
    const { building, replaced } = this.#parts
    try {
      await building.remove()
    } finally {
      // The file has no name any more, or is as it was.
      await replaced?.close().catch(() => {})
    }
  }
}

/**
 * Undefined: it is damaged. ERR_LOCKED, ERR_PERMISSION, ...
 *
 * Read-only, once its journal has been merged: the close of what may be written removes the journal
 * by its name, which is that of the restored store by then.
 */
async function openReplaced(path: string): Promise<Database | undefined> {
  try {
    await (await openStoreFile(path, { create: false })).close()
    return await openStoreFile(path, { readOnly: true })
  } catch (error) {
    if (HotboltError.is(error) && damages.includes(error.code)) return undefined
    throw error
  }
}

async function replace(file: string, target: string, aside: string): Promise<void> {
  const moved: string[] = []
  try {
    for (const name of await journalOf(target)) {
      await onDisk(() => rename(join(dirname(target), name), join(aside, name)))
      moved.push(name)
    }
    if (moved.length > 0) await syncDirectory(dirname(target))
    await onDisk(() => rename(file, target))
  } catch (error) {
    for (const name of moved) await rename(join(aside, name), join(dirname(target), name))
    throw error
  }
}

/** Unlike a rename, it replaces nothing. ERR_EXISTS. */
async function linkNew(file: string, target: string): Promise<void> {
  try {
    await link(file, target)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    const hasNoLinks = code === 'EPERM' || code === 'ENOTSUP' || code === 'EOPNOTSUPP'
    if (!hasNoLinks) throw toHotboltError(error)
    if ((await lookAt(target)) !== undefined) throw exists(target)
    await onDisk(() => rename(file, target))
  }
}

async function journalOf(path: string): Promise<string[]> {
  const names = await onDisk(() => readdir(dirname(path)))
  const prefix = `${basename(path)}-journal-`
  return names.filter(
    (name) => name.startsWith(prefix) && /^\d{8}$/.test(name.slice(prefix.length)),
  )
}

function requireOneStore({ source: { kind }, tables }: Manifest): void {
  if (kind !== 'store' && kind !== 'catalog') {
    const message = `The backup is of the kind '${kind}': it cannot be restored to a store`
    throw new HotboltError('ERR_INVALID_ARGUMENT', message)
  }
  if (tables.length === 1) return
  const count = tables.length
  const message = `One store can be restored to a file, not ${count}: choose with \`include\``
  throw new HotboltError('ERR_INVALID_ARGUMENT', message)
}

function notAFile(path: string): HotboltError {
  return new HotboltError('ERR_NOT_A_FILE', `${path} is no regular file`, { path })
}

function exists(path: string): HotboltError {
  return new HotboltError('ERR_EXISTS', `There is something at ${path} already`, { path })
}
