// One online defragmentation: orders native's verbs by the phases of phase.ts.
//
// What must not meet a checkpoint, which moves memtables into the old file, runs inside the
// checkpointer's exclusive(): pinning, and the switch from one file to the other. Copying and
// catching up go on beside checkpoints.
//
// It always ends. While it catches up, writers are slowed down so that each round is at most half
// of the one before (writers-pace.ts), until one is small. That is the last one: no checkpoint
// begins during it, so none can take away what it would have to read again. While it copies, the
// journal grows: when the disk becomes short of space writers are slowed down too, and when that
// does not help, ERR_NO_SPACE ends the defragmentation.

import type { Thrown } from '../callbacks.ts'
import { HotboltError, toHotboltError } from '../errors.ts'
import type { DefragReport } from '../database/maintainer.ts'
import type { Store } from '../database/store.ts'
import { native, type DefragHandle, type DefragStep } from '../native.ts'
import type { PausePoint, ResolvedDefragOptions } from '../options.ts'
import { DefragObserver } from './defrag-observer.ts'
import { expectRound, paceWhileCopying, RoundPace } from './writers-pace.ts'
import { isAbortable, transition, type DefragEvent, type DefragPhase } from './phase.ts'

/** Then it has not converged, because nobody awaits: what is left waits for the switch. */
const roundsMax = 16
/** How often it tells writers how fast they may be. */
const paceMs = 20

export class Defragmenter {
  readonly #store: Store
  readonly #options: ResolvedDefragOptions
  readonly #observer: DefragObserver
  /** Of the caller's signal, of close(), and of an error in a callback. */
  readonly #cancellation = new AbortController()
  /** What the caller's onProgress threw. */
  #thrown: Thrown | undefined
  #phase: DefragPhase = 'idle'
  #handle: DefragHandle | undefined

  constructor(store: Store, options: ResolvedDefragOptions) {
    this.#store = store
    this.#options = options
    this.#observer = new DefragObserver(store, options.onProgress, (error) => this.#fail(error))
  }

  get phase(): DefragPhase {
    return this.#phase
  }

  /** Takes effect soon; without effect once the new file has been published. */
  cancel(reason: unknown): void {
    if (this.#cancellation.signal.aborted) return
    this.#cancellation.abort(reason)
    if (this.#handle !== undefined && isAbortable(this.#phase)) native.defragCancel(this.#handle)
  }

  /** May be called once. */
  async run(): Promise<DefragReport> {
    const { signal } = this.#options
    const onAbort = (): void => this.cancel(signal?.reason)
    signal?.addEventListener('abort', onAbort, { once: true })
    if (signal?.aborted === true) onAbort()
    try {
      await this.#goThroughPhases()
    } catch (error) {
      if (isAbortable(this.#phase)) await this.#abort()
      throw this.#explain(error)
    } finally {
      this.#store.checkpointer.release()
      signal?.removeEventListener('abort', onAbort)
    }
    if (this.#thrown !== undefined) this.#fail(this.#thrown.error) // too late
    return this.#observer.report()
  }

  async #goThroughPhases(): Promise<void> {
    this.#enter('begin')
    const handle = await this.#prepare()
    await this.#copy(handle)
    await this.#catchUp(handle)
    await this.#switch(handle)
    await this.#clean(handle)
  }

  async #prepare(): Promise<DefragHandle> {
    const { fillPercent, bytesPerSecond } = this.#options
    this.#throwIfCancelled()
    const handle = await native.defragPrepare(this.#store.handle, { fillPercent, bytesPerSecond })
    this.#handle = handle
    this.#observer.handle = handle
    const { checkpointer } = this.#store
    await checkpointer.exclusive(async () => {
      this.#throwIfCancelled()
      await checkpointer.sealAndMerge()
      this.#throwIfCancelled()
      this.#observer.timed(() => native.defragPin(handle))
      checkpointer.hold()
    })
    return handle
  }

  async #copy(handle: DefragHandle): Promise<void> {
    this.#enter('pinned')
    await this.#pause('before-copy')
    const copied = native.defragCopy(handle)
    const paused = this.#pause('copy-started').catch((error: unknown) => {
      native.defragCancel(handle)
      throw error
    })
    // Both, whatever happens: no verb may run any more when the defragmentation is aborted.
    const stopWatching = this.#watchSpace(handle)
    await bothSettled(copied, paused).finally(stopWatching)
    await this.#pause('after-copy')
  }

  /** The timer must not keep the process alive. */
  #watchSpace(handle: DefragHandle): () => void {
    const startMs = performance.now()
    const { checkpointer } = this.#store
    const look = (): void => {
      const progress = native.defragProgress(handle)
      const { journalBytes } = native.stats(this.#store.handle)
      const elapsedMs = performance.now() - startMs
      checkpointer.paceWriters(paceWhileCopying(progress, journalBytes, elapsedMs))
    }
    const timer = setInterval(look, paceMs).unref()
    return () => clearInterval(timer)
  }

  async #catchUp(handle: DefragHandle): Promise<void> {
    this.#enter('copied')
    const { checkpointer } = this.#store
    const { rounds, warnings } = this.#observer
    for (let isLast = false; !isLast;) {
      await this.#pause('round')
      const { backlogBytes } = native.defragProgress(handle)
      isLast = backlogBytes <= checkpointer.deferrableBytes
      if (isLast) checkpointer.defer()
      await this.#replay(handle, isLast)
      isLast ||= native.defragProgress(handle).caughtUp && !checkpointer.isBusy
      if (isLast || rounds.length < roundsMax) continue
      isLast = true
      const message = `Catching up did not converge in ${roundsMax} rounds`
      warnings.push(`${message}: writers may have waited for the rest`)
    }
    checkpointer.defer()
  }

