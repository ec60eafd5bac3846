// A position among the entries of a bucket, fed by batches from native.
//
// Batches grow, so that the first entry arrives soon and long ranges cross the border rarely. Each
// batch has a slab of its own, which is never written again and cannot be transferred: views of it
// stay valid as long as somebody holds them. The cursor reads the state of the moment in which it
// was made.

import { markAsUntransferable } from 'node:worker_threads'
import { native, type BucketHandle, type CursorBounds, type CursorHandle } from '../native.ts'
import type { ReadSource } from './read-source.ts'

export type CursorMode = 'entries' | 'keys' | 'buckets'

/** Small enough for Node's pool of buffers: its own allocation would cost 1 us. */
const firstSlabBytes = 2 << 10
const firstEntries = 16
const lastEntries = 1024
const lastSlabBytes = 64 << 10
const growth = 4

const noSlab = Buffer.alloc(0)
const noLengths = new Uint32Array(0)

export class Cursor {
  /** The current entry: key in [keyStart, valueStart), value in [valueStart, valueEnd). */
  slab: Buffer = noSlab
  keyStart = 0
  valueStart = 0
  valueEnd = 0

  readonly #source: ReadSource
  #handle: CursorHandle | undefined
  #lengths = noLengths
  #index = 0
  #entries = firstEntries
  #slabBytes = firstSlabBytes

  constructor(
    source: ReadSource,
    bucket: BucketHandle,
    bounds: CursorBounds,
    reverse: boolean,
    mode: CursorMode,
  ) {
    this.#source = source
    this.#handle = native.cursor(source.reader, bucket, bounds, reverse, mode)
  }

  /** Whether the next advance() only steps within the batch at hand. */
  get buffered(): boolean {
    return this.#index < this.#lengths.length
  }

  get key(): Buffer {
    return this.slab.subarray(this.keyStart, this.valueStart)
  }

  get value(): Buffer {
    return this.slab.subarray(this.valueStart, this.valueEnd)
  }

  /** Goes to the next entry; false at the end. */
  advance(): boolean {
    if (!this.buffered && !this.#fill()) return false
    this.keyStart = this.valueEnd
    this.valueStart = this.keyStart + (this.#lengths[this.#index] ?? 0)
    this.valueEnd = this.valueStart + (this.#lengths[this.#index + 1] ?? 0)
    this.#index += 2
    return true
  }

  /** May be called at any time, and twice. */
  close(): void {
    if (this.#handle === undefined) return
    native.closeCursor(this.#handle, (this.#lengths.length - this.#index) / 2)
    this.#handle = undefined
    this.#index = this.#lengths.length
  }

  /** Fetches until there is an entry; false at the end. */
  #fill(): boolean {
    while (!this.fetch());
    return this.buffered
  }

  /** Reads the next batch if there is none at hand; false: it is not found yet. */
  fetch(): boolean {
    if (this.buffered || this.#handle === undefined) return true
    // Asked for its effect: it throws when the store, snapshot or transaction has been closed.
    void this.#source.reader
    const count = this.#read(this.#handle, this.#slabBytes)
    if (count < 0) this.close()
    if (count <= 0) return count < 0
    // Copied, because the next read of any cursor overwrites it.
    this.#lengths = native.batchLengths.slice(0, 2 * count)
    this.#index = 0
    this.valueEnd = 0
    this.#entries = Math.min(this.#entries * growth, lastEntries)
    this.#slabBytes = Math.min(this.#slabBytes * growth, lastSlabBytes)
    return true
  }

  /** The number of entries in a new slab; its size is raised when the next entry needs that. */
  #read(handle: CursorHandle, slabBytes: number): number {
    this.slab = Buffer.allocUnsafe(slabBytes)
    // Whoever transfers one entry would take the others of the batch away.
    markAsUntransferable(this.slab.buffer)
    const count = native.read(handle, this.slab, this.#entries)
    return count < -1 ? this.#read(handle, -count) : count
  }
}
