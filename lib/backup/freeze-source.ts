// What a backup asks of the many tables that it copies, and a restore of the place where they go:
// hotbolt's own stores and catalogs, ClickHouse, or whatever implements these interfaces.
//
// A freeze pins a stable state of one table under a name. Its record is durable before the source
// is asked for it, so that a freeze whose outcome nobody has learned can be released later; and a
// source is never believed that it has released one: isFrozen() looks.

import type { Manifest, ManifestTable } from './manifest.ts'

export interface FreezeSource {
  /** The kind of tables, as manifests name it: 'store', 'catalog', 'clickhouse', or one's own. */
  readonly kind: string
  /** Which one of its kind: a path, an address. Freezes are released where they were made. */
  readonly id: string
  /** A directory that is the source's own: no backups may be kept in it. */
  readonly location?: string
  listTables(signal: AbortSignal): Promise<readonly SourceTable[]>
  /** Pins the table's state. */
  freeze(freeze: Freeze, signal: AbortSignal): Promise<FrozenTable>
  /**
   * Pins all tables at one moment, in the order given; those that have gone meanwhile as an Error
   * in their place. A source without it cannot make one cut across its tables.
   */
  freezeAll?(
    freezes: readonly Freeze[],
    signal: AbortSignal,
  ): Promise<readonly (FrozenTable | Error)[]>
  /**
   * Releases. Without effect for what is not frozen; also called for freezes that failed, and, by a
   * later process, for those of one that has died. Not called twice at a time for one freeze.
   */
  unfreeze(freeze: Freeze, signal: AbortSignal): Promise<void>
  /** Whether anything of the freeze is left. */
  isFrozen(freeze: Freeze, signal: AbortSignal): Promise<boolean>
  /** The source's own number for an error, which `ignoreErrors` is compared with. */
  errorNumber?(error: unknown): number | undefined
}

export interface SourceTable {
  readonly name: string
  /** JSON: what the source needs to find a freeze again, whatever happens to the table. */
  readonly details?: unknown
}

/** One freeze, as it is recorded. */
export interface Freeze {
  /** Unique; letters, digits and '_' only. */
  readonly id: string
  readonly table: string
  readonly details?: unknown
  /** ISO 8601, UTC. */
  readonly createdAt: string
}

export interface FrozenTable {
  /** Equal versions of a table have equal content: an earlier backup's files are used again. */
  readonly version?: string
  /** JSON that travels in the manifest: what a restore needs besides the files. */
  readonly metadata?: unknown
  /** Puts the table's files into `directory`, which is empty and on the target's disk. */
  copy(directory: string, options: CopyOptions): Promise<readonly TableFile[]>
}

export interface CopyOptions {
  readonly signal: AbortSignal
  /** 0: no limit. */
  readonly bytesPerSecond: number
  /** Called with the bytes copied since it was called last. */
  readonly onBytes: (bytes: number) => void
}

export interface TableFile {
  /** Relative to the directory, with '/'. */
  readonly path: string
  readonly sizeBytes: number
  /** In hexadecimal; computed by the backup when the source has not. */
  readonly sha256?: string
}

/** Where a backup is restored into. */
export interface RestoreDestination {
  /** Of what kind of source the backup has to be; undefined: any. */
  readonly kind: string | undefined
  /** The directory that it makes or replaces: the backups may not lie in it, nor it among them. */
  readonly location?: string
  /** ERR_EXISTS when there is something already, unless `overwrite`. */
  begin(manifest: Manifest, options: BeginRestoreOptions): Promise<RestoreSession>
}

export interface BeginRestoreOptions {
  readonly overwrite: boolean
  /** The backup has more tables than are restored. */
  readonly isPart: boolean
}

/** Nothing is visible under the destination before commit(); abort() leaves it as it was. */
export interface RestoreSession {
  /** A new directory for the table's files. */
  directoryFor(table: ManifestTable): Promise<string>
  /** The files are in it, with the sizes and hashes of the manifest, and synced. */
  complete(table: ManifestTable, directory: string, signal: AbortSignal): Promise<void>
  commit(): Promise<void>
  abort(): Promise<void>
}
