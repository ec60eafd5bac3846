// A limit of speed that several slots share, kept to from one table to the next: what moves a file
// keeps to a limit of its own inside it, and begins each with a moment's allowance.

import { setTimeout as delay } from 'node:timers/promises'

export class RateLimit {
  readonly #bytesPerSecond: number
  readonly #startMs = performance.now()
  #moved = 0

  /** 0: no limit. */
  constructor(bytesPerSecond: number) {
    this.#bytesPerSecond = bytesPerSecond
  }

  /** Resolves when everything moved so far was due, or as soon as `signal` is aborted. */
  async keep(bytes: number, signal: AbortSignal): Promise<void> {
    if (this.#bytesPerSecond === 0) return
    this.#moved += bytes
    const dueMs = this.#startMs + (this.#moved / this.#bytesPerSecond) * 1000
    const waitMs = dueMs - performance.now()
    if (waitMs > 0) await delay(waitMs, undefined, { signal }).catch(() => {})
  }
}
