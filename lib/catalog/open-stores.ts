// The open stores of a catalog: at most `maxOpen`, unless more are in use at a time.
//
// A store that nobody leases stays open until its place is needed: then the one that was used least
// recently is closed, which flushes it, before the next one is opened. One that is at work (a
// defragmentation, an update), or is held otherwise, is passed over; where all are, the next one is
// opened all the same: waiting could last for ever, and the limit is there for memory and
// descriptors, of which there is some more. What is above the limit is closed as soon as it can be.
//
// Where the process may have few descriptors, fewer stores are open: each of them has to find those
// that a write needs. An idle store whose journal is empty has one descriptor.
//
// A store is opened under its name's lock (name-locks.ts). It is closed without: whoever then opens
// it again waits here for the close.

import { readFile } from 'node:fs/promises'
import { constants } from 'node:os'
import { publish } from '../channels.ts'
import { storeOf, type Database } from '../database/database.ts'
import type { Store } from '../database/store.ts'
import { HotboltError, toHotboltError } from '../errors.ts'
import { Semaphore } from '../backup/semaphore.ts'
import { native } from '../native.ts'

/** Of a store that is only read; of any other: two journal segments more, and one in passing. */
const descriptorsOfReading = 1
const descriptorsOfWriting = 4
/** For everything else in the process. */
const descriptorsKept = 64
/** Each open has a thread. */
const opensMax = 16
/** Of whole catalogs: syncs of different files wait for the same disk. */
const closesMax = 16
/** What a process runs out of when it opens many files. */
const shortages: readonly number[] = [
  constants.errno.EMFILE,
  constants.errno.ENFILE,
  constants.errno.ENOMEM,
]

/**
 * How many descriptors the stores may have, as far as the system tells. (A store without one for
 * its journal could not be written any more.)
 */
export async function descriptorsOfStores(): Promise<number> {
  const limits = await readFile('/proc/self/limits', 'latin1').catch(() => '')
  const limit = /^Max open files\s+(\d+)/m.exec(limits)?.[1]
  return limit === undefined ? Infinity : Number(limit) - descriptorsKept
}

export class OpenStore {
  readonly name: string
  readonly db: Database
  /** Of users; and of copies that are being made. */
  leases = 0
  holds = 0
  /** That it has or may need; counted by OpenStores. */
  descriptors: number = descriptorsOfWriting
  /** It has been opened for somebody, who has not used it yet. */
  isExpected = true
  closed: Promise<void> | undefined

  constructor(name: string, db: Database) {
    this.name = name
    this.db = db
  }

  get store(): Store {
    return storeOf(this.db)
  }

  /** Neither we nor a user has begun to close it. */
  get isUsable(): boolean {
    return !this.store.isClosing
  }

  get isInUse(): boolean {
    return this.leases > 0 || this.holds > 0
  }
}

export interface OpenStoresEvents {
  /** ERR_NOT_FOUND unless there is such a store. */
  readonly requireFile: (name: string) => Promise<void>
  readonly openFile: (name: string) => Promise<Database>
  /** Before anybody else has it. Must not throw. */
  readonly onOpen: (open: OpenStore) => void
  /** It must stay open, though nobody uses it; until reconsider() is called. */
  readonly isHeld: (open: OpenStore) => boolean
  /** Nothing that is written is lost, but snapshots end. Must not throw. */
  readonly onClose: (open: OpenStore) => void
}

export class OpenStores {
  readonly #events: OpenStoresEvents
  readonly #maxOpen: number
  readonly #maxDescriptors: number
  /** Also those that are being closed. */
  readonly #stores = new Map<string, OpenStore>()
  /** Used least recently first. */
  readonly #idle = new Set<OpenStore>()
  /** Idle ones that were found to be held: not looked at again before reconsider(). */
  readonly #held = new Set<OpenStore>()
  readonly #opening = new Semaphore(opensMax)
  /** Of stores that are open, being opened or being closed. */
  #places = 0
  #closing = 0
  /** Of the same stores, and of those that are being closed. */
  #descriptors = 0
  #closingDescriptors = 0
  #opens = 0
  #evictions = 0
  #peak = 0

  constructor(maxOpen: number, maxDescriptors: number, events: OpenStoresEvents) {
    this.#maxOpen = maxOpen
    this.#maxDescriptors = maxDescriptors
    this.#events = events
  }

