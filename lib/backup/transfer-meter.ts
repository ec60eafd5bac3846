// The progress of an operation that moves many files, and what cancels it: the caller's signal, an
// onProgress callback that throws, or a failure in one of its slots.

import { setMaxListeners } from 'node:events'
import { tell, type Thrown } from '../callbacks.ts'
import type { HotboltError } from '../errors.ts'
import { cancelled } from './cancellation.ts'
import type { TransferProgress } from './backup-options.ts'
import type { Manifest } from './manifest.ts'

const progressIntervalMs = 100

export class TransferMeter {
  /** Aborted as soon as the operation has to end. */
  readonly signal: AbortSignal
  readonly #controller = new AbortController()
  readonly #onProgress: ((progress: TransferProgress) => void) | undefined
  readonly #startMs = performance.now()
  readonly #tablesTotal: number
  readonly #bytesTotal: number
  #failure: Thrown | undefined
  /** By onProgress. */
  #thrown: Thrown | undefined
  #tablesDone = 0
  #bytesDone = 0
  #toldMs = -Infinity

  constructor(
    manifest: Manifest,
    onProgress: ((progress: TransferProgress) => void) | undefined,
    signal: AbortSignal | undefined,
  ) {
    const { signal: own } = this.#controller
    this.signal = signal === undefined ? own : AbortSignal.any([signal, own])
    // One for each call that is under way: not a leak, however many.
    setMaxListeners(0, this.signal)
    this.#onProgress = onProgress
    this.#tablesTotal = manifest.tables.length
    this.#bytesTotal = sizeOf(manifest.tables)
    this.#tell()
  }

  get elapsedMs(): number {
    return performance.now() - this.#startMs
  }

  readonly addBytes = (bytes: number): void => {
    this.#bytesDone += bytes
    if (performance.now() - this.#toldMs >= progressIntervalMs) this.#tell()
  }

  tableDone(): void {
    this.#tablesDone++
    const isLast = this.#tablesDone === this.#tablesTotal
    if (isLast || performance.now() - this.#toldMs >= progressIntervalMs) this.#tell()
  }

  /** One slot has failed: the others are to end soon. */
  fail(error: unknown): void {
    if (this.signal.aborted) return
    this.#failure = { error }
    this.#controller.abort(error)
  }

  /**
   * What the operation ends with: what its callback threw, as it is; or else, as `explain` puts it,
   * the first failure of a slot, being cancelled, or `error`.
   */
  outcome(error: unknown, what: string, explain: (error: unknown) => HotboltError): unknown {
    if (this.#thrown !== undefined) return this.#thrown.error
    if (this.#failure !== undefined) return explain(this.#failure.error)
    return this.signal.aborted ? cancelled(this.signal, what) : explain(error)
  }

  #tell(): void {
    this.#toldMs = performance.now()
    const progress: TransferProgress = {
      tablesTotal: this.#tablesTotal,
      tablesDone: this.#tablesDone,
      bytesTotal: this.#bytesTotal,
      bytesDone: this.#bytesDone,
      elapsedMs: this.elapsedMs,
    }
    tell(this.#onProgress, progress, (error) => {
      if (!this.signal.aborted) this.#thrown = { error }
      this.#controller.abort(error)
    })
  }
}

/** Bytes of all files of the tables. */
export function sizeOf(tables: Manifest['tables']): number {
  let bytes = 0
  for (const { files } of tables) for (const { sizeBytes } of files) bytes += sizeBytes
  return bytes
}
