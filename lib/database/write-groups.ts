// Group commit: visible at call, durable at promise.
//
// All writes of one turn form a group and share its promise. The first of them opens the group and
// schedules its end as a microtask, which wakes the journal. The journal reports sequence numbers
// in order, so groups wait in a queue and are settled from its front. An acknowledgement may be
// held back (back-pressure.ts): then those behind it wait too.
//
// This is the hot path: nothing here allocates per write, only per group.

import { native, type StoreEvents, type StoreHandle } from '../native.ts'
import { HotboltError, toHotboltError } from '../errors.ts'
import { publish } from '../channels.ts'
import type { SyncMode } from '../options.ts'

const ignore = (): void => {}

/** Shorter waits are left to add up: a timer would take longer. */
const timerMs = 1

/** So many are acknowledged in a turn: each may have a callback that waits for it. */
const groupsPerTurn = 1000

class WriteGroup {
  readonly begunMs: number = performance.now()
  readonly promise: Promise<void>
  resolve: () => void = ignore
  reject: (error: HotboltError) => void = ignore
  /** Of the last write in it; known when the group ends. */
  seq = 0
  /** Its acknowledgement is held back until then; Infinity: until there is room. */
  heldUntilMs = 0

  constructor() {
    this.promise = new Promise((resolve, reject) => {
      this.resolve = resolve
      this.reject = reject
    })
    // A failure that nobody awaits is told by the next call and by the channel; it must not end the
    // process as an unhandled rejection.
    this.promise.catch(ignore)
  }
}

export class WriteGroups implements StoreEvents {
  #store: StoreHandle | undefined
  #path = ''
  #syncsAlways = true
  #afterSubmit: () => number = () => 0
  #relieve: () => void = ignore
  #open: WriteGroup | undefined
  readonly #waiting: WriteGroup[] = []
  /** Flushes where `sync` acknowledges before the sync. */
  readonly #waitingForSync: WriteGroup[] = []
  #durableSeq = 0
  #syncedSeq = 0
  #failure: HotboltError | undefined
  #longestWaitMs = 0
  /** Keeps the process alive: somebody may be waiting for what it holds back. */
  #timer: NodeJS.Timeout | undefined
  /** The next turn goes on with acknowledgements. */
  #goesOn = false

  /**
   * `afterSubmit` is called after each group has been handed to the journal, and tells until when
   * its acknowledgement is held back; `relieve` when a write was refused for want of space. They
   * must not throw.
   */
  attach(store: StoreHandle, sync: SyncMode, afterSubmit: () => number, relieve: () => void): void {
    const { path, durableSeq } = native.stats(store)
    this.#store = store
    this.#path = path
    this.#syncsAlways = sync === 'always'
    this.#durableSeq = this.#syncedSeq = durableSeq
    this.#afterSubmit = afterSubmit
    this.#relieve = relieve
  }

