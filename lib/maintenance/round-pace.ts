// How fast writers may be while a round of catching up goes on, so that what they write meanwhile,
// which is the next round, is less than half of this one, however long it takes.
//
// They share a budget evenly over the time that the round is expected to take. When it takes
// longer, what is left of the budget is spread over longer and longer times: they are slowed down
// more and more, and never stopped.

/** Of a round; below a half, because a measured speed is an old one. */
const budgetShare = 0.4
/** A round that is overdue is expected to take this share of its time again. */
const overdueShare = 0.5
const restMsLeast = 20

export class RoundPace {
  readonly #roundBytes: number
  readonly #startMs: number
  #bytesPerMs: number
  #replayedBytes = 0
  #stepStartMs: number

  /** `bytesPerMs` is how fast it is expected to be, before its first step has ended. */
  constructor(roundBytes: number, bytesPerMs: number, nowMs: number) {
    this.#roundBytes = roundBytes
    this.#bytesPerMs = bytesPerMs
    this.#startMs = nowMs
    this.#stepStartMs = nowMs
  }

  /** Measured so far. */
  get bytesPerMs(): number {
    return this.#bytesPerMs
  }

  stepEnded(bytes: number, nowMs: number): void {
    this.#replayedBytes += bytes
    this.#stepStartMs = nowMs
    this.#bytesPerMs = Math.max(this.#replayedBytes, 1) / Math.max(nowMs - this.#startMs, 1)
  }

  /** For writers who have written so much since the round began. */
  writersBytesPerMs(writtenBytes: number, nowMs: number): number {
    const leftBytes = Math.max(this.#roundBytes * budgetShare - writtenBytes, 0)
    const expectedMs = (this.#roundBytes - this.#replayedBytes) / this.#bytesPerMs
    const restMs = this.#stepStartMs + expectedMs - nowMs
    const overdueMs = (nowMs - this.#startMs) * overdueShare
    return leftBytes / Math.max(restMs, overdueMs, restMsLeast)
  }
}
