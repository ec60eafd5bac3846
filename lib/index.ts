// The package: what is exported here is the public API, and nothing else is.

import { openDatabase, type Database } from './database/database.ts'
import { StoreMaintainer } from './maintenance/store-maintainer.ts'
import type { OpenOptions } from './options.ts'

/**
 * Opens the database at `path`, or makes it. One process, and one handle in it, can have a file
 * open for writing: others get ERR_LOCKED after `lockTimeoutMs`.
 */
export function open(path: string, options?: OpenOptions): Promise<Database> {
  return openDatabase(path, options, (store) => new StoreMaintainer(store))
}

export { errorCodes, HotboltError, type ErrorCode } from './errors.ts'
export { channelNames, type ChannelMessages, type ChannelName } from './channels.ts'
export { verifyEtcdSnapshot, type EtcdSnapshotReport } from './maintenance/etcd-snapshot.ts'
export type {
  BackupFormat,
  BackupStreamOptions,
  BucketOptions,
  CheckpointMode,
  CountOptions,
  DefragOptions,
  DefragPhase,
  DefragProgress,
  KeyCodecName,
  NameOptions,
  OpenOptions,
  RangeOptions,
  StoreBackupOptions,
  StoreBackupProgress,
  SyncMode,
  UpdateOptions,
  ValueCodecName,
} from './options.ts'
export type { Bytes } from './rules.ts'
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
