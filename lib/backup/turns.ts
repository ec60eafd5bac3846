// Long work on the event loop, in turns: after each portion of it, everybody else has a turn.
//
// A portion is counted in the work's own bytes, not in time: a machine that is busy does not get
// longer turns. Cancelled, the work ends at the next one.

import { throwIfAborted } from './cancellation.ts'

/** Parsing and proving this much of a manifest takes one or two milliseconds. */
export const turnBytes: number = 64 << 10

export class Turns {
  readonly #what: string
  readonly #signal: AbortSignal | undefined
  #doneBytes = 0

  /** `what` begins the sentence that says that it was cancelled. */
  constructor(what: string, signal?: AbortSignal) {
    this.#what = what
    this.#signal = signal
  }

  /** Counts work that was done; whether `next()` has to be awaited now. */
  isOver(bytes: number): boolean {
    this.#doneBytes += bytes
    return this.#doneBytes >= turnBytes
  }

  async next(): Promise<void> {
    this.#doneBytes = 0
    await new Promise((resolve) => {
      setImmediate(resolve)
    })
    throwIfAborted(this.#signal, this.#what)
  }
}
