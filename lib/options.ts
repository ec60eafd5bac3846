// The options of a database: their contracts, defaults and validation.

import {
  checked,
  milliseconds,
  oneOf,
  rule,
  withDefaults,
  type Bytes,
  type Defaults,
  type Resolved,
  type Rules,
} from './rules.ts'

export interface OpenOptions {
  /** Nothing is written, not even a leftover journal's content: that is replayed in memory. */
  readonly readOnly?: boolean | undefined
  /** Make the file when it does not exist (default true); otherwise ERR_NOT_FOUND. */
  readonly create?: boolean | undefined
  /** Permission bits of a new file, exactly these whatever the umask is; 0o600. */
  readonly mode?: number | undefined
  /** Of a new file: a power of two from 1024 to 65536; the operating system's page size. */
  readonly pageSize?: number | undefined
  /** How long to wait for another process to release the file before ERR_LOCKED; 0. */
  readonly lockTimeoutMs?: number | undefined
  /**
   * What an acknowledged write has survived: power loss ('always'), a crash of the process and all
   * but the last `syncIntervalMs` before a power loss ('interval'), or a crash of the process.
   */
  readonly sync?: SyncMode | undefined
  readonly syncIntervalMs?: number | undefined
  /**
   * 'flush': every flush() also commits to the page file, so that a copy of the file alone has
   * everything. (Other programs cannot open it meanwhile: it is locked, as bbolt locks it.)
   */
  readonly checkpoint?: CheckpointMode | undefined
  /**
   * Bytes of recent writes, in memory or in the journal; 32 MiB. At three quarters of it they are
   * merged into the page file, and at one and a half times as much acknowledgements wait for that.
   */
  readonly checkpointBytes?: number | undefined
  /** The longest that a write waits for its merge into the page file; 10 s. 0: no limit. */
  readonly checkpointIntervalMs?: number | undefined
  /** How long after the last write all writes are merged into the page file; 1 s. 0: never. */
  readonly checkpointIdleMs?: number | undefined
  /**
   * Bytes of writes that a defragmentation may keep in memory, besides what waited for its merge
   * when the copy began; 256 MiB. Where as many are kept, acknowledgements wait.
   */
  readonly maxRetainedBytes?: number | undefined
}

export type SyncMode = 'always' | 'interval' | 'never'
export type CheckpointMode = 'auto' | 'flush'

/** What keys and bucket names come back as. */
export type KeyCodecName = 'buffer' | 'utf8'
/** What values come back as; 'json' values are also given as objects. */
export type ValueCodecName = 'buffer' | 'utf8' | 'json'

export interface BucketOptions {
  readonly key?: KeyCodecName | undefined
  readonly value?: ValueCodecName | undefined
}

export interface NameOptions {
  readonly key?: KeyCodecName | undefined
}

/** Which keys; bounds combine with `prefix`. */
export interface CountOptions {
  readonly gte?: Bytes | undefined
  readonly gt?: Bytes | undefined
  readonly lte?: Bytes | undefined
  readonly lt?: Bytes | undefined
  readonly prefix?: Bytes | undefined
}

export interface RangeOptions extends CountOptions {
  /** From the last key to the first. */
  readonly reverse?: boolean | undefined
  /** At most this many entries. */
  readonly limit?: number | undefined
}

export interface UpdateOptions {
  /** How often a callback is run again after a conflict before ERR_CONFLICT; 10. */
  readonly retries?: number | undefined
}

export interface CloseOptions {
  /** How long to wait for updates whose callbacks have not settled; 5000. */
  readonly timeoutMs?: number | undefined
}

export interface DefragOptions {
  /** Cancels until the new file is in place; the database is then as it was. */
  readonly signal?: AbortSignal | undefined
  /** Called on each change of phase, and every 100 ms while copying. */
  readonly onProgress?: ((progress: DefragProgress) => void) | undefined
  /** How full the pages of the new file are made, 0.1 to 1; 0.9. */
  readonly fillPercent?: number | undefined
  /**
   * Limit of the copy's speed, not of catching up after it; 0: none but the disk's own latency.
   */
  readonly bytesPerSecond?: number | undefined
}

export interface DefragProgress {
  readonly phase: DefragPhase
  readonly bytesCopied: number
  readonly entriesCopied: number
  /** Estimate of the new file's size. */
  readonly bytesTotal: number
  /** Rounds of catching up that were begun. */
  readonly round: number
  /** Bytes of writes that the new file does not hold yet. */
  readonly backlogBytes: number
  readonly elapsedMs: number
}

