// Restoring: the files of a backup are fetched, compared with the manifest and handed to whoever
// makes tables of them. Nothing is visible before all of it is there; whatever goes wrong, the
// destination is as it was.

import { lstat, realpath } from 'node:fs/promises'
import { dirname, join, resolve, sep } from 'node:path'
import { HotboltError, toHotboltError } from '../errors.ts'
import { syncDirectory } from '../paths.ts'
import { makeDirectory, requireDirectory } from '../safe-files.ts'
import { messageOf } from './backup-error.ts'
import { resolveRestoreBackupOptions } from './backup-options.ts'
import type {
  ResolvedRestoreBackupOptions,
  RestoreBackupOptions,
  RestoreReport,
} from './backup-options.ts'
import { cancelled, throwIfAborted } from './cancellation.ts'
import { targetFrom } from './directory-target.ts'
import { isInside, realPlace } from './files.ts'
import type { RestoreDestination, RestoreSession } from './freeze-source.ts'
import { manifestKey, readManifest, tablePrefix } from './manifest.ts'
import type { Manifest, ManifestTable } from './manifest.ts'
import { ObjectReader } from './object-reader.ts'
import { forEachOf } from './semaphore.ts'
import { tableFilter } from './table-filter.ts'
import type { Target } from './target.ts'
import { RateLimit } from './rate-limit.ts'
import { sizeOf, TransferMeter } from './transfer-meter.ts'

const what = 'Restoring the backup'

/**
 * Restores the backup, or the tables of it that the filter names. ERR_NOT_FOUND: no such backup, or
 * none of its tables is meant; ERR_EXISTS; ERR_BACKUP_CORRUPT, naming the object; ERR_ABORTED;
 * ERR_INVALID_ARGUMENT: it is of another kind, or the destination lies among the backups.
 */
export async function restoreBackup(
  destination: RestoreDestination,
  options: RestoreBackupOptions,
): Promise<RestoreReport> {
  const resolved = resolveRestoreBackupOptions(options)
  const { name, signal, overwrite } = resolved
  const target = targetFrom(resolved.target)
  throwIfAborted(signal, what)
  const whole = await read(target, name, signal)
  const manifest = chosenOf(whole, resolved)
  requireKind(manifest, destination)
  await requireApart(target, name, destination)
  const meter = new TransferMeter(manifest, resolved.onProgress, signal)
  const isPart = manifest.tables.length < whole.tables.length
  const session = await destination.begin(manifest, { overwrite, isPart })
  try {
    await fetchTables(target, manifest, session, resolved, meter)
    throwIfAborted(meter.signal, what)
    await session.commit()
  } catch (error) {
    throw await abort(session, meter.outcome(error, what, toHotboltError))
  }
  const { tables } = manifest
  return { name, tables: tables.length, sizeBytes: sizeOf(tables), durationMs: meter.elapsedMs }
}

async function read(
  target: Target,
  name: string,
  signal: AbortSignal | undefined,
): Promise<Manifest> {
  try {
    return await readManifest(target, name, signal)
  } catch (error) {
    throw signal?.aborted === true ? cancelled(signal, what) : error
  }
}

/** The manifest of the tables that are meant. */
function chosenOf(manifest: Manifest, options: ResolvedRestoreBackupOptions): Manifest {
  const { include, exclude } = options
  if (include === undefined && exclude === undefined) return manifest
  const isMeant = tableFilter({ include, exclude })
  const tables = manifest.tables.filter((table) => isMeant(table.name))
  if (tables.length === 0) {
    const message = `No table of the backup "${manifest.name}" is included`
    throw new HotboltError('ERR_NOT_FOUND', message)
  }
  const requires = new Set(tables.map(({ owner }) => owner))
  requires.delete(manifest.name)
  return { ...manifest, tables, requires: [...requires] }
}

function requireKind(manifest: Manifest, destination: RestoreDestination): void {
  const { kind } = manifest.source
  if (destination.kind === undefined || destination.kind === kind) return
  const message = `The backup "${manifest.name}" is one of a ${kind}, not of a ${destination.kind}`
  throw new HotboltError('ERR_INVALID_ARGUMENT', message)
}

/** What takes the place of the backups would end them, and be read while it is written. */
async function requireApart(
  target: Target,
  name: string,
  { location }: RestoreDestination,
): Promise<void> {
  if (location === undefined || target.localFile === undefined) return
  const key = manifestKey(name)
  const file = await realpath(await target.localFile(key))
  const root = file.endsWith(`${sep}${key}`) ? file.slice(0, -key.length - 1) : dirname(file)
  const place = await realPlace(resolve(location))
  if (!isInside(place, root) && !isInside(root, place)) return
  const message = `${location} and the backups in ${target.location} may not lie in each other`
  throw new HotboltError('ERR_INVALID_ARGUMENT', message)
}

async function fetchTables(
  target: Target,
  manifest: Manifest,
  session: RestoreSession,
  options: ResolvedRestoreBackupOptions,
  meter: TransferMeter,
): Promise<void> {
  const slots = Math.max(1, Math.min(options.tableConcurrency, manifest.tables.length))
  const { bytesPerSecond } = options
  const limits = {
    bytesPerSecond: bytesPerSecond === 0 ? 0 : Math.max(1, Math.floor(bytesPerSecond / slots)),
    signal: meter.signal,
    onBytes: meter.addBytes,
  }
  const limit = new RateLimit(bytesPerSecond)
  const readers: ObjectReader[] = []
  const idle: ObjectReader[] = []
  try {
    await forEachOf(manifest.tables, slots, async (table) => {
      const reader = idle.pop() ?? new ObjectReader(target, limits)
      if (!readers.includes(reader)) readers.push(reader)
      try {
        await fetchTable(reader, table, session, meter)
      } catch (error) {
        meter.fail(error)
        throw error
      }
      idle.push(reader)
      await limit.keep(sizeOf([table]), meter.signal)
    })
  } finally {
    for (const reader of readers) reader.close()
  }
}

async function fetchTable(
  reader: ObjectReader,
  table: ManifestTable,
  session: RestoreSession,
  meter: TransferMeter,
): Promise<void> {
  throwIfAborted(meter.signal, what)
  const directory = await session.directoryFor(table)
  const prefix = tablePrefix(table.owner, table.name)
  const folders = new Set([directory])
  for (const file of table.files) {
    const path = join(directory, ...file.path.split('/'))
    await makeFolder(dirname(path), folders)
    await reader.copy(`${prefix}${file.path}`, file, path)
  }
  for (const folder of folders) await syncDirectory(folder)
  await session.complete(table, directory, meter.signal)
  meter.tableDone()
}

/** Makes what is missing of a folder and those above it, up to one that was made before. */
async function makeFolder(folder: string, made: Set<string>): Promise<void> {
  if (made.has(folder)) return
  await makeFolder(dirname(folder), made)
  // It is there where the file system takes two names for one.
  if (!(await makeDirectory(folder))) requireDirectory(folder, await lstat(folder))
  made.add(folder)
}

/** Gives the error to throw; the one that made it fail matters more than one of cleaning up. */
async function abort(session: RestoreSession, error: unknown): Promise<unknown> {
  try {
    await session.abort()
    return error
  } catch (second) {
    const { code, message } = toHotboltError(error)
    const both = `${message}; and what was made could not be removed: ${messageOf(second)}`
    return new HotboltError(code, both, { cause: error })
  }
}
