// When memtables are merged into the page file.
//
// A memtable that has grown beyond `checkpointBytes` is sealed, and a checkpoint of all sealed ones
// begins unless one runs. While a defragmentation holds checkpoints, sealed memtables are kept for
// it until they exceed `maxRetainedBytes`. Checkpoints, and the steps of a defragmentation that
// must not meet one, take turns.

import { native, type StoreHandle } from '../native.ts'
import { toHotboltError } from '../errors.ts'
import { publish } from '../channels.ts'

export interface CheckpointLimits {
  readonly checkpointBytes: number
  readonly maxRetainedBytes: number
}

const ignore = (): void => {}

/** After a checkpoint that found no space. */
const retryMs = 1000

export class Checkpointer {
  readonly #store: StoreHandle
  readonly #path: string
  readonly #limits: CheckpointLimits
  #turn: Promise<void> = Promise.resolve()
  #scheduled = false
  #held = false
  #completed = 0
  #retry: NodeJS.Timeout | undefined

  constructor(store: StoreHandle, path: string, limits: CheckpointLimits) {
    this.#store = store
    this.#path = path
    this.#limits = limits
  }

  /** The number of checkpoints that have changed the page file. */
  get completed(): number {
    return this.#completed
  }

  /** To be called when something has been written. Cheap; never throws. */
  readonly consider = (): void => {
    try {
      if (native.memtableBytes(this.#store) <= this.#limits.checkpointBytes) return
      native.seal(this.#store)
      this.#schedule()
    } catch (error) {
      this.#publishFailure(error)
    }
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
    const result = this.#turn.then(work)
    this.#turn = result.then(ignore, ignore)
    return result
  }

  /** Requires: inside exclusive(). */
  async sealAndMerge(): Promise<void> {
    native.seal(this.#store)
    await this.#merge()
  }

  /** From here on sealed memtables are kept, up to `maxRetainedBytes`. */
  hold(): void {
    this.#held = true
  }

  release(): void {
    this.#held = false
    this.#schedule()
  }

  /** Resolves when no checkpoint runs or waits, and none is tried again. */
  async idle(): Promise<void> {
    await this.#turn
    clearTimeout(this.#retry)
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
    this.#retry = setTimeout(() => this.#schedule(), retryMs).unref()
  }

  #isDue(): boolean {
    const { sealedBytes } = native.stats(this.#store)
    return sealedBytes > (this.#held ? this.#limits.maxRetainedBytes : 0)
  }

  async #runScheduled(): Promise<void> {
    this.#scheduled = false
    // A defragmentation may have begun to hold, or another checkpoint have merged them, meanwhile.
    if (this.#isDue()) await this.#merge()
  }

  async #merge(): Promise<void> {
    const startMs = performance.now()
    try {
      const { memtables, bytes } = await native.checkpoint(this.#store)
      if (memtables === 0) return
      this.#completed++
      const durationMs = performance.now() - startMs
      publish('hotbolt:checkpoint', { path: this.#path, memtables, bytes, durationMs })
    } catch (error) {
      this.#publishFailure(error)
      throw error
    }
  }

  #publishFailure(cause: unknown): void {
    const error = toHotboltError(cause)
    publish('hotbolt:checkpoint-failed', { path: this.#path, error })
    // A full disk leaves everything as it was; after another failure native refuses writes.
    const { poisoned } = native.stats(this.#store)
    if (poisoned) publish('hotbolt:poisoned', { path: this.#path, error })
  }
}