export const defragPhases = [
  'idle',
  'preparing',
  'copying',
  'catching-up',
  'switching',
  'cleaning',
  'done',
  'aborting',
  'aborted',
] as const

export type DefragPhase = (typeof defragPhases)[number]

/** Where a test can hold a defragmentation. */
export type PausePoint =
  | 'before-copy'
  | 'copy-started'
  | 'after-copy'
  | 'round'
  | 'before-publish'
  | 'after-publish'
  | 'before-install'
  | 'after-install'
  | 'before-clean'

/** For tests: `pausePoint` is awaited at each point. */
export interface InternalDefragOptions extends DefragOptions {
  readonly pausePoint?: ((point: PausePoint) => Promise<void> | void) | undefined
}

export interface StoreBackupOptions {
  /**
   * Without the free pages, bottom-up, in key order: smaller, and slower to write. Default: false,
   * page by page.
   */
  readonly compact?: boolean | undefined
  /** Of a compact copy: how full its pages are made, 0.1 to 1; 0.9. */
  readonly fillPercent?: number | undefined
  /** 'etcd-snapshot' appends a SHA-256 of the file, as `etcdctl snapshot restore` wants it. */
  readonly format?: BackupFormat | undefined
  /** Opens the copy and checks every page of it before it gets its name; true. */
  readonly verify?: boolean | undefined
  /** Cancels until the file has its name; nothing is left. */
  readonly signal?: AbortSignal | undefined
  /** Called every 100 ms, and at the end. */
  readonly onProgress?: ((progress: StoreBackupProgress) => void) | undefined
  /** Limit of the copy's speed; 0: none but the disk's own latency. */
  readonly bytesPerSecond?: number | undefined
}

export type BackupFormat = 'bbolt' | 'etcd-snapshot'

export interface StoreBackupProgress {
  readonly bytesCopied: number
  /** Estimate of the new file's size. */
  readonly bytesTotal: number
  readonly elapsedMs: number
}

export interface RecoverOptions {
  /**
   * Does the operations of a stale journal on top of what the database holds now, as one
   * transaction. What another program has written since to the same keys is overwritten.
   */
  readonly applyStale?: boolean | undefined
  /** Of a stale journal: leaves out the transactions before this sequence number. */
  readonly fromSeq?: number | undefined
}

export interface BackupStreamOptions {
  /** Built beside the database first, which takes its room there. Default: false. */
  readonly compact?: boolean | undefined
  readonly fillPercent?: number | undefined
  readonly format?: BackupFormat | undefined
  readonly signal?: AbortSignal | undefined
  readonly bytesPerSecond?: number | undefined
}

const openRules: Rules<OpenOptions> = {
  readOnly: rule.boolean,
  create: rule.boolean,
  mode: rule.permissions,
  pageSize: rule.pageSize,
  lockTimeoutMs: milliseconds(0),
  sync: oneOf('always', 'interval', 'never'),
  syncIntervalMs: milliseconds(1),
  checkpoint: oneOf('auto', 'flush'),
  checkpointBytes: rule.positiveInteger,
  checkpointIntervalMs: milliseconds(0),
  checkpointIdleMs: milliseconds(0),
  maxRetainedBytes: rule.positiveInteger,
}
const nameRules: Rules<NameOptions> = { key: oneOf('buffer', 'utf8') }
const bucketRules: Rules<BucketOptions> = { ...nameRules, value: oneOf('buffer', 'utf8', 'json') }
const countRules: Rules<CountOptions> = {
  gte: rule.bytes,
  gt: rule.bytes,
  lte: rule.bytes,
  lt: rule.bytes,
  prefix: rule.bytes,
}
const rangeRules: Rules<RangeOptions> = {
  ...countRules,
  reverse: rule.boolean,
  limit: rule.nonNegativeInteger,
}
const updateRules: Rules<UpdateOptions> = { retries: rule.nonNegativeInteger }
const closeRules: Rules<CloseOptions> = { timeoutMs: milliseconds(0) }
const defragRules: Rules<InternalDefragOptions> = {
  signal: rule.signal,
  onProgress: rule.callback,
  fillPercent: rule.fraction,
  bytesPerSecond: rule.nonNegativeInteger,
  pausePoint: rule.callback,
}

