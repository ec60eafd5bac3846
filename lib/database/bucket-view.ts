// One bucket as it can be read: through the store, a snapshot or a transaction.
//
// A handle holds a path of names; nothing is looked up until it is used, and a bucket that does not
// exist reads as an empty one.

import { native, type BucketHandle } from '../native.ts'
import { HotboltError } from '../errors.ts'
import {
  checkBucketOptions,
  checkCountOptions,
  checkNameOptions,
  checkRangeOptions,
  type BucketOptions,
  type CountOptions,
  type KeyCodecName,
  type NameOptions,
  type RangeOptions,
  type ValueCodecName,
} from '../options.ts'
import { invalid, rule, type Bytes } from '../rules.ts'
import { everything, toBounds } from './bounds.ts'
import { bucketPaths } from './bucket-paths.ts'
import type { Cursor, CursorMode } from './cursor.ts'
import { keyCodec, valueCodec } from './codec.ts'
import type { KeyCodec, KeyOf, ValueCodec, ValueOf } from './codec.ts'
import { bucketNames, Range } from './range.ts'
import type { BucketSource, ReadSource } from './read-source.ts'

/** What a handle's options make of keys and values. */
export interface Codecs<Key, Value> {
  readonly key: KeyCodec<Key>
  readonly value: ValueCodec<Value>
}

export type KeyFor<Options extends BucketOptions> = KeyOf<
  Options['key'] extends KeyCodecName ? Options['key'] : 'buffer'
>
export type ValueFor<Options extends BucketOptions> = ValueOf<
  Options['value'] extends ValueCodecName ? Options['value'] : 'buffer'
>

/** The codecs that options ask for; Buffers when they ask for nothing. */
export function codecsOf<Options extends BucketOptions>(
  options?: Options,
): Codecs<KeyFor<Options>, ValueFor<Options>> {
  const { key = 'buffer', value = 'buffer' } = checkBucketOptions(options)
  return { key: keyCodec(key), value: valueCodec(value) } as Codecs<
    KeyFor<Options>,
    ValueFor<Options>
  >
}

/** What a bucket at the top is asked for by: its name, or a handle that leads to any bucket. */
// oxlint-disable-next-line typescript/no-explicit-any -- of whatever types
export type BucketName = Bytes | BucketView<any, any>

export type KeyIn<Name extends BucketName, Options extends BucketOptions> =
  Name extends BucketView<infer Key, unknown> ? Key : KeyFor<Options>
export type ValueIn<Name extends BucketName, Options extends BucketOptions> =
  Name extends BucketView<infer _, infer Value> ? Value : ValueFor<Options>

interface BucketParts<Key, Value> {
  readonly source: BucketSource
  readonly handle: BucketHandle
  readonly codecs: Codecs<Key, Value>
}

let partsOf: <Key, Value>(view: BucketView<Key, Value>) => BucketParts<Key, Value>

/**
 * The bucket at the top that a name means, or wherever a handle of the same database leads. A
 * handle brings its codecs: options beside it are refused.
 */
export function bucketOf<Name extends BucketName, Options extends BucketOptions>(
  { store }: BucketSource,
  name: Name,
  options?: Options,
): Omit<BucketParts<KeyIn<Name, Options>, ValueIn<Name, Options>>, 'source'> {
  type Found = BucketParts<KeyIn<Name, Options>, ValueIn<Name, Options>>
  if (!(name instanceof BucketView)) {
    const codecs = codecsOf(options) as unknown as Found['codecs']
    return { handle: native.bucket(undefined, name), codecs }
  }
  if (options !== undefined) throw invalid('options', 'left out: the handle has its own', options)
  const { source, ...parts } = partsOf(name) as Found
  if (source.store === store) return parts
  const message = 'The handle is of another database: give the bucket by its name'
  throw new HotboltError('ERR_INVALID_ARGUMENT', message)
}

/** The names of the buckets at the top, or inside a bucket. */
export function namesIn<Options extends NameOptions>(
  source: ReadSource,
  bucket: BucketHandle,
  options?: Options,
): KeyFor<Options>[] {
  return [...rangeOfNames(source, bucket, options)]
}

export function rangeOfNames<Options extends NameOptions>(
  source: ReadSource,
  bucket: BucketHandle,
  options?: Options,
): Range<KeyFor<Options>> {
  const { key = 'buffer' } = checkNameOptions(options)
  return bucketNames(source, bucket, everything, keyCodec(key).view) as Range<KeyFor<Options>>
}