  /** The promise of what has been written in this turn. */
  join(): Promise<void> {
    return (this.#open ?? this.#begin()).promise
  }

  /** Resolves when everything written so far is synced, whatever the `sync` option says. */
  flush(): Promise<void> {
    if (this.#failure !== undefined) throw poisoned(this.#failure)
    this.#end()
    const group = new WriteGroup()
    if (this.#syncsAlways) {
      this.#settleOrWait(group, native.submit(this.#handle))
    } else {
      group.seq = native.forceSync(this.#handle)
      group.heldUntilMs = this.#waiting.at(-1)?.heldUntilMs ?? 0
      if (group.seq <= this.#syncedSeq && group.heldUntilMs === 0) group.resolve()
      else this.#waitingForSync.push(group)
    }
    return group.promise
  }

  /** Resolves when no group waits any more, however each of them ended. */
  async settled(): Promise<void> {
    this.#end()
    const groups = [...this.#waiting, ...this.#waitingForSync]
    await Promise.allSettled(groups.map((group) => group.promise))
  }

  readonly onDurable = (seq: number, syncedSeq: number): void => {
    this.#durableSeq = seq
    this.#syncedSeq = syncedSeq
    if (!this.#goesOn) this.#settleAll()
  }

  /** Acknowledgements up to `seq` that wait for room need not wait any longer. */
  readonly onRoom = (seq: number): void => {
    for (const group of [...this.#waiting, ...this.#waitingForSync]) {
      if (group.seq <= seq) group.heldUntilMs = 0
    }
    this.#settleAll()
  }

  /** The groups that wait get the failure itself; whoever comes later gets ERR_POISONED. */
  readonly onFailure = (error: HotboltError): void => {
    if (this.#failure !== undefined) return
    this.#failure = error
    clearTimeout(this.#timer)
    const groups = [...this.#waiting, ...this.#waitingForSync]
    if (this.#open !== undefined) groups.push(this.#open)
    this.#open = undefined
    this.#waiting.length = 0
    this.#waitingForSync.length = 0
    for (const group of groups) group.reject(error)
    publish('hotbolt:poisoned', { path: this.#path, error })
  }

  readonly onRefusal = (): void => this.#relieve()

  /** The longest time from a group's first write to its acknowledgement since the last reset. */
  get longestWaitMs(): number {
    const oldest = this.#waiting[0] ?? this.#open
    const waitedMs = oldest === undefined ? 0 : performance.now() - oldest.begunMs
    return Math.max(this.#longestWaitMs, waitedMs)
  }

  resetLongestWait(): void {
    this.#longestWaitMs = 0
  }

  get #handle(): StoreHandle {
    if (this.#store === undefined) throw new HotboltError('ERR_INTERNAL', 'The store is not open')
    return this.#store
  }

  #begin(): WriteGroup {
    if (this.#failure !== undefined) throw poisoned(this.#failure)
    const group = new WriteGroup()
    this.#open = group
    queueMicrotask(this.#end)
    return group
  }

  /** Hands the open group to the journal. */
  readonly #end = (): void => {
    const group = this.#open
    if (group === undefined) return
    this.#open = undefined
    try {
      this.#settleOrWait(group, native.submit(this.#handle))
    } catch (error) {
      // Nobody is on the stack to be told.
      group.reject(toHotboltError(error))
      return
    }
    group.heldUntilMs = this.#afterSubmit()
  }

  readonly #settleAll = (): void => {
    this.#settle(this.#waiting, this.#durableSeq)
    if (this.#waitingForSync.length > 0) this.#settle(this.#waitingForSync, this.#syncedSeq)
  }

  /** Resolves the groups at the front up to `seq`, as far as nothing holds them back. */
  #settle(groups: WriteGroup[], seq: number): void {
    const nowMs = performance.now()
    let settled = 0
    for (const group of groups) {
      if (group.seq > seq) break
      if (group.heldUntilMs > nowMs + timerMs) {
        this.#settleLater(group.heldUntilMs - nowMs)
        break
      }
      if (settled === groupsPerTurn) {
        this.#settleNextTurn()
        break
      }
      this.#longestWaitMs = Math.max(this.#longestWaitMs, nowMs - group.begunMs)
      group.resolve()
      settled++
    }
    groups.splice(0, settled)
  }

  #settleNextTurn(): void {
    if (this.#goesOn) return
    this.#goesOn = true
    setImmediate(() => {
      this.#goesOn = false
      this.#settleAll()
    })
  }

  #settleLater(waitMs: number): void {
    clearTimeout(this.#timer)
    if (waitMs !== Infinity) this.#timer = setTimeout(this.#settleAll, Math.ceil(waitMs))
  }

  /** A group that wrote nothing new may be durable already. */
  #settleOrWait(group: WriteGroup, seq: number): void {
    if (seq <= this.#durableSeq && this.#waiting.length === 0) group.resolve()
    else this.#wait(group, seq)
  }

  #wait(group: WriteGroup, seq: number): void {
    group.seq = seq
    this.#waiting.push(group)
  }
}

function poisoned(cause: HotboltError): HotboltError {
  const message = 'An earlier write or sync failed: close the database and open it again'
  return new HotboltError('ERR_POISONED', message, { cause })
}
