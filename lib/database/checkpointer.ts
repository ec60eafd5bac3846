// When memtables are merged into the page file.
//
// A memtable that has grown beyond three quarters of `checkpointBytes`, in memory or in the
// journal, or that waits for too long, is sealed, and a checkpoint of all sealed ones begins unless
// one runs. While a defragmentation holds checkpoints, sealed memtables are kept for it until they
// exceed half of `maxRetainedBytes`. Checkpoints, and the steps of a defragmentation that must not
// meet one, take turns.
//
// What waits has a bound, its room: one and a half times `checkpointBytes`, so that one memtable is
// merged while the next fills, or `maxRetainedBytes` while checkpoints are held. Near it
// acknowledgements are held back (back-pressure.ts), unless a checkpoint has failed: then waiting
// would not help.
//
// Where the disk is nearly full a checkpoint begins early, and acknowledgements wait for it: what
// it gives back is what the next writes need.

import { native, type StoreHandle } from '../native.ts'
import { toHotboltError } from '../errors.ts'
import { publish } from '../channels.ts'
import { BackPressure } from './back-pressure.ts'
import { CheckpointClock } from './checkpoint-clock.ts'

export interface CheckpointLimits {
  readonly checkpointBytes: number
  readonly checkpointIntervalMs: number
  readonly checkpointIdleMs: number
  readonly maxRetainedBytes: number
}

const ignore = (): void => {}

/** After a checkpoint that found no space. */
const retryMs = 1000
/** That much is read again in milliseconds: it matters to nobody who waits meanwhile. */
const deferrableBytesLeast = 1 << 20

export class Checkpointer {
  readonly #store: StoreHandle
  readonly #path: string
  readonly #limits: CheckpointLimits
  readonly #onRoom: (coveredSeq: number) => void
  readonly #clock: CheckpointClock
  readonly #pressure = new BackPressure()
  readonly #backlog = new Float64Array(4)
  #turn: Promise<void> = Promise.resolve()
  #turns = 0
  #scheduled = false
  #held = false
  #deferred = false
  /** What waited when hold() was called, until a checkpoint takes it away. */
  #pinnedBytes = 0
  #writtenBytes = 0
  #hurries = false
  #failing = false
  /** A checkpoint is to make room on the disk. */
  #relieving = false
  #ending = false
  #retry: NodeJS.Timeout | undefined

  /**
   * `onRoom` is called when acknowledgements need not wait for room any longer: those up to a
   * sequence number, because the page file has what they are for.
   */
  constructor(
    store: StoreHandle,
    path: string,
    limits: CheckpointLimits,
    onRoom: (coveredSeq: number) => void,
  ) {
    this.#store = store
    this.#path = path
    this.#limits = limits
    this.#onRoom = onRoom
    const { checkpointIntervalMs, checkpointIdleMs } = limits
    this.#clock = new CheckpointClock(checkpointIntervalMs, checkpointIdleMs, this.#sealOld)
  }

