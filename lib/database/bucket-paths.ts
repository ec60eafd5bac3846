// The paths of all buckets inside a bucket, at any depth.
//
// A damaged file may lead round in circles, or along 2^60 ways through a few pages. So a page is
// the root of one bucket only, and buckets without pages of their own do not lie in each other.

import { native, type BucketHandle } from '../native.ts'
import { HotboltError } from '../errors.ts'
import { everything } from './bounds.ts'
import { bucketNames, type Range } from './range.ts'
import type { ReadSource } from './read-source.ts'

interface OpenBucket {
  readonly handle: BucketHandle
  readonly root: number
  readonly names: IterableIterator<Buffer>
}

const inline = -1

/** Each before those inside it, in order. Requires: the source shows one state. */
export function* bucketPaths(source: ReadSource, top: BucketHandle): Generator<Buffer[], void> {
  const entered = new Set<number>()
  const enter = (handle: BucketHandle, around?: OpenBucket): OpenBucket => {
    const root = native.bucketRoot(source.reader, handle)
    const isNested = root === inline && around?.root === inline
    if (isNested || (root > 0 && entered.has(root))) throw shared(around?.root ?? root)
    entered.add(root)
    return { handle, root, names: namesOf(source, handle)[Symbol.iterator]() }
  }
  const open = [enter(top)]
  const path: Buffer[] = []
  try {
    for (let bucket = open.at(-1); bucket !== undefined; bucket = open.at(-1)) {
      const { value: name, done } = bucket.names.next() as IteratorResult<Buffer, undefined>
      if (done === true) {
        open.pop()
        path.pop()
        continue
      }
      path.push(name)
      yield [...path]
      open.push(enter(native.bucket(bucket.handle, name), bucket))
    }
  } finally {
    for (const { names } of open) names.return?.()
  }
}

function namesOf(source: ReadSource, bucket: BucketHandle): Range<Buffer> {
  return bucketNames(source, bucket, everything, (slab, start, end) => slab.subarray(start, end))
}

function shared(page: number): HotboltError {
  const message = `page ${page} is damaged: a bucket on it shares its pages with another`
  return new HotboltError('ERR_CORRUPT', message, { page })
}
