// Loads the addon and declares its verbs: the only module that touches the binary.
//
// Native exports verbs over opaque handles; the nouns live in TypeScript. Every verb throws
// HotboltError (it is given the class by `setup`). Handles are typed below by brands only: native
// checks them again. Sequence numbers are numbers: a database would need 285 years at a million
// transactions a second to reach 2^53.

import { createRequire } from 'node:module'
import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { isMainThread } from 'node:worker_threads'
import { errorCodes, HotboltError } from './errors.ts'

declare const brand: unique symbol
type Handle<Name extends string> = { readonly [brand]: Name }
export type StoreHandle = Handle<'store'>
export type SnapshotHandle = Handle<'snapshot'>
export type TxHandle = Handle<'tx'>
export type BucketHandle = Handle<'bucket'>
export type CursorHandle = Handle<'cursor'>
export type DefragHandle = Handle<'defrag'>
export type BackupHandle = Handle<'backup'>
export type ImageHandle = Handle<'image'>
export type TransferHandle = Handle<'transfer'>
export type LeftoverHandle = Handle<'leftover'>
/** What reads go through: the newest state, a snapshot, or a transaction's own view. */
export type Reader = StoreHandle | SnapshotHandle | TxHandle
/** What writes go through: a transaction of their own, or one that is being built. */
export type Writer = StoreHandle | TxHandle
export type Bytes = string | Uint8Array

export interface NativeOpenOptions {
  readonly readOnly: boolean
  readonly create: boolean
  readonly mode: number
  /** 0: the operating system's page size for a new file. */
  readonly pageSize: number
  readonly lockTimeoutMs: number
  readonly sync: 'always' | 'interval' | 'never'
  readonly syncIntervalMs: number
  readonly checkpointBytes: number
  readonly maxRetainedBytes: number
}

/** Called on the JS thread. */
export interface StoreEvents {
  /**
   * Everything up to `seq` is durable in the sense of the `sync` option; everything up to
   * `syncedSeq`
   * has been synced.
   */
  readonly onDurable: (seq: number, syncedSeq: number) => void
  /** The journal failed: the store is poisoned. Once. */
  readonly onFailure: (error: HotboltError) => void
  /** A write was refused for want of space, which a checkpoint may give back. */
  readonly onRefusal: () => void
}

export interface NativeStats {
  readonly path: string
  readonly pageSize: number
  readonly txid: number
  readonly sizeBytes: number
  readonly highWaterBytes: number
  readonly freePages: number
  readonly pendingPages: number
  readonly freelistLoaded: boolean
  readonly memtableBytes: number
  readonly sealedMemtables: number
  readonly sealedBytes: number
  readonly journalBytes: number
  readonly lastSeq: number
  readonly durableSeq: number
  readonly snapshots: number
  readonly oldestSnapshotSeq: number
  readonly pendingReclaimBytes: number
  readonly syncLatencyUs: number
  readonly poisoned: boolean
  readonly checkpointFailing: boolean
  readonly coveredSeq: number
}

export interface NativeCheckReport {
  readonly issues: ReadonlyArray<{ readonly page: number; readonly message: string }>
  readonly issueCount: number
  readonly pageCount: number
  readonly reachablePages: number
  readonly freePages: number
  readonly bucketCount: number
  readonly keyCount: number
  readonly keyBytes: number
  readonly valueBytes: number
  readonly leafBytesUsed: number
  readonly leafBytes: number
  readonly depthMax: number
}

export interface DefragProgress {
  readonly bytesCopied: number
  readonly entriesCopied: number
  /** Estimate of the copy's size in bytes: pages in use of the pinned snapshot. */
  readonly bytesTotal: number
  /** Of writes that the new file does not hold yet, as they are in the journal. */
  readonly backlogBytes: number
  /** By how much the journal may grow while the copy goes on. */
  readonly spareBytes: number
  /** The new file, and the memtables that would lie above it, hold everything. */
  readonly coversBase: boolean
  /** That, and these memtables are no more than a checkpoint's work. */
  readonly caughtUp: boolean
}

