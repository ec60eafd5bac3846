// What a defragmentation tells while it runs, and its report in the end: phases and their times,
// progress events, and the longest waits that it caused.

import { tell } from '../callbacks.ts'
import { publish } from '../channels.ts'
import type { DefragPhaseTime, DefragReport, DefragRound } from '../database/maintainer.ts'
import type { Store } from '../database/store.ts'
import { native, type DefragHandle } from '../native.ts'
import type { DefragPhase, DefragProgress } from '../options.ts'

const progressIntervalMs = 100

const nothing = { bytesCopied: 0, entriesCopied: 0, bytesTotal: 0, backlogBytes: 0 }

export class DefragObserver {
  readonly rounds: DefragRound[] = []
  readonly warnings: string[] = []
  /** Where the progress of the copy is read from, while it exists. */
  handle: DefragHandle | undefined
  /** Rounds that were begun. */
  round = 0

  readonly #store: Store
  readonly #onProgress: ((progress: DefragProgress) => void) | undefined
  readonly #onError: (error: unknown) => void
  readonly #sizeBeforeBytes: number
  readonly #startMs = performance.now()
  readonly #phases: DefragPhaseTime[] = []
  #phaseStartMs = this.#startMs
  #longestHoldMs = 0
  #copied = nothing
  #timer: NodeJS.Timeout | undefined

  /** `onError` gets what an `onProgress` callback throws. */
  constructor(
    store: Store,
    onProgress: ((progress: DefragProgress) => void) | undefined,
    onError: (error: unknown) => void,
  ) {
    this.#store = store
    this.#onProgress = onProgress
    this.#onError = onError
    this.#sizeBeforeBytes = native.stats(store.handle).sizeBytes
    store.groups.resetLongestWait()
  }

  enter(from: DefragPhase, to: DefragPhase): void {
    const nowMs = performance.now()
    if (from !== 'idle') this.#phases.push({ phase: from, durationMs: nowMs - this.#phaseStartMs })
    this.#phaseStartMs = nowMs
    publish('hotbolt:defrag', { path: this.#store.path, from, to })
    this.#progress(to)
    this.#repeatWhile(to)
  }

  /** Runs a verb and notes for how long it held the JS thread. */
  timed<T>(verb: () => T): T {
    const startMs = performance.now()
    try {
      return verb()
    } finally {
      this.#longestHoldMs = Math.max(this.#longestHoldMs, performance.now() - startMs)
    }
  }

  report(): DefragReport {
    const { sizeBytes, pendingReclaimBytes } = native.stats(this.#store.handle)
    return {
      sizeBeforeBytes: this.#sizeBeforeBytes,
      sizeAfterBytes: sizeBytes,
      bytesCopied: this.#copied.bytesCopied,
      entriesCopied: this.#copied.entriesCopied,
      rounds: this.rounds,
      phases: this.#phases,
      durationMs: performance.now() - this.#startMs,
      longestWriteWaitMs: this.#store.groups.longestWaitMs,
      longestReadWaitMs: this.#longestHoldMs,
      pendingReclaimBytes,
      warnings: this.warnings,
    }
  }

  /** The timer must not outlive the run, nor keep the process alive during it. */
  #repeatWhile(phase: DefragPhase): void {
    clearInterval(this.#timer)
    if (phase !== 'copying' || this.#onProgress === undefined) return
    this.#timer = setInterval(() => this.#progress(phase), progressIntervalMs).unref()
  }

  #progress(phase: DefragPhase): void {
    if (this.handle !== undefined) this.#copied = copiedBy(this.handle)
    const { round } = this
    const elapsedMs = performance.now() - this.#startMs
    tell(this.#onProgress, { phase, ...this.#copied, round, elapsedMs }, this.#onError)
  }
}

function copiedBy(handle: DefragHandle): typeof nothing {
  const { bytesCopied, entriesCopied, bytesTotal, backlogBytes } = native.defragProgress(handle)
  return { bytesCopied, entriesCopied, bytesTotal, backlogBytes }
}