export class BucketView<Key = Buffer, Value = Buffer> {
  static {
    partsOf = ({ source, handle, codecs }) => ({ source, handle, codecs })
  }

  protected readonly source: BucketSource
  protected readonly handle: BucketHandle
  protected readonly codecs: Codecs<Key, Value>

  /** @internal */
  constructor(source: BucketSource, handle: BucketHandle, codecs: Codecs<Key, Value>) {
    this.source = source
    this.handle = handle
    this.codecs = codecs
  }

  /** Whether the bucket exists. */
  get exists(): boolean {
    return native.bucketExists(this.source.reader, this.handle)
  }

  /** The bucket's own counter; 0 until it is set. */
  get sequence(): bigint {
    return native.sequence(this.source.reader, this.handle)
  }

  /** The value; undefined when the key is missing or is a bucket. */
  get(key: Bytes): Value | undefined {
    const found = native.get(this.source.reader, this.handle, key)
    if (typeof found !== 'number') return this.codecs.value.view(found, 0, found.length)
    return found < 0 ? undefined : this.codecs.value.copy(native.scratch, 0, found)
  }

  /** The values of one state, in the order of the keys given. */
  getMany(keys: readonly Bytes[]): (Value | undefined)[] {
    if (!Array.isArray(keys)) throw invalid('keys', 'an array', keys)
    const values: (Value | undefined)[] = []
    try {
      for (const key of keys) values.push(this.get(key))
    } catch (error) {
      const index = values.length
      if (rule.bytes.accepts(keys[index])) throw error
      throw invalid(`keys[${index}]`, rule.bytes.expected, keys[index])
    }
    return values
  }

  /**
   * Copies as much of the value's bytes as fits into `target` and returns the value's full length;
   * undefined when the key is missing. Allocates nothing.
   */
  getInto(key: Bytes, target: Uint8Array): number | undefined {
    const length = native.getInto(this.source.reader, this.handle, key, target)
    return length < 0 ? undefined : length
  }

  /** Whether the key has a value. */
  has(key: Bytes): boolean {
    return native.has(this.source.reader, this.handle, key)
  }

  /** The number of keys; buckets are not counted. Looks at every page of the keys. */
  count(options?: CountOptions): number {
    const bounds = toBounds(checkCountOptions(options))
    return native.count(this.source.reader, this.handle, bounds)
  }

  /** Keys with their values, in byte order of the keys. */
  range(options?: RangeOptions): Range<[Key, Value]> {
    return this.#iterate('entries', options, (cursor) => [this.#key(cursor), this.#value(cursor)])
  }

  keys(options?: RangeOptions): Range<Key> {
    return this.#iterate('keys', options, (cursor) => this.#key(cursor))
  }

  values(options?: RangeOptions): Range<Value> {
    return this.#iterate('entries', options, (cursor) => this.#value(cursor))
  }

  /** The names of the buckets inside this one, in order. */
  buckets(): Key[] {
    return [...this.bucketNames()]
  }

  /** The same to be iterated over: with `for await` without a long turn of the event loop. */
  bucketNames(): Range<Key> {
    return bucketNames(this.source, this.handle, everything, this.codecs.key.view)
  }

  /**
   * The paths of all buckets inside this one, at any depth, each before those inside it.
   * ERR_CORRUPT where buckets share pages.
   */
  bucketPaths(): Iterable<Buffer[]> {
    return bucketPaths(this.source, this.handle)
  }

  /** A bucket inside this one; ERR_INVALID_ARGUMENT if it would be the 255th on its path. */
  bucket<const Options extends BucketOptions = Record<never, never>>(
    name: Bytes,
    options?: Options,
  ): BucketView<KeyFor<Options>, ValueFor<Options>> {
    return new BucketView(this.source, native.bucket(this.handle, name), codecsOf(options))
  }

  #iterate<Item>(
    mode: CursorMode,
    options: RangeOptions | undefined,
    item: (cursor: Cursor) => Item,
  ): Range<Item> {
    const { reverse = false, limit = Infinity, ...bounds } = checkRangeOptions(options)
    const { source, handle: bucket } = this
    return new Range({ source, bucket, bounds: toBounds(bounds), reverse, limit, mode, item })
  }

  #key(cursor: Cursor): Key {
    return this.codecs.key.view(cursor.slab, cursor.keyStart, cursor.valueStart)
  }

  #value(cursor: Cursor): Value {
    return this.codecs.value.view(cursor.slab, cursor.valueStart, cursor.valueEnd)
  }
}