export interface DefragStep {
  readonly bytes: number
  readonly entries: number
  readonly complete: boolean
}

/** Which state a snapshot is: equal identities have equal content. */
export interface NativeSnapshotInfo {
  /** 16 bytes in hexadecimal; '' for a file that only others have written. */
  readonly databaseId: string
  /** Of the newest write that it sees. */
  readonly seq: number
  /** Of the newest write that the page file under it holds. */
  readonly coveredSeq: number
  /** Of the page file under it: number and checksum (hexadecimal) of its meta. */
  readonly txid: number
  readonly metaChecksum: string
  readonly pageSize: number
  /** The page file's pages up to its high-water mark: a copy that is not compacted. */
  readonly imageBytes: number
}

export interface NativeBackupOptions {
  /** Of the new file; its directory has to exist. */
  readonly path: string
  readonly compact: boolean
  readonly fillPercent: number
  /** 0: no limit but the disk's own latency. */
  readonly bytesPerSecond: number
  readonly format: 'bbolt' | 'etcd-snapshot'
  /** Opens the copy and checks it completely before it gets its name. */
  readonly verify: boolean
  /** Whether the SHA-256 of the file is wanted. */
  readonly hash: boolean
}

export interface NativeBackupResult {
  readonly sizeBytes: number
  /** Of the whole file, in hexadecimal; '' when it was not asked for. */
  readonly sha256: string
  /** What an etcd snapshot ends with, in hexadecimal: the hash of everything before; else ''. */
  readonly snapshotSha256: string
  readonly txid: number
}

export interface CopiedFile {
  readonly sizeBytes: number
  /** In hexadecimal. */
  readonly sha256: string
}

/** A change of one bucket. */
export interface JournalOperation {
  /** Of its transaction. */
  readonly seq: number
  readonly kind: 'put' | 'delete' | 'create-bucket' | 'delete-bucket' | 'set-sequence'
  /** The names from the top; of a bucket that is created or deleted, those of its parent. */
  readonly bucket: readonly Buffer[]
  /** Or the name of a bucket; not of 'set-sequence'. */
  readonly key?: Buffer
  /** Of 'put'. */
  readonly value?: Buffer
  /** Of 'set-sequence'. */
  readonly sequence?: bigint
}

/** A file of a journal. */
export interface JournalSegment {
  readonly path: string
  readonly number: number
  readonly firstSeq: number
  /** 16 bytes in hexadecimal. */
  readonly databaseId: string
}

/** What the journal beside a closed database holds. */
export interface NativeLeftover {
  readonly handle: LeftoverHandle
  readonly segments: readonly JournalSegment[]
  /** Whether open() merges it; otherwise it refuses it. */
  readonly isBound: boolean
  readonly coveredSeq?: number
  readonly transactions: number
  readonly firstSeq: number
  readonly lastSeq: number
}

/** Bounds of a range; undefined: open. */
export interface CursorBounds {
  readonly lower: Bytes | undefined
  readonly lowerInclusive: boolean
  readonly upper: Bytes | undefined
  readonly upperInclusive: boolean
}

export interface Binding {
  readonly errorCodes: readonly string[]
  /** Values up to this many bytes arrive in `scratch`, larger ones as a Buffer. */
  readonly scratch: Buffer
  /** Entry lengths of a cursor batch: pairs of key length, value length. */
  readonly batchLengths: Uint32Array

  setup(errorClass: typeof HotboltError): void
  /** To be called when somebody has changed what the process does about SIGBUS. */
  guardMappings(): void

  open(path: string, options: NativeOpenOptions, events: StoreEvents): Promise<StoreHandle>
  /**
   * Writes everything into the page file, removes the journal, releases the file. Waits for
   * running checkpoints.
   */
  close(store: StoreHandle): Promise<void>
  stats(store: StoreHandle): NativeStats

