// A bucket of the open database: what is read is the newest state, what is written is a transaction
// of its own, visible when the call returns and durable when its promise resolves.
//
// Writes throw what is wrong with the call or the store (ERR_CLOSED, ERR_READ_ONLY, ERR_POISONED,
// ERR_KEY_REQUIRED and so on) at once; their promise rejects only when the journal fails.

import { native, type BucketHandle } from '../native.ts'
import { checkCountOptions, type BucketOptions, type CountOptions } from '../options.ts'
import { invalid, type Bytes } from '../rules.ts'
import { toBounds } from './bounds.ts'
import { BucketView, codecsOf } from './bucket-view.ts'
import type { Codecs, KeyFor, ValueFor } from './bucket-view.ts'
import type { ValueInput } from './codec.ts'
import type { Store } from './store.ts'

export class Bucket<Key = Buffer, Value = Buffer> extends BucketView<Key, Value> {
  readonly #store: Store

  /** @internal */
  constructor(store: Store, handle: BucketHandle, codecs: Codecs<Key, Value>) {
    super(store, handle, codecs)
    this.#store = store
  }

  /** Creates the bucket, and those it is in, if need be. */
  put(key: Bytes, value: ValueInput<Value>): Promise<void> {
    const store = this.#store
    native.put(store.writer, this.handle, key, this.codecs.value.encode(value))
    return store.groups.join()
  }

  /** A missing key is no error. */
  delete(key: Bytes): Promise<void> {
    const store = this.#store
    native.remove(store.writer, this.handle, key)
    return store.groups.join()
  }

  /**
   * Counts the bucket's sequence up by one and returns the new value. It is durable with the next
   * write or flush that is.
   */
  nextSequence(): bigint {
    const next = BigInt.asUintN(64, this.sequence + 1n)
    void this.setSequence(next)
    return next
  }

  setSequence(value: bigint): Promise<void> {
    requireSequence(value)
    const store = this.#store
    native.setSequence(store.writer, this.handle, value)
    return store.groups.join()
  }

  /** The number of keys now, found out on a thread: for large buckets. */
  async countAsync(options?: CountOptions): Promise<number> {
    const bounds = toBounds(checkCountOptions(options))
    return await this.#store.survey((state) => native.countSnapshot(state, this.handle, bounds))
  }

  /** A bucket inside this one: a handle; it is created by its first write. */
  override bucket<const Options extends BucketOptions = Record<never, never>>(
    name: Bytes,
    options?: Options,
  ): Bucket<KeyFor<Options>, ValueFor<Options>> {
    return new Bucket(this.#store, native.bucket(this.handle, name), codecsOf(options))
  }

  /** ERR_BUCKET_EXISTS if it does. */
  createBucket(name: Bytes): Promise<void> {
    return createBucket(this.#store, this.handle, name)
  }

  /** With everything in it. ERR_BUCKET_NOT_FOUND if it does not exist. */
  deleteBucket(name: Bytes): Promise<void> {
    return deleteBucket(this.#store, this.handle, name)
  }
}

export function createBucket(store: Store, parent: BucketHandle, name: Bytes): Promise<void> {
  native.createBucket(store.writer, native.bucket(parent, name))
  return store.groups.join()
}

export function deleteBucket(store: Store, parent: BucketHandle, name: Bytes): Promise<void> {
  native.deleteBucket(store.writer, native.bucket(parent, name))
  return store.groups.join()
}

/** What a bucket's sequence can be. */
export function requireSequence(value: bigint): void {
  if (typeof value === 'bigint' && BigInt.asUintN(64, value) === value) return
  throw invalid('value', 'a bigint from 0n to 2n ** 64n - 1n', value)
}
