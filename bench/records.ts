// The records that are written: 16-byte random keys, 128-byte values. Record number i is the same
// in every run and engine, and nothing but the keys has to be kept to tell what it must be.

export const keyBytes = 16
export const valueBytes = 128
export const payloadBytes: number = keyBytes + valueBytes

const poolBytes = 1 << 20
/** Values begin at multiples of it, so that neighbours differ and all offsets occur. */
const valueStride = 131

/** Mulberry32: fast, seeded, good enough to scatter keys. Returns integers from 0 to 2^32-1. */
export function randomIntegers(seed: number): () => number {
  let state = seed | 0
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return (mixed ^ (mixed >>> 14)) >>> 0
  }
}

function randomBuffer(bytes: number, seed: number): Buffer {
  const next = randomIntegers(seed)
  const words = Uint32Array.from({ length: bytes / 4 }, next)
  return Buffer.from(words.buffer)
}

export class Records {
  readonly count: number
  readonly #keys: Buffer
  readonly #pool: Buffer

  constructor(count: number, seed = 1) {
    this.count = count
    this.#keys = randomBuffer(count * keyBytes, seed)
    this.#pool = randomBuffer(poolBytes, seed ^ 0x5bd1e995)
  }

  /** A view of the key: not to be changed. */
  key(index: number): Buffer {
    return this.#keys.subarray(index * keyBytes, (index + 1) * keyBytes)
  }

  /** A view of the value: not to be changed. */
  value(index: number): Buffer {
    const start = (index * valueStride) % (poolBytes - valueBytes)
    return this.#pool.subarray(start, start + valueBytes)
  }
}

/** 0 to count-1 in random order. */
export function shuffled(count: number, seed: number): Uint32Array {
  const next = randomIntegers(seed)
  const indexes = Uint32Array.from({ length: count }, (_, index) => index)
  for (let last = count - 1; last > 0; last--) {
    const other = next() % (last + 1)
    const moved = indexes[last] ?? 0
    indexes[last] = indexes[other] ?? 0
    indexes[other] = moved
  }
  return indexes
}
