// The canonical dump of a database, hashed: what it says, whatever its pages look like.
//
// Depth first, in byte order of the keys, starting with the content of the root bucket:
//
//   key     'K' u32le(key length) u32le(value length) key value
//   bucket  'B' u32le(name length) u64le(sequence) name, its content, 'E'
//
// The hash is the SHA-256 of that stream. The Go side is bbolt/dump.go. Feed the items in order.

import { createHash, type Hash } from 'node:crypto'

export class CanonicalDump {
  readonly #hash: Hash = createHash('sha256')

  key(key: string | Uint8Array, value: string | Uint8Array): void {
    const [keyBytes, valueBytes] = [Buffer.from(key), Buffer.from(value)]
    const header = Buffer.alloc(9)
    header.write('K', 0, 'latin1')
    header.writeUInt32LE(keyBytes.length, 1)
    header.writeUInt32LE(valueBytes.length, 5)
    this.#hash.update(header).update(keyBytes).update(valueBytes)
  }

  bucket(name: string | Uint8Array, sequence: bigint, content: () => void): void {
    const nameBytes = Buffer.from(name)
    const header = Buffer.alloc(13)
    header.write('B', 0, 'latin1')
    header.writeUInt32LE(nameBytes.length, 1)
    header.writeBigUInt64LE(sequence, 5)
    this.#hash.update(header).update(nameBytes)
    content()
    this.#hash.update('E')
  }

  /** The hash in hexadecimal; nothing can be added afterwards. */
  digest(): string {
    return this.#hash.digest('hex')
  }
}
