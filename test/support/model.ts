// What a database ought to contain: plain maps, nothing clever. The tests do each operation on both
// and compare.
//
// Keys and names are held as latin1 strings, one character per byte, whose order is that of the
// bytes.

import { HotboltError, type ErrorCode } from '../../lib/index.ts'
import type { Bytes, RangeOptions } from '../../lib/index.ts'
import { CanonicalDump } from '../oracle/dump.ts'

export type Path = readonly Bytes[]

function toText(bytes: Bytes): string {
  return Buffer.from(bytes).toString('latin1')
}

export function fromText(text: string): Buffer {
  return Buffer.from(text, 'latin1')
}

function refuse(code: ErrorCode): never {
  throw new HotboltError(code, 'the model refuses this')
}

export class ModelBucket {
  sequence = 0n
  readonly entries: Map<string, Buffer | ModelBucket> = new Map()

  clone(): ModelBucket {
    const copy = new ModelBucket()
    copy.sequence = this.sequence
    for (const [name, entry] of this.entries) {
      copy.entries.set(name, entry instanceof ModelBucket ? entry.clone() : entry)
    }
    return copy
  }

  /** Names and entries in order. */
  sorted(): [string, Buffer | ModelBucket][] {
    return [...this.entries].toSorted(([left], [right]) => (left < right ? -1 : 1))
  }

  /** The keys with their values that a range has to give. */
  range(options: RangeOptions = {}): [string, Buffer][] {
    const { gte, gt, lte, lt, prefix, reverse = false, limit = Infinity } = options
    const within = (key: string): boolean =>
      (gte === undefined || key >= toText(gte)) &&
      (gt === undefined || key > toText(gt)) &&
      (lte === undefined || key <= toText(lte)) &&
      (lt === undefined || key < toText(lt)) &&
      (prefix === undefined || key.startsWith(toText(prefix)))
    const found = this.sorted().filter(
      (entry): entry is [string, Buffer] => !(entry[1] instanceof ModelBucket) && within(entry[0]),
    )
    if (reverse) found.reverse()
    return found.slice(0, limit)
  }

  bucketNames(): string[] {
    return this.sorted()
      .filter(([, entry]) => entry instanceof ModelBucket)
      .map(([name]) => name)
  }
}

export class Model {
  root: ModelBucket

  constructor(root: ModelBucket = new ModelBucket()) {
    this.root = root
  }

  clone(): Model {
    return new Model(this.root.clone())
  }

  /** The bucket, or undefined if any name of the path is missing or is a key. */
  find(path: Path): ModelBucket | undefined {
    let bucket = this.root
    for (const name of path) {
      const child = bucket.entries.get(toText(name))
      if (!(child instanceof ModelBucket)) return undefined
      bucket = child
    }
    return bucket
  }

  /** The bucket; what is missing of its path is created. ERR_INCOMPATIBLE_VALUE on a key. */
  reach(path: Path): ModelBucket {
    // Looked at first, so that what is refused creates nothing.
    let existing: ModelBucket | undefined = this.root
    for (const name of path) {
      const child: Buffer | ModelBucket | undefined = existing?.entries.get(toText(name))
      if (child !== undefined && !(child instanceof ModelBucket)) refuse('ERR_INCOMPATIBLE_VALUE')
      existing = child
    }
    let bucket = this.root
    for (const name of path) {
      const child = bucket.entries.get(toText(name)) ?? new ModelBucket()
      bucket.entries.set(toText(name), child)
      bucket = child as ModelBucket
    }
    return bucket
  }

  get(path: Path, key: Bytes): Buffer | undefined {
    const entry = this.find(path)?.entries.get(toText(key))
    return entry instanceof ModelBucket ? undefined : entry
  }

  put(path: Path, key: Bytes, value: Bytes): void {
    const name = toText(key)
    if (this.find(path)?.entries.get(name) instanceof ModelBucket) refuse('ERR_INCOMPATIBLE_VALUE')
    this.reach(path).entries.set(name, Buffer.from(value))
  }

  delete(path: Path, key: Bytes): void {
    const bucket = this.find(path)
    const name = toText(key)
    if (bucket?.entries.get(name) instanceof ModelBucket) refuse('ERR_INCOMPATIBLE_VALUE')
    bucket?.entries.delete(name)
  }

  createBucket(path: Path): void {
    const [parent, name] = [path.slice(0, -1), toText(path.at(-1)!)]
    const entry = this.find(parent)?.entries.get(name)
    if (entry instanceof ModelBucket) refuse('ERR_BUCKET_EXISTS')
    if (entry !== undefined) refuse('ERR_INCOMPATIBLE_VALUE')
    this.reach(path)
  }

  deleteBucket(path: Path): void {
    const parent = this.find(path.slice(0, -1))
    const name = toText(path.at(-1)!)
    const entry = parent?.entries.get(name)
    if (entry === undefined) refuse('ERR_BUCKET_NOT_FOUND')
    if (!(entry instanceof ModelBucket)) refuse('ERR_INCOMPATIBLE_VALUE')
    parent?.entries.delete(name)
  }

  setSequence(path: Path, sequence: bigint): void {
    this.reach(path).sequence = sequence
  }

  /** What db.hash() and bbolt's dump have to be. */
  hash(): string {
    const dump = new CanonicalDump()
    const content = (bucket: ModelBucket): void => {
      for (const [name, entry] of bucket.sorted()) {
        if (!(entry instanceof ModelBucket)) dump.key(fromText(name), entry)
        else dump.bucket(fromText(name), entry.sequence, () => content(entry))
      }
    }
    content(this.root)
    return dump.digest()
  }
}

/** What snapshots, transactions and the database have in common. */
export interface ReadableState {
  buckets(): Buffer[]
  bucket(name: Bytes): ReadableBucket
}

export interface ReadableBucket {
  readonly sequence: bigint
  range(options?: RangeOptions): Iterable<[Buffer, Buffer]>
  buckets(): Buffer[]
  bucket(name: Bytes): ReadableBucket
}

/** The canonical hash of a state, taken through its public methods. */
export function hashOf(state: ReadableState): string {
  return new Model(readBuckets(state, new ModelBucket())).hash()
}

function readBuckets(from: ReadableState | ReadableBucket, to: ModelBucket): ModelBucket {
  for (const name of from.buckets()) {
    const source = from.bucket(name)
    const target = new ModelBucket()
    target.sequence = source.sequence
    for (const [key, value] of source.range()) target.entries.set(toText(key), value)
    to.entries.set(toText(name), readBuckets(source, target))
  }
  return to
}
