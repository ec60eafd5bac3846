// How long an acknowledgement is held back, so that writers who wait for theirs do not outrun the
// checkpoints, nor a defragmentation that catches up with them.
//
// One half of the room is filled while the other half is merged. Nothing is held back below three
// quarters of the room; from there on writers share what is left over the time that the checkpoint
// is expected to take. Without room an acknowledgement waits until there is some. Waits are in
// proportion to the bytes written.

/** Of the room: from here on writers are slowed down. */
const threshold = 0.75
/** A checkpoint that is overdue is expected to take this share of its time again. */
const overdueShare = 0.5
const restMsLeast = 1
/** Longer, an acknowledgement waits only for what its own bytes cost. */
const waitMsMax = 5
/** Of checkpoints, before the first one was measured, and the least that is believed. */
const bytesPerMsAtFirst = 20_000
const bytesPerMsLeast = 1000
/** Smaller merges say nothing about speed. */
const bytesMeasured = 64 << 10

interface Merge {
  readonly roomBytes: number
  readonly startMs: number
  readonly endMs: number
}

export class BackPressure {
  #mergedBytesPerMs = bytesPerMsAtFirst
  #limitBytesPerMs = Infinity
  /** Of the checkpoint that runs. */
  #merging: Merge | undefined
  /** When everything that was written so far should have been acknowledged. */
  #dueMs = 0

  /** Of checkpoints. */
  get bytesPerMs(): number {
    return this.#mergedBytesPerMs
  }

  /** Of `bytes`, of which `roomBytes` are counted in the room. */
  mergeBegins(bytes: number, roomBytes: number, nowMs: number): void {
    const endMs = nowMs + bytes / this.#mergedBytesPerMs
    this.#merging = { roomBytes, startMs: nowMs, endMs }
  }

  /** `bytes` 0: it failed. */
  mergeEnded(bytes: number, durationMs: number): void {
    this.#merging = undefined
    if (bytes < bytesMeasured) return
    const bytesPerMs = Math.max(bytes / Math.max(durationMs, 1), bytesPerMsLeast)
    this.#mergedBytesPerMs = (this.#mergedBytesPerMs + bytesPerMs) / 2
  }

  /** Writers are to be no faster than this; Infinity: as fast as they can. */
  limit(bytesPerMs: number): void {
    this.#limitBytesPerMs = Math.max(bytesPerMs, bytesPerMsLeast)
  }

  /** `backlogBytes` are as many as make themselves felt. */
  isFelt(backlogBytes: number, roomBytes: number): boolean {
    return backlogBytes >= threshold * roomBytes || this.#fillsHalf(backlogBytes, roomBytes)
  }

  /**
   * Until when the acknowledgement of `bytes` that were just written waits: 0, not at all;
   * Infinity, until there is room.
   */
  holdUntilMs(bytes: number, backlogBytes: number, roomBytes: number, nowMs: number): number {
    if (backlogBytes >= roomBytes) return Infinity
    const bytesPerMs = Math.min(
      this.#limitBytesPerMs,
      this.#allowed(backlogBytes, roomBytes, nowMs),
    )
    if (bytesPerMs === Infinity) return 0
    const costMs = bytes / bytesPerMs
    const latestMs = nowMs + Math.max(costMs, waitMsMax)
    this.#dueMs = Math.min(Math.max(this.#dueMs, nowMs) + costMs, latestMs)
    return this.#dueMs
  }

  /** What is not merged yet is more than may wait for the next checkpoint, or soon will be. */
  #fillsHalf(backlogBytes: number, roomBytes: number): boolean {
    if (this.#merging === undefined) return false
    return backlogBytes - this.#merging.roomBytes >= (threshold - 0.5) * roomBytes
  }

  #allowed(backlogBytes: number, roomBytes: number, nowMs: number): number {
    if (!this.isFelt(backlogBytes, roomBytes)) return Infinity
    const bytesPerMs = this.#leftBytes(backlogBytes, roomBytes) / this.#restMs(backlogBytes, nowMs)
    return Math.max(bytesPerMs, bytesPerMsLeast)
  }

  /** Until the checkpoint ends. */
  #leftBytes(backlogBytes: number, roomBytes: number): number {
    const leftBytes = roomBytes - backlogBytes
    if (this.#merging === undefined) return leftBytes
    const ofHalf = roomBytes / 2 - (backlogBytes - this.#merging.roomBytes)
    return Math.min(leftBytes, Math.max(ofHalf, leftBytes / 4))
  }

  /** Until there is more room. */
  #restMs(backlogBytes: number, nowMs: number): number {
    if (this.#merging === undefined) return backlogBytes / this.#mergedBytesPerMs
    const { startMs, endMs } = this.#merging
    return Math.max(endMs - nowMs, (nowMs - startMs) * overdueShare, restMsLeast)
  }
}