const backupStreamRules: Rules<BackupStreamOptions> = {
  compact: rule.boolean,
  fillPercent: rule.fraction,
  format: oneOf('bbolt', 'etcd-snapshot'),
  signal: rule.signal,
  bytesPerSecond: rule.nonNegativeInteger,
}
const storeBackupRules: Rules<StoreBackupOptions> = {
  ...backupStreamRules,
  verify: rule.boolean,
  onProgress: rule.callback,
}

const recoverRules: Rules<RecoverOptions> = {
  applyStale: rule.boolean,
  fromSeq: rule.positiveInteger,
}

const openDefaults: Defaults<OpenOptions, Exclude<keyof OpenOptions, 'pageSize'>> = {
  readOnly: false,
  create: true,
  mode: 0o600,
  lockTimeoutMs: 0,
  sync: 'always',
  syncIntervalMs: 100,
  checkpoint: 'auto',
  checkpointBytes: 32 << 20,
  checkpointIntervalMs: 10_000,
  checkpointIdleMs: 1000,
  maxRetainedBytes: 256 << 20,
}
const updateDefaults: Defaults<UpdateOptions, 'retries'> = { retries: 10 }
const closeDefaults: Defaults<CloseOptions, 'timeoutMs'> = { timeoutMs: 5000 }
const defragDefaults: Defaults<InternalDefragOptions, 'fillPercent' | 'bytesPerSecond'> = {
  fillPercent: 0.9,
  bytesPerSecond: 0,
}

const backupStreamDefaults: Defaults<
  BackupStreamOptions,
  Exclude<keyof BackupStreamOptions, 'signal'>
> = {
  compact: false,
  fillPercent: 0.9,
  format: 'bbolt',
  bytesPerSecond: 0,
}
const storeBackupDefaults: Defaults<
  StoreBackupOptions,
  keyof typeof backupStreamDefaults | 'verify'
> = { ...backupStreamDefaults, verify: true }

export type ResolvedOpenOptions = Resolved<OpenOptions, keyof typeof openDefaults>
export type ResolvedUpdateOptions = Resolved<UpdateOptions, keyof typeof updateDefaults>
export type ResolvedCloseOptions = Resolved<CloseOptions, keyof typeof closeDefaults>
export type ResolvedDefragOptions = Resolved<InternalDefragOptions, keyof typeof defragDefaults>

export type ResolvedBackupStreamOptions = Resolved<
  BackupStreamOptions,
  keyof typeof backupStreamDefaults
>
export type ResolvedStoreBackupOptions = Resolved<
  StoreBackupOptions,
  keyof typeof storeBackupDefaults
>

export const resolveOpenOptions = (given?: OpenOptions): ResolvedOpenOptions =>
  withDefaults(openDefaults, checked(openRules, given))
export const resolveUpdateOptions = (given?: UpdateOptions): ResolvedUpdateOptions =>
  withDefaults(updateDefaults, checked(updateRules, given))
export const resolveCloseOptions = (given?: CloseOptions): ResolvedCloseOptions =>
  withDefaults(closeDefaults, checked(closeRules, given))
export const resolveDefragOptions = (given?: InternalDefragOptions): ResolvedDefragOptions =>
  withDefaults(defragDefaults, checked(defragRules, given))
export const resolveRecoverOptions = (
  given?: RecoverOptions,
): Resolved<RecoverOptions, 'applyStale'> =>
  withDefaults({ applyStale: false }, checked(recoverRules, given))
export const resolveBackupStreamOptions = (
  given?: BackupStreamOptions,
): ResolvedBackupStreamOptions =>
  withDefaults(backupStreamDefaults, checked(backupStreamRules, given))
export const resolveStoreBackupOptions = (given?: StoreBackupOptions): ResolvedStoreBackupOptions =>
  withDefaults(storeBackupDefaults, checked(storeBackupRules, given))
export const checkBucketOptions = (given?: BucketOptions): BucketOptions =>
  checked(bucketRules, given)
export const checkNameOptions = (given?: NameOptions): NameOptions => checked(nameRules, given)
export const checkCountOptions = (given?: CountOptions): CountOptions => checked(countRules, given)
export const checkRangeOptions = (given?: RangeOptions): RangeOptions => checked(rangeRules, given)
