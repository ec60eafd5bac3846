// A stable state of the whole database, held as long as one likes.
//
// It costs no copy; what is written later is beside it. It keeps the pages and memtables it needs
// from being reused, and an old file from being given back after a defragmentation, until it is
// closed (or collected as garbage).

import { native, type SnapshotHandle } from '../native.ts'
import { HotboltError } from '../errors.ts'
import type { BucketOptions, NameOptions } from '../options.ts'
import type { Bytes } from '../rules.ts'
import { BucketView, codecsOf, namesIn, type KeyFor, type ValueFor } from './bucket-view.ts'
import type { ReadSource } from './read-source.ts'
import type { Store } from './store.ts'

class SnapshotSource implements ReadSource {
  readonly #store: Store
  #handle: SnapshotHandle | undefined

  constructor(store: Store) {
    this.#handle = native.snapshot(store.reader)
    this.#store = store
  }

  get reader(): SnapshotHandle {
    void this.#store.reader
    if (this.#handle === undefined) throw new HotboltError('ERR_CLOSED', 'The snapshot is closed')
    return this.#handle
  }

  close(): void {
    if (this.#handle === undefined) return
    native.closeSnapshot(this.#handle)
    this.#handle = undefined
  }
}

export class Snapshot {
  readonly #source: SnapshotSource

  /** @internal */
  constructor(store: Store) {
    this.#source = new SnapshotSource(store)
  }

  bucket<const Options extends BucketOptions = Record<never, never>>(
    name: Bytes,
    options?: Options,
  ): BucketView<KeyFor<Options>, ValueFor<Options>> {
    return new BucketView(this.#source, native.bucket(undefined, name), codecsOf(options))
  }

  /** The names of the top-level buckets, in order. */
  buckets<const Options extends NameOptions = Record<never, never>>(
    options?: Options,
  ): KeyFor<Options>[] {
    return namesIn(this.#source, native.rootBucket(), options)
  }

  /** Reads through it throw ERR_CLOSED from here on. May be called twice. */
  close(): void {
    this.#source.close()
  }

  [Symbol.dispose](): void {
    this.close()
  }
}