  /** A bucket by name inside `parent` (undefined: the root). Nothing is looked up or created. */
  bucket(parent: BucketHandle | undefined, name: Bytes): BucketHandle
  rootBucket(): BucketHandle

  // Reads. A missing bucket reads as an empty one.
  /**
   * Bytes of the value in `scratch`, or -1 when missing, or a Buffer when it does not fit there.
   */
  get(reader: Reader, bucket: BucketHandle, key: Bytes): number | Buffer
  /** Copies as much as fits into `target`; returns the value's length, or -1 when missing. */
  getInto(reader: Reader, bucket: BucketHandle, key: Bytes, target: Uint8Array): number
  has(reader: Reader, bucket: BucketHandle, key: Bytes): boolean
  bucketExists(reader: Reader, bucket: BucketHandle): boolean
  sequence(reader: Reader, bucket: BucketHandle): bigint
  /** Its root page in the file; -1: it has none of its own (inline), 0: it is not in the file. */
  bucketRoot(reader: Reader, bucket: BucketHandle): number
  count(reader: Reader, bucket: BucketHandle, bounds: CursorBounds): number

  // Writes. Through a store: a transaction of its own, visible at once; returns its sequence
  // number.
  put(writer: Writer, bucket: BucketHandle, key: Bytes, value: Bytes): number
  remove(writer: Writer, bucket: BucketHandle, key: Bytes): number
  createBucket(writer: Writer, bucket: BucketHandle): number
  deleteBucket(writer: Writer, bucket: BucketHandle): number
  setSequence(writer: Writer, bucket: BucketHandle, value: bigint): number

  /** Wakes the journal for everything written so far; returns the newest sequence number. */
  submit(store: StoreHandle): number
  /** The same, and synced whatever the `sync` option says: onDurable tells when. */
  forceSync(store: StoreHandle): number
  /**
   * What waits for a checkpoint, into `figures`: bytes of the active memtable, of the sealed ones
   * (in memory or in the journal, whichever is more), bytes written to the journal since the store
   * was opened, and 1 if the disk is so full that a checkpoint should make room now. What follows
   * from them is decided here, in TypeScript.
   */
  backlog(store: StoreHandle, figures: Float64Array): void
  /** Whether somebody waits for the checkpoint that runs: then it waits for no sync. */
  hurry(store: StoreHandle, on: boolean): void
  snapshot(store: StoreHandle): SnapshotHandle
  closeSnapshot(snapshot: SnapshotHandle): void

  /** Begins a transaction over the newest state. */
  begin(store: StoreHandle): TxHandle
  /**
   * Sequence number; -1: something it read was changed meanwhile, or its writes no longer apply.
   * Ends it either way.
   */
  commit(tx: TxHandle): number
  rollback(tx: TxHandle): void

  /** mode: 'entries' (keys with values), 'keys', or 'buckets' (names of child buckets). */
  cursor(
    reader: Reader,
    bucket: BucketHandle,
    bounds: CursorBounds,
    reverse: boolean,
    mode: 'entries' | 'keys' | 'buckets',
  ): CursorHandle
  /**
   * Fills `slab` with keys and values back to back and `batchLengths` with their lengths; at
   * most `limit` entries.
   * Returns the number of entries; -1 at the end; -n when the next entry needs a slab of n bytes;
   * 0 when so many buckets or keys were passed over that another call is to go on.
   */
  read(cursor: CursorHandle, slab: Uint8Array, limit: number): number
  /** The last `unread` entries of the newest batch were not looked at. */
  closeCursor(cursor: CursorHandle, unread: number): void

  /** Makes the active memtable immutable and begins a new one. False when it was empty. */
  seal(store: StoreHandle): boolean
  /**
   * Merges the sealed memtables into the page file, on a worker, which has a low priority unless
   * it is urgent; the new state is installed when it resolves. Partial: there was space for the
   * oldest only, and now there may be for the rest.
   */
  checkpoint(
    store: StoreHandle,
    urgent: boolean,
  ): Promise<{ readonly memtables: number; readonly bytes: number; readonly isPartial: boolean }>

