// The database as its users hold it.
//
// Reads are synchronous. Writes are visible when the call returns and durable when its promise
// resolves. After close() everything throws or rejects with ERR_CLOSED, handles included.

import type { Readable } from 'node:stream'
import { native, type NativeCheckReport } from '../native.ts'
import { HotboltError, toHotboltError } from '../errors.ts'
import {
  resolveCloseOptions,
  resolveOpenOptions,
  resolveUpdateOptions,
  type BackupStreamOptions,
  type BucketOptions,
  type CloseOptions,
  type DefragOptions,
  type DefragPhase,
  type NameOptions,
  type OpenOptions,
  type ResolvedCloseOptions,
  type StoreBackupOptions,
  type UpdateOptions,
} from '../options.ts'
import { filePathOf } from '../paths.ts'
import { invalid, type Bytes } from '../rules.ts'
import { Bucket } from './bucket.ts'
import { bucketOf, namesIn, rangeOfNames } from './bucket-view.ts'
import type { BucketName, KeyFor, KeyIn, ValueIn } from './bucket-view.ts'
import type { DefragReport, Maintainer, StoreBackupReport } from './maintainer.ts'
import type { Range } from './range.ts'
import { Shared } from './shared.ts'
import { Snapshot } from './snapshot.ts'
import { Store } from './store.ts'
import { isThenable, Updates, type UpdateCallback } from './updates.ts'

export interface DatabaseStats {
  /** The file's real path. */
  readonly path: string
  readonly pageSize: number
  /** Of the page file's last commit. */
  readonly txid: number
  readonly sizeBytes: number
  /** Bytes of pages that hold something; an upper bound unless `freelistLoaded`. */
  readonly sizeInUseBytes: number
  /** Whether the free pages are known: after the first checkpoint, check or defragmentation. */
  readonly freelistLoaded: boolean
  readonly freePages: number
  /** Free, but still seen by a reader or the previous meta page. */
  readonly pendingPages: number
  /** Of the writes that are not in the page file: the memtable in use, ... */
  readonly memtableBytes: number
  /** ... and those that wait for a checkpoint, or are kept for a defragmentation. */
  readonly sealedMemtables: number
  readonly sealedBytes: number
  readonly journalBytes: number
  /** Sequence numbers of the newest write, and of the newest one that is durable. */
  readonly lastSeq: number
  readonly durableSeq: number
  readonly openSnapshots: number
  /** 0 without a snapshot. */
  readonly oldestSnapshotSeq: number
  /** Bytes of files replaced by a defragmentation that readers still hold. */
  readonly pendingReclaimBytes: number
  /** Of the last few syncs of the journal. */
  readonly syncLatencyUs: number
  readonly poisoned: boolean
  /**
   * The newest checkpoint found no space; it is tried again every second. Once more than
   * `maxRetainedBytes` wait for it, writes throw ERR_NO_SPACE.
   */
  readonly checkpointFailing: boolean
  /** Of the newest write that the page file holds. */
  readonly coveredSeq: number
  readonly defragPhase: DefragPhase
}

export interface CheckReport extends NativeCheckReport {
  readonly ok: boolean
}

/** What a database is made of, for the layers above that work on stores. */
export let storeOf: (database: Database) => Store

export class Database {
  static {
    storeOf = (database) => database.#store
  }

  readonly #store: Store
  readonly #maintainer: Maintainer
  readonly #updates: Updates
  /** Several calls share one run. */
  readonly #checks: Shared<NativeCheckReport>
  #closed: Promise<void> | undefined

  /** @internal */
  constructor(store: Store, maintainer: Maintainer) {
    this.#store = store
    this.#maintainer = maintainer
    this.#updates = new Updates(store)
    this.#checks = new Shared(() => native.check(store.handle))
  }

  /** The file's real path. */
  get path(): string {
    return this.#store.path
  }

  get readOnly(): boolean {
    return this.#store.readOnly
  }

