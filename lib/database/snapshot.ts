// A stable state of the whole database, held as long as one likes.
//
// It costs no copy; what is written later is beside it. It keeps the pages and memtables it needs
// from being reused, and an old file from being given back after a defragmentation, until it is
// closed (or collected as garbage).

import { native, type SnapshotHandle } from '../native.ts'
import { HotboltError } from '../errors.ts'
import type { BucketOptions, NameOptions } from '../options.ts'
import type { Bytes } from '../rules.ts'
import { bucketPaths } from './bucket-paths.ts'
import { bucketOf, BucketView, namesIn } from './bucket-view.ts'
import type { BucketName, KeyFor, KeyIn, ValueIn } from './bucket-view.ts'
import type { BucketSource } from './read-source.ts'
import type { Store } from './store.ts'

class SnapshotSource implements BucketSource {
  readonly store: Store
  #handle: SnapshotHandle | undefined

  constructor(store: Store) {
    this.#handle = native.snapshot(store.reader)
    this.store = store
  }

  get reader(): SnapshotHandle {
    void this.store.reader
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

  /** A handle, of a name or of another handle: then with its path and its codecs. */
  bucket<
    const Options extends BucketOptions = Record<never, never>,
    Name extends BucketName = Bytes,
  >(name: Name, options?: Options): BucketView<KeyIn<Name, Options>, ValueIn<Name, Options>> {
    const { handle, codecs } = bucketOf(this.#source, name, options)
    return new BucketView(this.#source, handle, codecs)
  }

  /** The names of the top-level buckets, in order. */
  buckets<const Options extends NameOptions = Record<never, never>>(
    options?: Options,
  ): KeyFor<Options>[] {
    return namesIn(this.#source, native.rootBucket(), options)
  }

  /** The paths of all buckets, each before those inside it. ERR_CORRUPT where they share pages. */
  bucketPaths(): Iterable<Buffer[]> {
    return bucketPaths(this.#source, native.rootBucket())
  }

  /** Reads through it throw ERR_CLOSED from here on. May be called twice. */
  close(): void {
    this.#source.close()
  }

  [Symbol.dispose](): void {
    this.close()
  }
}
