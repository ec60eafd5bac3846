// How fast writers may be, in bytes per millisecond, while a defragmentation goes on.
//
// While it copies, nothing slows them down but a disk that they would fill soon, or that has less
// to spare than the journal has taken: then they are held to what it can take until the copy is
// done.
//
// What they write during a round of catching up is the next round: less than half of this one,
// however long it takes. They share a budget evenly over the time that the round is expected to
// take. When it takes longer, what is left of the budget is spread over longer and longer times:
// they are slowed down more and more, and never stopped.

import type { DefragRound } from '../database/maintainer.ts'
import type { DefragProgress } from '../native.ts'

/** Of a round; below a half, because a measured speed is an old one. */
const budgetShare = 0.4
/** Better a little slower all the time than very slow in the end. */
const caution = 1.5
/** A round that is overdue is expected to take this share of its time again. */
const overdueShare = 0.5
const restMsLeast = 20
/** What a disk has to spare is to last so long at least: several times that it is looked at. */
const spareMsLeast = 400

export function paceWhileCopying(
  { bytesCopied, bytesTotal, spareBytes }: DefragProgress,
  journalBytes: number,
  elapsedMs: number,
): number {
  const isPlenty = spareBytes >= journalBytes || bytesCopied === 0
  const restMs = isPlenty ? 0 : elapsedMs * (bytesTotal / bytesCopied - 1)
  return spareBytes / Math.max(restMs, spareMsLeast)
}

/**
 * How long a round takes, given the one before, or the speed of checkpoints: these go on meanwhile,
 * and have the disk by half. A small round rewrites nearly as many pages as a large one.
 */
export function expectRound(
  bytes: number,
  last: DefragRound | undefined,
  checkpointBytesPerMs: number,
): number {
  if (last === undefined || last.bytes === 0) return (caution * 2 * bytes) / checkpointBytesPerMs
  return caution * last.durationMs * Math.sqrt(bytes / last.bytes)
}

export class RoundPace {
  readonly #roundBytes: number
  readonly #startMs: number
  #bytesPerMs: number
  #replayedBytes = 0
  #stepStartMs: number

  /** `expectedMs` is how long it will take, as far as is known before its first step has ended. */
  constructor(roundBytes: number, expectedMs: number, nowMs: number) {
    this.#roundBytes = roundBytes
    this.#bytesPerMs = Math.max(roundBytes, 1) / Math.max(expectedMs, 1)
    this.#startMs = nowMs
    this.#stepStartMs = nowMs
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