  /** One round: what was written until it began. What is written during the last one may stay. */
  async #replay(handle: DefragHandle, isLast: boolean): Promise<void> {
    this.#observer.round++
    const startMs = performance.now()
    const pace = this.#roundPace(handle, startMs)
    const stopPacing = isLast ? undefined : this.#paceWriters(pace)
    let bytes = 0
    let entries = 0
    try {
      for (let complete = false; !complete;) {
        const step = await this.#step(handle, entries > 0)
        bytes += step.bytes
        entries += step.entries
        complete = step.complete
        pace.stepEnded(step.bytes, performance.now())
      }
    } finally {
      stopPacing?.()
    }
    this.#observer.rounds.push({ bytes, entries, durationMs: performance.now() - startMs })
  }

  #roundPace(handle: DefragHandle, startMs: number): RoundPace {
    const { backlogBytes } = native.defragProgress(handle)
    const last = this.#observer.rounds.at(-1)
    const expectedMs = expectRound(backlogBytes, last, this.#store.checkpointer.bytesPerMs)
    return new RoundPace(backlogBytes, expectedMs, startMs)
  }

  /** Until it is stopped. */
  #paceWriters(pace: RoundPace): () => void {
    const { checkpointer } = this.#store
    const { writtenBytes } = checkpointer
    const look = (): void => {
      const written = checkpointer.writtenBytes - writtenBytes
      checkpointer.paceWriters(pace.writersBytesPerMs(written, performance.now()))
    }
    look()
    const timer = setInterval(look, paceMs).unref()
    return () => {
      clearInterval(timer)
      checkpointer.paceWriters(Infinity)
    }
  }

  /** Writers wait for the steps after the first, and for the rounds after the first. */
  #step(handle: DefragHandle, continues: boolean): Promise<DefragStep> {
    this.#throwIfCancelled()
    const { checkpointer } = this.#store
    const isUrgent = continues || checkpointer.isBehind || this.#observer.rounds.length > 0
    return this.#observer.timed(() => native.defragCatchUp(handle, isUrgent))
  }

  async #switch(handle: DefragHandle): Promise<void> {
    const { checkpointer } = this.#store
    await checkpointer.exclusive(async () => {
      // A checkpoint since the last round has moved memtables where the new file cannot see them.
      if (!native.defragProgress(handle).coversBase) await this.#replay(handle, true)
      this.#enter('caught-up')
      await this.#pause('before-publish')
      await native.defragPublish(handle)
      this.#enter('published')
      await this.#pauseUncancelled('after-publish')
      await this.#pauseUncancelled('before-install')
      this.#observer.timed(() => native.defragInstall(handle))
      checkpointer.release()
    })
    await this.#pauseUncancelled('after-install')
  }

  /** The new file is in place: what fails here is no failure of the defragmentation. */
  async #clean(handle: DefragHandle): Promise<void> {
    try {
      await this.#pauseUncancelled('before-clean')
      await native.defragClean(handle)
    } catch (error) {
      const { message } = toHotboltError(error)
      this.#observer.warnings.push(`Cleaning up after the switch failed: ${message}`)
    }
    this.#observer.handle = undefined
    this.#enter('cleaned')
  }

  async #abort(): Promise<void> {
    this.#enter('abort')
    try {
      if (this.#handle !== undefined) await native.defragAbort(this.#handle)
    } catch {
      // The temporary file stays; the next open removes it. The reason for the abort matters more.
    }
    this.#observer.handle = undefined
    this.#enter('aborted')
  }

  /** An error in a callback: the caller's own, as long as there is a way back. */
  #fail(error: unknown): void {
    if (!isAbortable(this.#phase)) {
      const { message } = toHotboltError(error)
      this.#observer.warnings.push(`onProgress threw when the new file was in place: ${message}`)
    } else if (!this.#cancellation.signal.aborted) {
      this.#thrown = { error }
      this.cancel(error)
    }
  }

  /**
   * What a callback threw is what it is, and so is a failure; a cancelled run is ERR_ABORTED with
   * the reason as its cause.
   */
  #explain(error: unknown): unknown {
    const { signal } = this.#cancellation
    if (!signal.aborted || this.#phase !== 'aborted') return toHotboltError(error)
    if (this.#thrown !== undefined) return this.#thrown.error
    const message = 'The defragmentation was cancelled; the database is as it was'
    return new HotboltError('ERR_ABORTED', message, { cause: signal.reason })
  }

  #enter(event: DefragEvent): void {
    const from = this.#phase
    this.#phase = transition(from, event)
    this.#observer.enter(from, this.#phase)
  }

  #throwIfCancelled(): void {
    if (!this.#cancellation.signal.aborted) return
    throw new HotboltError('ERR_ABORTED', 'The defragmentation was cancelled')
  }

  async #pause(point: PausePoint): Promise<void> {
    this.#throwIfCancelled()
    await this.#options.pausePoint?.(point)
    this.#throwIfCancelled()
  }

  async #pauseUncancelled(point: PausePoint): Promise<void> {
    await this.#options.pausePoint?.(point)
  }
}

/** Waits for both; rejects with the first's error, or else with the second's. */
async function bothSettled(first: Promise<void>, second: Promise<void>): Promise<void> {
  const outcomes = await Promise.allSettled([first, second])
  for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason
}