  /**
   * To be called when something has been written. Returns until when (performance.now()) its
   * acknowledgement is to be held back; Infinity: until `onRoom`. Cheap; never throws.
   */
  readonly consider = (): number => {
    try {
      native.backlog(this.#store, this.#backlog)
      const nowMs = performance.now()
      if (this.#active > this.#sealBytes) this.#sealNow()
      else this.#clock.wrote(nowMs)
      if (this.#backlog[3] !== 0) this.relieve()
      return this.#holdUntilMs(nowMs)
    } catch (error) {
      this.#publishFailure(error)
      return 0
    }
  }

  /**
   * To be called when the disk is nearly full: a checkpoint gives back what it can. One that has
   * failed is tried again later. Never throws.
   */
  readonly relieve = (): void => {
    if (this.#relieving || this.#failing) return
    this.#sealOld()
    this.#relieving = this.#scheduled
  }

  /** To be called when memtables may have been sealed for other reasons. Never throws. */
  considerSealed(): void {
    try {
      if (!native.stats(this.#store).poisoned) this.#schedule()
    } catch (error) {
      this.#publishFailure(error)
    }
  }

  /** Everything written so far is in the page file when it resolves. */
  run(): Promise<void> {
    return this.exclusive(() => this.sealAndMerge())
  }

  /** Runs `work` when no checkpoint runs, and none while it does. */
  exclusive<T>(work: () => Promise<T>): Promise<T> {
    const end = (): unknown => this.#turns--
    this.#turns++
    const result = this.#turn.then(work)
    this.#turn = result.then(end, end).then(ignore)
    return result
  }

  /** A checkpoint, or what must not meet one, runs or waits for its turn. */
  get isBusy(): boolean {
    return this.#turns > 0
  }

  /** Requires: inside exclusive(). */
  async sealAndMerge(): Promise<void> {
    native.seal(this.#store)
    await this.#merge()
  }

  /** From here on sealed memtables are kept, up to `maxRetainedBytes`. */
  hold(): void {
    this.#held = true
    native.backlog(this.#store, this.#backlog)
    this.#pinnedBytes = this.#active + this.#sealed
  }

  /** From here on they are kept without a limit: no checkpoint begins by itself. Not for long. */
  defer(): void {
    this.#deferred = true
  }

  /** So much may be read again after defer(): there is room for what is written meanwhile. */
  get deferrableBytes(): number {
    const { checkpointBytes, maxRetainedBytes } = this.#limits
    return Math.min(checkpointBytes / 2, Math.max(maxRetainedBytes / 4, deferrableBytesLeast))
  }

  /** Ends hold() and defer(). Who waited for room may not need to any more. */
  release(): void {
    this.#held = false
    this.#deferred = false
    this.#pinnedBytes = 0
    this.paceWriters(Infinity)
    this.#clock.wrote(performance.now())
    this.#schedule()
    this.#relax()
  }

  /** Writers who wait for their acknowledgements are to be no faster; Infinity: no limit. */
  paceWriters(bytesPerMs: number): void {
    this.#pressure.limit(bytesPerMs)
  }

  /** Writers wait for checkpoints, or soon will. */
  get isBehind(): boolean {
    return this.#hurries
  }

  /** To the journal, by all groups that have ended. */
  get writtenBytes(): number {
    return this.#writtenBytes
  }

  /** The speed at which memtables are merged. */
  get bytesPerMs(): number {
    return this.#pressure.bytesPerMs
  }

  /** From here on no acknowledgement is held back, and no timer begins a checkpoint. */
  end(): void {
    this.#ending = true
    this.#clock.stop()
    this.#onRoom(Infinity)
  }

  /** Resolves when no checkpoint runs or waits, and none is tried again. */
  async idle(): Promise<void> {
    await this.#turn
    clearTimeout(this.#retry)
    this.#clock.stop()
  }

  get #active(): number {
    return this.#backlog[0] ?? 0
  }

  get #sealed(): number {
    return this.#backlog[1] ?? 0
  }

  /** Of the room. */
  get #backlogBytes(): number {
    return Math.max(0, this.#active + this.#sealed - this.#pinnedBytes)
  }

  get #roomBytes(): number {
    return this.#held ? this.#limits.maxRetainedBytes : 1.5 * this.#limits.checkpointBytes
  }

  get #sealBytes(): number {
    return this.#held
      ? Math.min(this.#limits.checkpointBytes, this.#roomBytes / 4)
      : this.#roomBytes / 2
  }

  #sealNow(): void {
    this.#clock.stop()
    native.seal(this.#store)
    this.#schedule()
  }

  readonly #sealOld = (): void => {
    // A defragmentation is content with what it gets by size.
    if (this.#held || this.#ending) return
    try {
      if (!native.stats(this.#store).poisoned) this.#sealNow()
    } catch (error) {
      this.#publishFailure(error)
    }
  }

  #holdUntilMs(nowMs: number): number {
    const bytes = (this.#backlog[2] ?? 0) - this.#writtenBytes
    this.#writtenBytes += bytes
    const backlogBytes = this.#backlogBytes
    if (this.#failing || this.#ending) return 0
    if (this.#relieving) return Infinity
    if (!this.#hurries && this.#pressure.isFelt(backlogBytes, this.#roomBytes)) this.#hurry(true)
    return this.#pressure.holdUntilMs(bytes, backlogBytes, this.#roomBytes, nowMs)
  }

  #hurry(on: boolean): void {
    this.#hurries = on
    native.hurry(this.#store, on)
  }

  /** When there may be less that waits, or more room for it. */
  #relax(): void {
    const relieved = this.#relieving && !this.#scheduled
    if (relieved) this.#relieving = false
    native.backlog(this.#store, this.#backlog)
    const backlogBytes = this.#backlogBytes
    if (this.#hurries && !this.#pressure.isFelt(backlogBytes, this.#roomBytes)) this.#hurry(false)
    const hasRoom = backlogBytes < this.#roomBytes && !this.#relieving
    if (hasRoom || relieved || this.#failing) this.#onRoom(Infinity)
    if (this.#backlog[3] !== 0) this.relieve()
  }

  #schedule(): void {
    if (this.#scheduled || !this.#isDue()) return
    this.#scheduled = true
    // Its failure has been published.
    void this.exclusive(() => this.#runScheduled()).catch(() => this.#retryLater())
  }

  /** Space may have been freed by then. */
  #retryLater(): void {
    clearTimeout(this.#retry)
    if (this.#ending || native.stats(this.#store).poisoned) return
    this.#retry = setTimeout(this.#sealOld, retryMs).unref()
  }

  #isDue(): boolean {
    if (this.#deferred) return false
    native.backlog(this.#store, this.#backlog)
    return this.#sealed > (this.#held ? this.#roomBytes / 2 : 0)
  }

  async #runScheduled(): Promise<void> {
    this.#scheduled = false
    // A defragmentation may have begun to hold, or another checkpoint have merged them, meanwhile.
    if (this.#isDue()) await this.#merge()
    else this.#relax()
  }

  async #merge(): Promise<void> {
    const startMs = performance.now()
    native.backlog(this.#store, this.#backlog)
    const roomBytes = Math.max(0, this.#sealed - this.#pinnedBytes)
    this.#pressure.mergeBegins(this.#sealed, roomBytes, startMs)
    try {
      const { memtables, bytes, isPartial } = await native.checkpoint(this.#store, this.#hurries)
      const durationMs = performance.now() - startMs
      this.#pressure.mergeEnded(bytes, durationMs)
      this.#failing = false
      if (memtables === 0) return
      this.#pinnedBytes = 0
      this.#onRoom(native.stats(this.#store).coveredSeq)
      this.#relax()
      publish('hotbolt:checkpoint', { path: this.#path, memtables, bytes, durationMs })
      if (!isPartial) return
    } catch (error) {
      this.#pressure.mergeEnded(0, 0)
      this.#failing = true
      this.#relax()
      this.#publishFailure(error)
      throw error
    }
    await this.#merge()
  }

  #publishFailure(cause: unknown): void {
    const error = toHotboltError(cause)
    publish('hotbolt:checkpoint-failed', { path: this.#path, error })
    // A full disk leaves everything as it was; after another failure native refuses writes.
    const { poisoned } = native.stats(this.#store)
    if (poisoned) publish('hotbolt:poisoned', { path: this.#path, error })
  }
}