  get stats(): { open: number; inUse: number; peak: number; opens: number; evictions: number } {
    const open = this.#stores.size
    const inUse = open - this.#closing - this.#idle.size - this.#held.size
    return { open, inUse, peak: this.#peak, opens: this.#opens, evictions: this.#evictions }
  }

  /** The store, if it is open and stays so for this turn of the event loop. */
  find(name: string): OpenStore | undefined {
    const open = this.#stores.get(name)
    return open?.isUsable === true ? open : undefined
  }

  /**
   * The number of the newest write of a store that is being closed, to which an update that has
   * begun may add; undefined: there is none, or nothing is added any more.
   */
  seqOfClosing(name: string): number | undefined {
    const open = this.#stores.get(name)
    if (open?.store.isBusy !== true) return undefined
    try {
      return native.stats(open.store.handle).lastSeq
    } catch {
      return undefined // it is closed, but for its file
    }
  }

  /** All of them. */
  usable(): OpenStore[] {
    return [...this.#stores.values()].filter((open) => open.isUsable)
  }

  /** Requires: the name's lock. To be used in the turn in which it resolves. ERR_NOT_FOUND. */
  async open(name: string): Promise<OpenStore> {
    const present = this.#stores.get(name)
    if (present?.isUsable === true) return present
    if (present !== undefined) await this.close(present)
    await this.#events.requireFile(name)
    await this.#makeRoom()
    this.#takePlace()
    try {
      const open = new OpenStore(name, await this.#opening.run(() => this.#openFile(name)))
      this.#stores.set(name, open)
      this.#idle.add(open)
      this.#countDescriptors(open)
      this.#opens++
      this.#events.onOpen(open)
      return open
    } catch (error) {
      this.#leavePlace(descriptorsOfWriting)
      throw error
    }
  }

  /** It is in use from here on, until release(). */
  use(open: OpenStore, purpose: 'leases' | 'holds'): void {
    open[purpose]++
    open.isExpected = false
    this.#idle.delete(open)
    this.#held.delete(open)
    this.#countDescriptors(open)
    this.trim()
  }

  release(open: OpenStore, purpose: 'leases' | 'holds'): void {
    open[purpose]--
    if (open.isInUse || this.#stores.get(open.name) !== open) return
    // Closed by a user, or poisoned: whoever opens it next gets one that works.
    if (!open.isUsable || native.stats(open.store.handle).poisoned) void this.close(open)
    else this.#idle.add(open)
    this.#countDescriptors(open)
    this.trim()
  }

  /** It may not be held any more. */
  reconsider(name: string): void {
    const open = this.#stores.get(name)
    if (open !== undefined && this.#held.delete(open)) this.#idle.add(open)
    this.trim()
  }

  /** Closes what is above the limit and can be closed. */
  trim(): void {
    while (this.#places - this.#closing > this.#maxOpen || this.#hasTooManyDescriptors) {
      if (this.#evictOne() === undefined) return
    }
  }

  /** Never rejects: what has not been written into the file is in the journal. */
  close(open: OpenStore): Promise<void> {
    open.closed ??= this.#close(open).catch((cause: unknown) => {
      const error = toHotboltError(cause)
      publish('hotbolt:close-failed', { path: open.db.path, error })
    })
    return open.closed
  }

  /** If it is open, or just being closed. Requires: the name's lock. */
  async closeName(name: string): Promise<void> {
    const open = this.#stores.get(name)
    if (open !== undefined) await this.close(open)
  }

  /** All, whoever uses them. Rejects with the first failure, once all are closed. */
  async closeAll(): Promise<void> {
    const closes = new Semaphore(closesMax)
    const all = [...this.#stores.values()].map((open) =>
      closes.run(() => this.close(open).then(() => open.db.close())),
    )
    await Promise.allSettled(all)
    await Promise.all(all)
  }

  async #close(open: OpenStore): Promise<void> {
    this.#idle.delete(open)
    this.#held.delete(open)
    this.#closing++
    this.#events.onClose(open)
    this.#closingDescriptors += open.descriptors
    try {
      await open.db.close()
    } finally {
      this.#closing--
      this.#closingDescriptors -= open.descriptors
      this.#leavePlace(open.descriptors)
      this.#stores.delete(open.name)
    }
  }

  #takePlace(): void {
    this.#places++
    this.#descriptors += descriptorsOfWriting
    this.#peak = Math.max(this.#peak, this.#places)
  }

  #leavePlace(descriptors: number): void {
    this.#places--
    this.#descriptors -= descriptors
  }

  /** Of a store that is in use it is not known what happens next. */
  #countDescriptors(open: OpenStore): void {
    if (open.closed !== undefined) return
    const isReading =
      !open.isInUse && open.isUsable && native.stats(open.store.handle).journalBytes === 0
    const descriptors = isReading ? descriptorsOfReading : descriptorsOfWriting
    this.#descriptors += descriptors - open.descriptors
    open.descriptors = descriptors
  }

  /** Apart from those that will be free soon. */
  get #hasTooManyDescriptors(): boolean {
    return this.#descriptors - this.#closingDescriptors > this.#maxDescriptors
  }

  async #makeRoom(): Promise<void> {
    while (
      this.#places >= this.#maxOpen ||
      this.#descriptors + descriptorsOfWriting > this.#maxDescriptors
    ) {
      const closed = this.#evictOne()
      if (closed === undefined) return
      await closed
    }
  }

  /** Undefined: none can be closed. */
  #evictOne(): Promise<void> | undefined {
    for (const open of this.#idle) {
      if (open.isExpected || (open.isUsable && open.store.isBusy)) continue
      if (open.isUsable && this.#events.isHeld(open)) {
        this.#idle.delete(open)
        this.#held.add(open)
        continue
      }
      this.#evictions++
      return this.close(open)
    }
    return undefined
  }

  async #openFile(name: string): Promise<Database> {
    for (;;) {
      try {
        return await this.#events.openFile(name)
      } catch (error) {
        const isShortage = HotboltError.is(error) && shortages.includes(error.errno ?? 0)
        const closed = isShortage ? this.#evictOne() : undefined
        if (closed === undefined) throw error
        await closed
      }
    }
  }
}