  /** @internal Whether an update's callback calls. */
  get isInsideUpdate(): boolean {
    return this.#store.updateContext.isInside
  }

  /**
   * A handle; the bucket is created by its first write. Instead of a name it takes a handle, of a
   * snapshot or transaction of this database: with its path and its codecs. At most 254 buckets may
   * lie inside each other: ERR_INVALID_ARGUMENT.
   */
  bucket<
    const Options extends BucketOptions = Record<never, never>,
    Name extends BucketName = Bytes,
  >(name: Name, options?: Options): Bucket<KeyIn<Name, Options>, ValueIn<Name, Options>> {
    void this.#store.reader
    const { handle, codecs } = bucketOf(this.#store, name, options)
    return new Bucket(this.#store, handle, codecs)
  }

  /** The names of the top-level buckets, in order. */
  buckets<const Options extends NameOptions = Record<never, never>>(
    options?: Options,
  ): KeyFor<Options>[] {
    return namesIn(this.#store, native.rootBucket(), options)
  }

  /** The same to be iterated over: with `for await` without a long turn of the event loop. */
  bucketNames<const Options extends NameOptions = Record<never, never>>(
    options?: Options,
  ): Range<KeyFor<Options>> {
    return rangeOfNames(this.#store, native.rootBucket(), options)
  }

  /** ERR_BUCKET_EXISTS if it does. */
  createBucket(name: Bytes): Promise<void> {
    const writer = this.#store.writerFor('tx.createBucket()')
    native.createBucket(writer, native.bucket(undefined, name))
    return this.#store.groups.join()
  }

  /** With everything in it. ERR_BUCKET_NOT_FOUND if it does not exist. */
  deleteBucket(name: Bytes): Promise<void> {
    const writer = this.#store.writerFor('tx.deleteBucket()')
    native.deleteBucket(writer, native.bucket(undefined, name))
    return this.#store.groups.join()
  }

  /**
   * Runs the callback as one transaction: all of its writes or none, none if it throws. Updates run
   * one at a time. An asynchronous callback is run again when what it has read was changed
   * meanwhile, by writes from outside of it: `retries` times, then ERR_CONFLICT. (Exactly then,
   * unless it has read more than 16 MiB of keys, or left an iterator without a `break`: then also
   * because of their neighbours.) Resolves with what the callback returned when the writes are
   * durable. ERR_CLOSED when a close() did not wait for it any longer.
   */
  async update<T>(callback: UpdateCallback<T>, options?: UpdateOptions): Promise<T> {
    if (typeof callback !== 'function') throw invalid('callback', 'a function', callback)
    const resolved = resolveUpdateOptions(options)
    void this.#store.writer
    return this.#updates.run(callback, resolved)
  }

  /** Runs the callback on one state; that is let go when it returns, or its promise settles. */
  view<T>(callback: (snapshot: Snapshot) => T): T {
    if (typeof callback !== 'function') throw invalid('callback', 'a function', callback)
    const snapshot = this.snapshot()
    let result: T | undefined
    try {
      result = callback(snapshot)
    } finally {
      if (!isThenable(result)) snapshot.close()
    }
    if (!isThenable(result)) return result
    return Promise.resolve(result).finally(() => snapshot.close()) as T
  }

  /** A stable state: close it, or declare it with `using`. */
  snapshot(): Snapshot {
    return new Snapshot(this.#store)
  }

  /** Everything written so far is synced; with `checkpoint: 'flush'` it is in the page file too. */
  async flush(): Promise<void> {
    await this.#store.work(async () => {
      if (!this.readOnly) await this.#store.flush()
    })
  }

  /** Everything written so far is in the page file. */
  async checkpoint(): Promise<void> {
    void this.#store.writer
    await this.#store.work(() => this.#store.checkpointer.run())
  }

  /**
   * Rewrites the file without its free pages while reads and writes go on. ERR_BUSY while another
   * maintenance operation runs, ERR_ABORTED when it is cancelled, ERR_NO_SPACE and others: the
   * database is then as it was.
   */
  async defrag(options?: DefragOptions): Promise<DefragReport> {
    void this.#store.writer
    return await this.#store.work(() => this.#maintainer.defrag(options))
  }

  /**
   * Copies everything written so far to a new file at `path`, a plain bbolt database, while reads,
   * writes and defragmentations go on. The file has its name when it is complete and durable: until
   * then there is a temporary file beside it. ERR_EXISTS and ERR_NOT_A_FILE for what is at `path`
   * already, ERR_ABORTED when it is cancelled, ERR_NO_SPACE, ERR_CORRUPT and others: then nothing
   * is left.
   */
  async backup(path: string | URL, options?: StoreBackupOptions): Promise<StoreBackupReport> {
    const absolute = filePathOf(path, 'path')
    return await this.#store.work(() => this.#maintainer.backup(absolute, options))
  }

  /**
   * The same as a stream of the file's bytes: pipe it somewhere, or destroy it. It postpones the
   * close, which ends it with ERR_ABORTED. It is not checked on the way.
   */
  backupStream(options?: BackupStreamOptions): Readable {
    void this.#store.reader
    return this.#maintainer.backupStream(options)
  }

  stats(): DatabaseStats {
    const { highWaterBytes, snapshots, ...stats } = native.stats(this.#store.reader)
    const unusedPages = stats.freelistLoaded ? stats.freePages + stats.pendingPages : 0
    return {
      ...stats,
      sizeInUseBytes: highWaterBytes - unusedPages * stats.pageSize,
      openSnapshots: snapshots,
      defragPhase: this.#maintainer.phase,
    }
  }

  /** Reads every page of the file and reports what is wrong with it. */
  async check(): Promise<CheckReport> {
    const report = await this.#store.work(() => this.#checks.run())
    return { ok: report.issueCount === 0, ...report }
  }

  /**
   * SHA-256 over all buckets, sequences, keys and values, in hexadecimal. On a thread. ERR_CORRUPT
   * when buckets lead round in circles.
   */
  async hash(): Promise<string> {
    return await this.#store.survey((snapshot) => native.hashSnapshot(snapshot))
  }

  /**
   * Waits for what has begun, cancels a defragmentation and backups, writes everything into the
   * page file and releases it: the file alone is the database then. An update whose callback has
   * not settled after `timeoutMs` is rolled back and rejects with ERR_CLOSED, as do those that
   * wait behind it. May be called twice, the second time for less patience. ERR_NO_SPACE when the
   * disk has no room for that: everything is released, and the journal stays beside the file with
   * the rest, which the next open reads. ERR_TX_NESTED inside an update, which it would wait for.
   */
  close(options?: CloseOptions): Promise<void> {
    try {
      return this.#close(resolveCloseOptions(options))
    } catch (error) {
      return Promise.reject(toHotboltError(error))
    }
  }

  #close({ timeoutMs }: ResolvedCloseOptions): Promise<void> {
    if (this.isInsideUpdate) {
      const message = 'The database may not be closed inside an update: close it afterwards'
      throw new HotboltError('ERR_TX_NESTED', message)
    }
    this.#closed ??= this.#store.close(() => this.#maintainer.stop())
    this.#updates.endWithin(timeoutMs)
    return this.#closed
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }
}

/** Opens the file, or makes it. ERR_LOCKED, ERR_NOT_FOUND, ERR_NOT_A_DATABASE, ERR_CORRUPT, ... */
export async function openDatabase(
  path: string | URL,
  options: OpenOptions | undefined,
  createMaintainer: (store: Store) => Maintainer,
): Promise<Database> {
  const store = await Store.open(filePathOf(path, 'path'), resolveOpenOptions(options))
  return new Database(store, createMaintainer(store))
}
