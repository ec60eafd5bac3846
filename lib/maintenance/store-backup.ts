// One backup of a store to a file: native copies, this takes the snapshot, tells of the progress
// and cancels.
//
// The state is taken when it is constructed: everything written before is in it, nothing after.

import { tell, type Thrown } from '../callbacks.ts'
import { publish } from '../channels.ts'
import { HotboltError, toHotboltError } from '../errors.ts'
import type { StoreBackupReport } from '../database/maintainer.ts'
import type { Store } from '../database/store.ts'
import { native, type BackupHandle, type NativeBackupResult } from '../native.ts'
import type { ResolvedStoreBackupOptions, StoreBackupProgress } from '../options.ts'

const progressIntervalMs = 100

export class StoreBackup {
  readonly #store: Store
  readonly #path: string
  readonly #options: ResolvedStoreBackupOptions
  readonly #handle: BackupHandle
  /** Of the caller's signal, of close(), and of an error in a callback. */
  readonly #cancellation = new AbortController()
  readonly #startMs = performance.now()
  readonly #warnings: string[] = []
  /** What the caller's onProgress threw. */
  #thrown: Thrown | undefined
  /** The file has its name. */
  #isDone = false

  /** `path` is absolute. Throws when the state cannot be taken. */
  constructor(store: Store, path: string, options: ResolvedStoreBackupOptions) {
    this.#store = store
    this.#path = path
    this.#options = options
    const { compact, fillPercent, bytesPerSecond, format, verify } = options
    const snapshot = native.snapshot(store.handle)
    try {
      const asked = { path, compact, fillPercent, bytesPerSecond, format, verify, hash: false }
      this.#handle = native.backup(snapshot, asked)
    } finally {
      native.closeSnapshot(snapshot)
    }
    // Memtables were sealed for the copy; left alone, they would pile up.
    if (!store.readOnly) store.checkpointer.considerSealed()
  }

  /** Takes effect soon; without effect once the file has its name. */
  cancel(reason: unknown): void {
    if (this.#cancellation.signal.aborted) return
    this.#cancellation.abort(reason)
    native.backupCancel(this.#handle)
  }

  /** May be called once. */
  async run(): Promise<StoreBackupReport> {
    const { signal, onProgress } = this.#options
    const onAbort = (): void => this.cancel(signal?.reason)
    signal?.addEventListener('abort', onAbort, { once: true })
    if (signal?.aborted === true) onAbort()
    const timer = onProgress && setInterval(() => this.#progress(), progressIntervalMs).unref()
    try {
      const result = await native.backupRun(this.#handle)
      this.#isDone = true
      if (this.#thrown !== undefined) this.#fail(this.#thrown.error) // too late
      this.#progress()
      return this.#report(result)
    } catch (error) {
      throw this.#explain(error)
    } finally {
      clearInterval(timer)
      signal?.removeEventListener('abort', onAbort)
    }
  }

  #progress(): void {
    const elapsedMs = performance.now() - this.#startMs
    const progress: StoreBackupProgress = { ...native.backupProgress(this.#handle), elapsedMs }
    tell(this.#options.onProgress, progress, (error) => this.#fail(error))
  }

  /** An error in a callback: the caller's own, as long as there is a way back. */
  #fail(error: unknown): void {
    if (this.#isDone) {
      const { message } = toHotboltError(error)
      this.#warnings.push(`onProgress threw when the backup was complete: ${message}`)
    } else if (!this.#cancellation.signal.aborted) {
      this.#thrown = { error }
      this.cancel(error)
    }
  }

  #report({ sizeBytes, txid, snapshotSha256 }: NativeBackupResult): StoreBackupReport {
    const path = this.#path
    const durationMs = performance.now() - this.#startMs
    publish('hotbolt:backup', { path: this.#store.path, target: path, sizeBytes, durationMs })
    const { bytesCopied } = native.backupProgress(this.#handle)
    const warnings = this.#warnings
    const report = { path, sizeBytes, bytesCopied, txid, durationMs, warnings }
    return snapshotSha256 === '' ? report : { ...report, sha256: snapshotSha256 }
  }

  /** What a callback threw is what it is; ERR_ABORTED has the reason as its cause. */
  #explain(error: unknown): unknown {
    const { signal } = this.#cancellation
    if (!signal.aborted || !HotboltError.is(error, 'ERR_ABORTED')) return toHotboltError(error)
    if (this.#thrown !== undefined) return this.#thrown.error
    const message = 'The backup was cancelled; nothing is left of it'
    return new HotboltError('ERR_ABORTED', message, { cause: signal.reason })
  }
}