  check(store: StoreHandle): Promise<NativeCheckReport>

  // Online defragmentation, one verb per step; the Defragmenter orders them.
  /** Checks disk space, makes the temporary file. Requires: no other defragmentation. */
  defragPrepare(
    store: StoreHandle,
    options: { readonly fillPercent: number; readonly bytesPerSecond: number },
  ): Promise<DefragHandle>
  /**
   * Pins the page file's state; from here on sealed memtables are kept. JS thread, microseconds.
   */
  defragPin(defrag: DefragHandle): void
  defragCopy(defrag: DefragHandle): Promise<void>
  defragProgress(defrag: DefragHandle): DefragProgress
  /**
   * Seals the active memtable and replays everything that the new file lacks; or, when much of that
   * is in the journal only, a part of it: to be called again until it is `complete`. On a thread of
   * low priority, unless it is urgent.
   */
  defragCatchUp(defrag: DefragHandle, urgent: boolean): Promise<DefragStep>
  /**
   * Syncs, renames over the database, syncs the directory. After it has resolved there is no way
   * back.
   */
  defragPublish(defrag: DefragHandle): Promise<void>
  /** The base of the store becomes the new file. JS thread, microseconds. */
  defragInstall(defrag: DefragHandle): void
  /** Recycles journal segments; empties the old file now, or when its last reader ends. */
  defragClean(defrag: DefragHandle): Promise<void>
  /** Makes a running defragCopy, defragCatchUp reject with ERR_ABORTED soon. */
  defragCancel(defrag: DefragHandle): void
  /**
   * Removes the temporary file and gives the kept memtables back to checkpoints. Nothing may be
   * running.
   */
  defragAbort(defrag: DefragHandle): Promise<void>

  snapshotInfo(snapshot: SnapshotHandle): NativeSnapshotInfo

  // A backup of one store: what a snapshot sees, as a file of its own.
  /**
   * Holds on to the snapshot's state, so that the snapshot may be closed. JS thread, microseconds.
   */
  backup(snapshot: SnapshotHandle, options: NativeBackupOptions): BackupHandle
  /**
   * Copies into a temporary file beside the new one, syncs, renames, syncs the directory; on a
   * thread of the store. ERR_EXISTS when there is something at `path`, ERR_NOT_A_FILE when that is
   * no regular file. Nothing is left when it fails. Once.
   */
  backupRun(backup: BackupHandle): Promise<NativeBackupResult>
  backupProgress(backup: BackupHandle): {
    readonly bytesCopied: number
    readonly bytesTotal: number
  }
  /** Makes a running backupRun reject with ERR_ABORTED soon. */
  backupCancel(backup: BackupHandle): void

  // Looking at everything a snapshot sees, on a thread of its own. The active memtable is sealed if
  // it holds any of that.
  /** SHA-256 of all buckets, sequences, keys and values, in hexadecimal. */
  hashSnapshot(snapshot: SnapshotHandle): Promise<string>
  /** The number of keys. */
  countSnapshot(
    snapshot: SnapshotHandle,
    bucket: BucketHandle,
    bounds: CursorBounds,
  ): Promise<number>

  // Reading a whole file in pieces, on a thread of its own.
  /**
   * The snapshot's page file as a plain bbolt file that ends at the high-water mark, through the
   * pinned descriptor. ERR_BUSY when memtables lie above it (checkpoint first). Holds on to the
   * state, so that the snapshot may be closed.
   */
  imageOfSnapshot(snapshot: SnapshotHandle): ImageHandle
  /** The same of the page file's newest state: everything that a checkpoint has merged. */
  imageOfStore(store: StoreHandle): ImageHandle
  /** Any regular file; with `unlink` its name is removed once it is open. */
  imageOfFile(path: string, unlink: boolean): Promise<ImageHandle>
  imageBytes(image: ImageHandle): number
  /** The bytes from `offset` on, at most `size` and 1 MiB of them; empty at the end. */
  readImage(image: ImageHandle, offset: number, size: number): Promise<Buffer>
  /** SHA-256 of the first `sizeBytes` bytes, in hexadecimal. */
  hashImage(image: ImageHandle, sizeBytes: number): Promise<string>
  /** Lets the state or file go. May be called twice, and while a read runs (which rejects). */
  closeImage(image: ImageHandle): void

