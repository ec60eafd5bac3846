// The package: what is exported here is the public API, and nothing else is.

import { sourceOf, type BackupSource } from './catalog/source-of.ts'
import { destinationOf } from './catalog/destination-of.ts'
import { openDatabase, type Database } from './database/database.ts'
import * as backups from './backup/backup.ts'
import type {
  BackupReport,
  CleanFreezesOptions,
  CleanReport,
  CreateBackupOptions,
  RestoreBackupOptions,
  RestoreReport,
} from './backup/backup-options.ts'
import * as cleaning from './backup/clean.ts'
import type { RestoreDestination } from './backup/freeze-source.ts'
import * as restoring from './backup/restore.ts'
import { StoreMaintainer } from './maintenance/store-maintainer.ts'
import type { OpenOptions } from './options.ts'

/**
 * Opens the database at `path`, or makes it where there is nothing or an empty file. One process,
 * and one handle in it, can have a file open for writing: others get ERR_LOCKED after
 * `lockTimeoutMs`.
 */
export function open(path: string | URL, options?: OpenOptions): Promise<Database> {
  return openDatabase(path, options, (store) => new StoreMaintainer(store))
}

/**
 * Copies the tables of a catalog, a database or another source into a new backup. When it resolves,
 * the backup is complete; a freeze that could not be released is a warning in the report.
 * ERR_EXISTS, ERR_LOCKED: there is one of this name, or one is being made. ERR_NOT_FOUND: no table
 * is meant. ERR_ABORTED; ERR_SOURCE, or a code of ours: what the source said.
 */
export async function createBackup(
  source: BackupSource,
  options: CreateBackupOptions,
): Promise<BackupReport> {
  return backups.createBackup(sourceOf(source), options)
}

/** Releases what runs that have died left frozen, and deletes what they put. */
export async function cleanFreezes(
  source: BackupSource,
  options: CleanFreezesOptions,
): Promise<CleanReport> {
  return cleaning.cleanFreezes(sourceOf(source), options)
}

export interface RestoreOptions extends RestoreBackupOptions {
  /** A path: what the backup is of, a catalog, a store or files, is put there. */
  readonly into: string | URL | RestoreDestination
}

/**
 * Restores a backup, or the tables of it that the filter names: all of them, or nothing is changed.
 * ERR_EXISTS when there is something already, unless `overwrite`; ERR_LOCKED while that is open;
 * ERR_NOT_FOUND, ERR_BACKUP_CORRUPT, ERR_ABORTED, ...
 */
export async function restoreBackup({ into, ...options }: RestoreOptions): Promise<RestoreReport> {
  return restoring.restoreBackup(destinationOf(into), options)
}

export { openCatalog } from './catalog/catalog.ts'
export { catalogDestination } from './catalog/catalog-destination.ts'
export { databaseSource, type BackupSource } from './catalog/source-of.ts'
export { storeDestination } from './catalog/store-destination.ts'
export { listBackups } from './backup/backups.ts'
export { deleteBackup } from './backup/delete.ts'
export { directoryTarget } from './backup/directory-target.ts'
export { filesDestination } from './backup/restore-files.ts'
export { pruneBackups } from './backup/retention.ts'
export { readJournal, type Journal } from './maintenance/journal.ts'
export { recoverDatabase } from './maintenance/recover.ts'
export type { RecoverReport, SkippedOperation } from './maintenance/recover.ts'
export { readBackup, type ReadBackupOptions } from './backup/read-backup.ts'
export { verifyBackup } from './backup/verify.ts'

export { errorCodes, HotboltError, type ErrorCode } from './errors.ts'
export { channelNames, type ChannelMessages, type ChannelName } from './channels.ts'
export { verifyEtcdSnapshot, type EtcdSnapshotReport } from './maintenance/etcd-snapshot.ts'
export type {
  BackupFormat,
  BackupStreamOptions,
  BucketOptions,
  CheckpointMode,
  CloseOptions,
  CountOptions,
  DefragOptions,
  DefragPhase,
  DefragProgress,
  KeyCodecName,
  NameOptions,
  OpenOptions,
  RangeOptions,
  RecoverOptions,
  StoreBackupOptions,
  StoreBackupProgress,
  SyncMode,
  UpdateOptions,
  ValueCodecName,
} from './options.ts'
export type {
  BackupIssue,
  BackupProgress,
  BackupReport,
  BackupSummary,
  CleanFreezesOptions,
  CleanReport,
  CreateBackupOptions,
  DeleteBackupOptions,
  PruneBackupsOptions,
  PruneReport,
  RestoreBackupOptions,
  RestoreReport,
  TableFilter,
  TableReport,
  TransferProgress,
  UnfreezeMode,
  VerifyBackupOptions,
  VerifyDepth,
  VerifyReport,
} from './backup/backup-options.ts'
export type {
  BeginRestoreOptions,
  CopyOptions,
  Freeze,
  FreezeSource,
  FrozenTable,
  RestoreDestination,
  RestoreSession,
  SourceTable,
  TableFile,
} from './backup/freeze-source.ts'
export type { Manifest, ManifestFile, ManifestTable } from './backup/manifest.ts'
export type { Target, TargetBody, TargetObject, UnfinishedObject } from './backup/target.ts'
export type { JournalOperation, JournalSegment } from './native.ts'
export type { Bytes } from './rules.ts'
export type { Catalog, CatalogStats, CatalogStore } from './catalog/catalog.ts'
export type {
  CatalogOpenOptions,
  CatalogOptions,
  CatalogStoreOptions,
} from './catalog/catalog-options.ts'
export type { StoreSourceOptions } from './catalog/store-source.ts'
export type { Bucket } from './database/bucket.ts'
export type { BucketView } from './database/bucket-view.ts'
export type { Json, ValueInput } from './database/codec.ts'
export type { CheckReport, Database, DatabaseStats } from './database/database.ts'
export type {
  DefragPhaseTime,
  DefragReport,
  DefragRound,
  StoreBackupReport,
} from './database/maintainer.ts'
export type { Range } from './database/range.ts'
export type { Snapshot } from './database/snapshot.ts'
export type { Transaction, TransactionBucket } from './database/transaction.ts'
export type { UpdateCallback } from './database/updates.ts'
