// What a restore builds beside its target, and how it takes the target's place.
//
//   <target>-restore-<random>/    is being built; its `.catalog` is locked as long as somebody does
//   <target>-replaced-<random>/   was the catalog before; goes when the new one is durable
//
// A file is replaced by one rename. A directory takes two, the old one away and the new one here; a
// crash in between leaves no target, and mendExchange() puts the old one back. A restore that was
// killed is removed by the next one.

import { readdir, rename } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import type { Database } from '../database/database.ts'
import { HotboltError, onDisk } from '../errors.ts'
import { isOwn } from '../safe-files.ts'
import { CatalogDirectory } from './catalog-directory.ts'
import {
  lookAt,
  makeDirectory,
  randomDigits,
  removeTree,
  renameDirectory,
  syncDirectory,
} from './files.ts'
import { hasMarker, openMarker } from './marker.ts'

/** Whoever may read a backup may read the stores. */
export const restoredMode = 0o600

const attemptsMax = 5

type Kind = 'restore' | 'replaced'

export class RestoreDirectory {
  readonly path: string
  readonly #marker: Database

  private constructor(path: string, marker: Database) {
    this.path = path
    this.#marker = marker
  }

  static async create(target: string): Promise<RestoreDirectory> {
    for (let attempt = 1; ; attempt++) {
      const path = `${target}-restore-${randomDigits()}`
      await makeDirectory(path, restoredMode)
      try {
        await (await openMarker(path, { mode: restoredMode })).close()
        // Read-only, it can be renamed with its directory; the lock keeps off those who clean up.
        return new RestoreDirectory(path, await openMarker(path, { readOnly: true }))
      } catch (error) {
        await removeTree(path).catch(() => {})
        if (attempt === attemptsMax || !isOvertaken(error)) throw error
      }
    }
  }

  /** The end of its being built. */
  release(): Promise<void> {
    return this.#marker.close()
  }

  async remove(): Promise<void> {
    await this.release()
    await removeTree(this.path)
  }
}

/**
 * `built` becomes `target`, which is free, an empty directory, or, if `overwrite`, the catalog of
 * which the caller holds the marker. Durable when it resolves. ERR_EXISTS.
 */
export async function putInPlace(built: string, target: string, overwrite: boolean): Promise<void> {
  const replaced = `${target}-replaced-${randomDigits()}`
  if (overwrite) await onDisk(() => rename(target, replaced))
  try {
    await renameDirectory(built, target)
  } catch (error) {
    if (overwrite) await onDisk(() => rename(replaced, target))
    throw error
  }
  await syncDirectory(dirname(target))
  // It is replaced; the next restore removes what is left.
  if (overwrite) await new CatalogDirectory(replaced, restoredMode).remove().catch(() => {})
}

/**
 * A crash may have come between the two renames. True: the catalog is back. ERR_LOCKED while
 * somebody is at it.
 */
export async function mendExchange(target: string): Promise<boolean> {
  for (const path of await siblings(target, 'replaced')) {
    if (!(await hasMarker(path))) continue
    const marker = await openMarker(path, { create: false })
    await marker.close()
    await renameDirectory(path, target)
    await syncDirectory(dirname(target))
    return true
  }
  return false
}

/** What restores to the target have left that were killed. Requires: there is a target, or none. */
export async function removeAbandoned(target: string): Promise<void> {
  for (const path of await siblings(target, 'restore')) {
    await ifAbandoned(path, () => removeTree(path))
  }
  if ((await lookAt(target)) === undefined) return
  for (const path of await siblings(target, 'replaced')) {
    await ifAbandoned(path, () => new CatalogDirectory(path, restoredMode).remove())
  }
}

/** Locked meanwhile: whoever is just making it would build in what is removed. */
async function ifAbandoned(path: string, remove: () => Promise<void>): Promise<void> {
  let marker: Database | undefined
  try {
    marker = await openMarker(path, { create: false })
  } catch (error) {
    if (HotboltError.is(error, 'ERR_LOCKED')) return
  }
  try {
    await remove()
  } finally {
    await marker?.close().catch(() => {}) // its directory has gone
  }
}

/** Another restore took ours for abandoned, before it was locked. */
const isOvertaken = (error: unknown): boolean =>
  HotboltError.is(error, 'ERR_NOT_FOUND') || HotboltError.is(error, 'ERR_LOCKED')

/** Directories of our own; what somebody else has called so is left as it is. */
async function siblings(target: string, kind: Kind): Promise<string[]> {
  const folder = dirname(target)
  const prefix = `${basename(target)}-${kind}-`
  if ((await lookAt(folder))?.isDirectory() !== true) return []
  const names = await onDisk(() => readdir(folder))
  const found: string[] = []
  for (const name of names) {
    if (!name.startsWith(prefix) || !/^[0-9a-f]{32}$/.test(name.slice(prefix.length))) continue
    const path = join(folder, name)
    const stats = await lookAt(path)
    const isOurs = stats?.isDirectory() === true && (await onDisk(() => isOwn(path, stats)))
    if (isOurs) found.push(path)
  }
  return found
}