  /**
   * Reads the journal beside `journalPath` into memory, under the shared lock of the database at
   * `path`; `coveredSeq` says what that holds, if it is known better than by the file.
   */
  readLeftover(
    path: string,
    journalPath: string,
    coveredSeq: number | undefined,
  ): Promise<NativeLeftover>
  /** The next ones, at most `limit`; `fromStart`: the first. */
  leftoverOperations(
    leftover: LeftoverHandle,
    fromStart: boolean,
    limit: number,
  ): readonly JournalOperation[]

  // Moving and hashing whole files, on a thread of its own for each handle; one call at a time.
  /** bytesPerSecond 0: no limit. */
  transfer(bytesPerSecond: number): TransferHandle
  /**
   * Copies a regular file to a new one (ERR_EXISTS), which is synced; its directory is not.
   * Symbolic links at the end of either path are refused (ERR_NOT_A_FILE).
   */
  transferCopy(transfer: TransferHandle, source: string, target: string): Promise<CopiedFile>
  /** Of the first `sizeBytes` bytes, or of all. ERR_TRUNCATED when the file has fewer. */
  transferHash(
    transfer: TransferHandle,
    path: string,
    sizeBytes: number | undefined,
  ): Promise<CopiedFile>
  /** Bytes moved or hashed by all calls so far. */
  transferProgress(transfer: TransferHandle): number
  /** What runs, and all later calls, reject with ERR_ABORTED. */
  transferCancel(transfer: TransferHandle): void
  /** Cancels, and ends the thread without waiting for it. May be called twice. */
  transferClose(transfer: TransferHandle): void
}

function packageRoot(): string {
  let directory = dirname(fileURLToPath(import.meta.url))
  while (!existsSync(join(directory, 'package.json')) && directory !== dirname(directory)) {
    directory = dirname(directory)
  }
  return directory
}

function load(): Binding {
  const root = packageRoot()
  const candidates = [
    join(root, 'prebuilds', `${process.platform}-${process.arch}`, 'hotbolt.node'),
    join(root, 'build', 'Release', 'hotbolt.node'),
  ]
  const path = addonUnderTest(root) ?? candidates.find((candidate) => existsSync(candidate))
  if (path === undefined) {
    const platform = `${process.platform}-${process.arch}`
    const looked = candidates.join(' and ')
    throw new HotboltError('ERR_INTERNAL', `No binary for ${platform}; looked for ${looked}`)
  }
  const loaded = createRequire(import.meta.url)(path) as Binding
  const same =
    loaded.errorCodes.length === errorCodes.length &&
    loaded.errorCodes.every((code, index) => code === errorCodes[index])
  if (!same) throw new HotboltError('ERR_INTERNAL', `${path} belongs to another version of hotbolt`)
  loaded.setup(HotboltError)
  if (isMainThread) keepGuard(loaded)
  return loaded
}

/** Only beside the sources: elsewhere a variable of the environment would choose what is run. */
function addonUnderTest(root: string): string | undefined {
  return existsSync(join(root, 'binding.gyp')) ? process.env['HOTBOLT_ADDON'] : undefined
}

/**
 * A listener of SIGBUS takes the signal away from us, and the last one that leaves takes it away
 * from everybody: a mapped file that was cut short would end the process, or never end a read.
 */
function keepGuard(loaded: Binding): void {
  const guard = (event: string | symbol): void => {
    if (event === 'SIGBUS') loaded.guardMappings()
  }
  // After Node's own listeners of these, which change the handler.
  process.on('newListener', guard)
  process.on('removeListener', guard)
}

export const native: Binding = load()
