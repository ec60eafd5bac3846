// What range(), keys() and values() return: something to iterate over, as often as one likes.

import type { BucketHandle, CursorBounds } from '../native.ts'
import { Cursor, type CursorMode } from './cursor.ts'
import type { ReadSource } from './read-source.ts'

/** How a range is read, and what is made of each entry. */
export interface RangePlan<Item> {
  readonly source: ReadSource
  readonly bucket: BucketHandle
  readonly bounds: CursorBounds
  readonly reverse: boolean
  readonly limit: number
  readonly mode: CursorMode
  /** The item of the cursor's current entry; may refer to its slab. */
  readonly item: (cursor: Cursor) => Item
}

/**
 * Entries in key order. Each iteration sees the state of the moment in which it begins, whatever is
 * written meanwhile. `for await` gives the event loop a turn between batches. Items that are
 * Buffers share memory with their neighbours (up to 64 KiB): copy those that are kept for long.
 */
export class Range<Item> implements Iterable<Item>, AsyncIterable<Item> {
  readonly #plan: RangePlan<Item>

  /** @internal */
  constructor(plan: RangePlan<Item>) {
    this.#plan = plan
  }

  [Symbol.iterator](): IterableIterator<Item> {
    return new RangeIterator(this.#plan)
  }

  [Symbol.asyncIterator](): AsyncIterableIterator<Item> {
    return new AsyncRangeIterator(this.#plan)
  }
}

class RangeIterator<Item> implements IterableIterator<Item> {
  readonly #cursor: Cursor
  readonly #item: (cursor: Cursor) => Item
  #left: number

  constructor(plan: RangePlan<Item>) {
    this.#cursor = new Cursor(plan.source, plan.bucket, plan.bounds, plan.reverse, plan.mode)
    this.#item = plan.item
    this.#left = plan.limit
  }

  /** Whether next() stays within what has been read. */
  get buffered(): boolean {
    return this.#cursor.buffered || this.#left === 0
  }

  /** Reads what next() needs; false: not all of it yet. */
  fetch(): boolean {
    return this.#left === 0 || this.#cursor.fetch()
  }

  next(): IteratorResult<Item, undefined> {
    if (this.#left === 0 || !this.#cursor.advance()) return this.return()
    this.#left--
    return { done: false, value: this.#item(this.#cursor) }
  }

  return(): IteratorResult<Item, undefined> {
    this.#left = 0
    this.#cursor.close()
    return { done: true, value: undefined }
  }

  throw(error: unknown): never {
    this.return()
    throw error
  }

  [Symbol.iterator](): this {
    return this
  }
}

class AsyncRangeIterator<Item> implements AsyncIterableIterator<Item> {
  readonly #iterator: RangeIterator<Item>
  #begun = false

  constructor(plan: RangePlan<Item>) {
    this.#iterator = new RangeIterator(plan)
  }

  async next(): Promise<IteratorResult<Item, undefined>> {
    if (this.#begun && !this.#iterator.buffered) await turnOfEventLoop()
    this.#begun = true
    while (!this.#iterator.fetch()) await turnOfEventLoop()
    return this.#iterator.next()
  }

  async return(): Promise<IteratorResult<Item, undefined>> {
    return this.#iterator.return()
  }

  async throw(error: unknown): Promise<never> {
    return this.#iterator.throw(error)
  }

  [Symbol.asyncIterator](): this {
    return this
  }
}

/** Resolves after everything that is due now has had its turn. */
export function turnOfEventLoop(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve)
  })
}

/** The names of the buckets inside a bucket, in order. */
export function bucketNames<Name>(
  source: ReadSource,
  bucket: BucketHandle,
  bounds: CursorBounds,
  view: (slab: Buffer, start: number, end: number) => Name,
): Range<Name> {
  const item = (cursor: Cursor): Name => view(cursor.slab, cursor.keyStart, cursor.valueStart)
  const plan = { source, bucket, bounds, reverse: false, limit: Infinity, item }
  return new Range<Name>({ ...plan, mode: 'buckets' })
}
