// One frozen table after another into the target: the source's files go into a directory of the
// run's own, those without a hash are hashed, and each becomes an object.
//
// What a source says of its files is looked at: a path that leads elsewhere, a link, another size.

import { lstat, mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { HotboltError, onDisk } from '../errors.ts'
import { encodeName } from '../names.ts'
import { directoryMode } from '../safe-files.ts'
import { targetError } from './backup-error.ts'
import { withGrace, type Clock } from './clock.ts'
import type { Freeze, FrozenTable, TableFile } from './freeze-source.ts'
import type { GuardedSource } from './guarded-source.ts'
import { isFilePath, tablePrefix, type ManifestFile } from './manifest.ts'
import type { Target } from './target.ts'
import { Transfer } from './transfer.ts'

export interface TableCopierOptions {
  readonly backup: string
  readonly source: GuardedSource
  readonly target: Target
  /** The run's own directory; it exists. */
  readonly staging: string
  /** Of this copier alone; 0: no limit. */
  readonly bytesPerSecond: number
  /** How long to wait for what has been cancelled. */
  readonly graceMs: number
  readonly clock: Clock
  readonly signal: AbortSignal
  readonly onBytes: (bytes: number) => void
}

/** One table at a time. */
export class TableCopier {
  readonly #options: TableCopierOptions
  #transfer: Transfer | undefined

  constructor(options: TableCopierOptions) {
    this.#options = options
  }

  /**
   * The table's files are in directoryOf() then. Rejects as the source does, or with ERR_SOURCE.
   */
  async stage(freeze: Freeze, frozen: FrozenTable): Promise<readonly TableFile[]> {
    const { source, signal, bytesPerSecond, onBytes } = this.#options
    const directory = this.#directoryOf(freeze.table)
    await onDisk(() => mkdir(directory, { mode: directoryMode }))
    let told = 0
    const count = (bytes: number): void => {
      told += bytes
      onBytes(bytes)
    }
    const options = { signal, bytesPerSecond, onBytes: count }
    const files = await source.copy(freeze, frozen, directory, options)
    await requireFiles(freeze.table, directory, files)
    // Not every source counts, and none has to count exactly.
    onBytes(files.reduce((sum, file) => sum + file.sizeBytes, 0) - told)
    return files
  }

  /** Puts the staged files. */
  async store(table: string, files: readonly TableFile[]): Promise<ManifestFile[]> {
    const directory = this.#directoryOf(table)
    const prefix = tablePrefix(this.#options.backup, table)
    const stored: ManifestFile[] = []
    for (const { path, sizeBytes, sha256 } of files) {
      const file = join(directory, path)
      const hash = sha256 ?? (await this.#hash(file, table, sizeBytes))
      await this.#put(`${prefix}${path}`, file, sizeBytes)
      stored.push({ path, sizeBytes, sha256: hash })
    }
    return stored
  }

  /** Removes what is staged. */
  async discard(table: string): Promise<void> {
    await onDisk(() => rm(this.#directoryOf(table), { recursive: true, force: true }))
  }

  close(): void {
    this.#transfer?.close()
  }

  #directoryOf(table: string): string {
    return join(this.#options.staging, encodeName(table))
  }

  async #hash(file: string, table: string, sizeBytes: number): Promise<string> {
    const { signal } = this.#options
    signal.throwIfAborted()
    this.#transfer ??= new Transfer({ signal })
    const hashed = await this.#transfer.hash(file)
    if (hashed.sizeBytes !== sizeBytes) throw wrongSize(table, file, sizeBytes, hashed.sizeBytes)
    return hashed.sha256
  }

  async #put(key: string, file: string, sizeBytes: number): Promise<void> {
    const { target, signal, graceMs, clock } = this.#options
    signal.throwIfAborted()
    try {
      const put = (async () => target.put(key, { file, sizeBytes }, signal))()
      await withGrace(put, signal, graceMs, clock)
    } catch (error) {
      throw targetError(error, `Storing ${key} in ${target.location} failed`)
    }
  }
}

async function requireFiles(
  table: string,
  directory: string,
  files: readonly TableFile[],
): Promise<void> {
  const paths = new Set<string>()
  for (const { path, sizeBytes, sha256 } of files) {
    const isSound =
      isFilePath(path) &&
      !paths.has(path) &&
      (sha256 === undefined || /^[0-9a-f]{64}$/.test(sha256))
    if (!isSound) throw badFile(table, `a file that a backup cannot hold: ${JSON.stringify(path)}`)
    paths.add(path)
    const found = await onDisk(() => lstat(join(directory, path)))
    if (!found.isFile()) throw badFile(table, `${path}, which is no regular file`)
    if (found.size !== sizeBytes) throw wrongSize(table, path, sizeBytes, found.size)
  }
}

function badFile(table: string, what: string): HotboltError {
  return new HotboltError('ERR_SOURCE', `The source gave for table "${table}" ${what}`)
}

function wrongSize(table: string, path: string, expected: number, found: number): HotboltError {
  return badFile(table, `${path} with ${expected} bytes, but it has ${found}`)
}
