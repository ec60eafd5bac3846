// The canonical dump of a database, hashed: what it says, whatever its pages look like.
//
// Depth first, in byte order of the keys, starting with the content of the root bucket:
//
//   key     'K' u32le(key length) u32le(value length) key value
//   bucket  'B' u32le(name length) u64le(sequence) name, its content, 'E'
//
// Keys and buckets share one order, but come from two cursors, which are merged.

import { createHash, type Hash } from 'node:crypto'
import { HotboltError } from '../errors.ts'
import { native, type BucketHandle, type SnapshotHandle } from '../native.ts'
import { everything } from './bounds.ts'
import { Cursor } from './cursor.ts'
import { turnOfEventLoop } from './range.ts'

/** How long the event loop is kept waiting at a time. */
const sliceMs = 1

/** What an entry takes in a file, at least, besides its key and value. */
const elementBytes = 16

/**
 * SHA-256 of the dump in hexadecimal. Reads in slices of about a millisecond. ERR_CORRUPT when
 * there are more entries than fit in `bytesMax`, which is what holds the snapshot: then buckets
 * lead round in circles, or share their pages.
 */
export async function hashSnapshot(snapshot: SnapshotHandle, bytesMax: number): Promise<string> {
  return new SnapshotHash(snapshot, bytesMax).run()
}

class SnapshotHash {
  readonly #snapshot: SnapshotHandle
  readonly #hash: Hash = createHash('sha256')
  #sliceEndMs = performance.now() + sliceMs
  #bytesLeft: number

  constructor(snapshot: SnapshotHandle, bytesMax: number) {
    this.#snapshot = snapshot
    this.#bytesLeft = bytesMax
  }

  async run(): Promise<string> {
    await this.#content(native.rootBucket())
    return this.#hash.digest('hex')
  }

  async #content(bucket: BucketHandle): Promise<void> {
    const source = { reader: this.#snapshot }
    const keys = new Cursor(source, bucket, everything, false, 'entries')
    const names = new Cursor(source, bucket, everything, false, 'buckets')
    try {
      let hasKey = keys.advance()
      let hasName = names.advance()
      while (hasKey || hasName) {
        if (performance.now() > this.#sliceEndMs) await this.#nextSlice()
        if (hasKey && (!hasName || Buffer.compare(keys.key, names.key) < 0)) {
          this.#key(keys.key, keys.value)
          hasKey = keys.advance()
        } else {
          await this.#bucket(bucket, names.key)
          hasName = names.advance()
        }
      }
    } finally {
      keys.close()
      names.close()
    }
  }

  #count(bytes: number): void {
    this.#bytesLeft -= elementBytes + bytes
    if (this.#bytesLeft >= 0) return
    throw new HotboltError('ERR_CORRUPT', 'The buckets of the file lead round in circles')
  }

  #key(key: Buffer, value: Buffer): void {
    this.#count(key.length + value.length)
    const header = Buffer.allocUnsafe(9)
    header.write('K', 'latin1')
    header.writeUInt32LE(key.length, 1)
    header.writeUInt32LE(value.length, 5)
    this.#hash.update(header).update(key).update(value)
  }

  async #bucket(parent: BucketHandle, name: Buffer): Promise<void> {
    this.#count(name.length)
    const bucket = native.bucket(parent, name)
    const header = Buffer.allocUnsafe(13)
    header.write('B', 'latin1')
    header.writeUInt32LE(name.length, 1)
    header.writeBigUInt64LE(native.sequence(this.#snapshot, bucket), 5)
    this.#hash.update(header).update(name)
    await this.#content(bucket)
    this.#hash.update('E')
  }

  async #nextSlice(): Promise<void> {
    await turnOfEventLoop()
    this.#sliceEndMs = performance.now() + sliceMs
  }
}
