// What an update's callback works on: a private view over the state in which the update began, with
// the update's own writes on top. Nothing of it is visible to others before the commit.

import { native, type BucketHandle, type TxHandle } from '../native.ts'
import { HotboltError } from '../errors.ts'
import type { BucketOptions, NameOptions } from '../options.ts'
import type { Bytes } from '../rules.ts'
import { bucketOf, BucketView, codecsOf, namesIn } from './bucket-view.ts'
import type { BucketName, Codecs, KeyFor, KeyIn, ValueFor, ValueIn } from './bucket-view.ts'
import { requireSequence } from './bucket.ts'
import type { ValueInput } from './codec.ts'
import type { BucketSource } from './read-source.ts'
import type { Store } from './store.ts'

/** The native transaction, and the gate that closes when it ends. */
export class TransactionScope implements BucketSource {
  readonly store: Store
  #handle: TxHandle | undefined

  constructor(store: Store) {
    this.store = store
    this.#handle = native.begin(store.handle)
  }

  get open(): boolean {
    return this.#handle !== undefined
  }

  get reader(): TxHandle {
    if (this.#handle !== undefined) return this.#handle
    throw new HotboltError('ERR_TX_CLOSED', 'The transaction has ended')
  }

  /** False: something it had read was changed meanwhile, and nothing has been written. */
  commit(): boolean {
    const handle = this.reader
    this.#handle = undefined
    return native.commit(handle) >= 0
  }

  rollback(): void {
    if (this.#handle === undefined) return
    native.rollback(this.#handle)
    this.#handle = undefined
  }
}

/** Reads and writes, of its buckets too, throw ERR_TX_CLOSED once the update has ended. */
export class Transaction {
  readonly #scope: TransactionScope

  /** @internal */
  constructor(scope: TransactionScope) {
    this.#scope = scope
  }

  /**
   * A handle; the bucket is created by its first write. Instead of a name it takes a handle of the
   * same database, `tx.bucket(users)`: with its path and its codecs.
   */
  bucket<
    const Options extends BucketOptions = Record<never, never>,
    Name extends BucketName = Bytes,
  >(
    name: Name,
    options?: Options,
  ): TransactionBucket<KeyIn<Name, Options>, ValueIn<Name, Options>> {
    const { handle, codecs } = bucketOf(this.#scope, name, options)
    return new TransactionBucket(this.#scope, handle, codecs)
  }

  /** The names of the top-level buckets, in order. */
  buckets<const Options extends NameOptions = Record<never, never>>(
    options?: Options,
  ): KeyFor<Options>[] {
    return namesIn(this.#scope, native.rootBucket(), options)
  }

  /** ERR_BUCKET_EXISTS if it does. */
  createBucket(name: Bytes): void {
    native.createBucket(this.#scope.reader, native.bucket(undefined, name))
  }

  /** With everything in it. ERR_BUCKET_NOT_FOUND if it does not exist. */
  deleteBucket(name: Bytes): void {
    native.deleteBucket(this.#scope.reader, native.bucket(undefined, name))
  }
}

/** A bucket inside a transaction; writes take effect with its commit. */
export class TransactionBucket<Key = Buffer, Value = Buffer> extends BucketView<Key, Value> {
  readonly #scope: TransactionScope

  /** @internal */
  constructor(scope: TransactionScope, handle: BucketHandle, codecs: Codecs<Key, Value>) {
    super(scope, handle, codecs)
    this.#scope = scope
  }

  put(key: Bytes, value: ValueInput<Value>): void {
    native.put(this.#scope.reader, this.handle, key, this.codecs.value.encode(value))
  }

  /** A missing key is no error. */
  delete(key: Bytes): void {
    native.remove(this.#scope.reader, this.handle, key)
  }

  /** Counts the bucket's sequence up by one and returns the new value. */
  nextSequence(): bigint {
    const next = BigInt.asUintN(64, this.sequence + 1n)
    this.setSequence(next)
    return next
  }

  setSequence(value: bigint): void {
    requireSequence(value)
    native.setSequence(this.#scope.reader, this.handle, value)
  }

  /** A bucket inside this one: a handle; it is created by its first write. */
  override bucket<const Options extends BucketOptions = Record<never, never>>(
    name: Bytes,
    options?: Options,
  ): TransactionBucket<KeyFor<Options>, ValueFor<Options>> {
    return new TransactionBucket(this.#scope, native.bucket(this.handle, name), codecsOf(options))
  }

  /** ERR_BUCKET_EXISTS if it does. */
  createBucket(name: Bytes): void {
    native.createBucket(this.#scope.reader, native.bucket(this.handle, name))
  }

  /** With everything in it. ERR_BUCKET_NOT_FOUND if it does not exist. */
  deleteBucket(name: Bytes): void {
    native.deleteBucket(this.#scope.reader, native.bucket(this.handle, name))
  }
}
