// A backup of a store as a stream of bytes: what a backup to a file would hold.
//
// Page by page it comes from the page file's pinned state directly, after a checkpoint if memtables
// lie above it. Where that cannot be (a compact copy, a database that may not be written, a
// defragmentation that keeps the memtables), a backup is made beside the database first, and its
// name is removed before the first byte is read.
//
// Destroying the stream lets go of whatever it holds; 'close' comes after that.

import { createHash, randomBytes, type Hash } from 'node:crypto'
import { rm } from 'node:fs/promises'
import { Readable } from 'node:stream'
import { setTimeout as delay } from 'node:timers/promises'
import { HotboltError, toHotboltError } from '../errors.ts'
import type { Store } from '../database/store.ts'
import { native, type ImageHandle, type SnapshotHandle } from '../native.ts'
import type { ResolvedBackupStreamOptions } from '../options.ts'
import { StoreBackup } from './store-backup.ts'

/** Read at a time, and kept ready for the reader: memory is bounded by twice this. */
const pieceBytes = 256 << 10

export class BackupStream extends Readable {
  readonly #store: Store
  readonly #options: ResolvedBackupStreamOptions
  readonly #image: Promise<ImageHandle>
  readonly #hash: Hash | undefined
  readonly #stopWaiting = new AbortController()
  readonly #startMs = performance.now()
  #backup: StoreBackup | undefined
  #offset = 0

  /** `mayCheckpoint`: whether memtables may be merged into the page file now. */
  constructor(store: Store, options: ResolvedBackupStreamOptions, mayCheckpoint: boolean) {
    super({ highWaterMark: pieceBytes })
    this.#store = store
    this.#options = options
    if (options.format === 'etcd-snapshot') this.#hash = createHash('sha256')
    const { signal } = options
    const onAbort = (): void => this.cancel(signal?.reason)
    signal?.addEventListener('abort', onAbort, { once: true })
    this.once('close', () => signal?.removeEventListener('abort', onAbort))
    this.#image = this.#open(mayCheckpoint)
    this.#image.catch((error: unknown) => this.destroy(toHotboltError(error)))
    if (signal?.aborted === true) onAbort()
  }

  /** Ends with ERR_ABORTED, whose cause is the reason. */
  cancel(reason: unknown): void {
    const message = 'The backup was cancelled'
    this.destroy(new HotboltError('ERR_ABORTED', message, { cause: reason }))
  }

  override _read(): void {
    void this.#readPiece().catch((error: unknown) => this.destroy(toHotboltError(error)))
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.#stopWaiting.abort()
    this.#backup?.cancel(error)
    void this.#letGo(() => callback(error))
  }

  async #letGo(done: () => void): Promise<void> {
    try {
      native.closeImage(await this.#image)
    } catch {
      // There is none: that is why the stream ends.
    }
    done()
  }

  async #readPiece(): Promise<void> {
    const image = await this.#image
    await this.#keepToRate()
    if (this.destroyed) return
    const piece = await native.readImage(image, this.#offset, pieceBytes)
    if (this.destroyed) return
    this.#offset += piece.length
    if (piece.length > 0) {
      this.#hash?.update(piece)
      this.push(piece)
      return
    }
    if (this.#hash !== undefined) this.push(this.#hash.digest())
    this.push(null)
  }

  /** Until everything sent so far was due. */
  async #keepToRate(): Promise<void> {
    const { bytesPerSecond } = this.#options
    if (bytesPerSecond === 0) return
    const dueMs = this.#startMs + (this.#offset / bytesPerSecond) * 1000
    const { signal } = this.#stopWaiting
    const waited = delay(Math.max(0, dueMs - performance.now()), undefined, { signal })
    await waited.catch(() => {}) // the stream was destroyed
  }

  /** The first steps happen in the turn of the call: what was written before is in the stream. */
  #open(mayCheckpoint: boolean): Promise<ImageHandle> {
    const { compact } = this.#options
    if (compact) return this.#build()
    const direct = pageFileUnder(native.snapshot(this.#store.handle))
    if (direct !== undefined) return Promise.resolve(direct)
    return mayCheckpoint ? this.#checkpoint() : this.#build()
  }

  async #checkpoint(): Promise<ImageHandle> {
    await this.#store.checkpointer.run()
    return native.imageOfStore(this.#store.handle)
  }

  async #build(): Promise<ImageHandle> {
    // Of a killed process: the next opening for writing removes it, by this name.
    const path = `${this.#store.path}-backup-${randomBytes(16).toString('hex')}.tmp`
    const { compact, fillPercent, bytesPerSecond } = this.#options
    const options = { compact, fillPercent, bytesPerSecond, format: 'bbolt', verify: true } as const
    this.#backup = new StoreBackup(this.#store, path, options)
    await this.#backup.run()
    this.#backup = undefined
    try {
      return await native.imageOfFile(path, true)
    } catch (error) {
      await rm(path, { force: true })
      throw error
    }
  }
}

/** undefined: memtables lie above it. Closes the snapshot. */
function pageFileUnder(snapshot: SnapshotHandle): ImageHandle | undefined {
  try {
    return native.imageOfSnapshot(snapshot)
  } catch (error) {
    if (HotboltError.is(error, 'ERR_BUSY')) return undefined
    throw error
  } finally {
    native.closeSnapshot(snapshot)
  }
}
