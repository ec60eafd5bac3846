// What the machine can do at most, measured in the same run as the engines.

import { closeSync, fdatasyncSync, fsyncSync, openSync, rmSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { payloadBytes, randomIntegers, valueBytes } from './records.ts'
import { median, Samples } from './stats.ts'

export interface Limits {
  /** Sequential write of 512 MiB and an fsync. */
  readonly writeBytesPerSecond: number
  /** An append of 4 KiB and an fdatasync. */
  readonly syncP50Ms: number
  readonly syncP99Ms: number
  /** memcpy of 64 MiB. */
  readonly copyBytesPerSecond: number
  /** 128 bytes from anywhere in memory into a Buffer of their own, or into one that exists. */
  readonly randomCopiesPerSecond: number
  readonly randomReadsPerSecond: number
}

export function measureLimits(directory: string): Limits {
  const sync = appendLatency(directory)
  return {
    writeBytesPerSecond: writeSpeed(directory),
    syncP50Ms: sync.p50,
    syncP99Ms: sync.p99,
    copyBytesPerSecond: copySpeed(),
    ...randomSpeeds(),
  }
}

/** The best that was seen of each: others may have been using the machine. */
export function bestOf(limits: readonly Limits[]): Limits {
  const most = (of: (each: Limits) => number): number => Math.max(...limits.map(of))
  const least = (of: (each: Limits) => number): number => Math.min(...limits.map(of))
  return {
    writeBytesPerSecond: most((each) => each.writeBytesPerSecond),
    syncP50Ms: least((each) => each.syncP50Ms),
    syncP99Ms: least((each) => each.syncP99Ms),
    copyBytesPerSecond: most((each) => each.copyBytesPerSecond),
    randomCopiesPerSecond: most((each) => each.randomCopiesPerSecond),
    randomReadsPerSecond: most((each) => each.randomReadsPerSecond),
  }
}

function secondsOf(work: () => void): number {
  const startMs = performance.now()
  work()
  return (performance.now() - startMs) / 1000
}

function writeSpeed(directory: string): number {
  const path = join(directory, 'limit-write')
  const piece = Buffer.alloc(1 << 20, 'hotbolt')
  const pieces = 512
  const seconds = [1, 2, 3].map(() => {
    const descriptor = openSync(path, 'w')
    const taken = secondsOf(() => {
      for (let index = 0; index < pieces; index++) writeSync(descriptor, piece)
      fsyncSync(descriptor)
    })
    closeSync(descriptor)
    rmSync(path)
    return taken
  })
  return (pieces * piece.length) / median(seconds)
}

/** Into a preallocated file, as a journal does it: the sync need not write the file's size. */
export function appendLatency(directory: string, pieceBytes = 4096, pieces = 500): Samples {
  const path = join(directory, 'limit-append')
  const descriptor = openSync(path, 'w')
  writeSync(descriptor, Buffer.alloc(pieceBytes * pieces))
  fsyncSync(descriptor)
  const piece = Buffer.alloc(pieceBytes, 'hotbolt')
  const samples = new Samples()
  for (let index = 0; index < pieces; index++) {
    const startMs = performance.now()
    writeSync(descriptor, piece, 0, pieceBytes, index * pieceBytes)
    fdatasyncSync(descriptor)
    samples.add(performance.now() - startMs)
  }
  closeSync(descriptor)
  rmSync(path)
  return samples
}

function copySpeed(): number {
  const source = Buffer.alloc(64 << 20, 'hotbolt')
  const target = Buffer.alloc(source.length)
  const seconds = [1, 2, 3, 4, 5].map(() => secondsOf(() => source.copy(target)))
  return source.length / median(seconds)
}

function randomSpeeds(): Pick<Limits, 'randomCopiesPerSecond' | 'randomReadsPerSecond'> {
  const records = 1 << 20
  const source = Buffer.alloc(records * payloadBytes, 'hotbolt')
  const count = 1_000_000
  const next = randomIntegers(5)
  const offsets = Uint32Array.from({ length: count }, () => (next() % records) * payloadBytes)
  const target = Buffer.alloc(valueBytes)
  const copies = secondsOf(() => {
    for (const offset of offsets) {
      source.copy(Buffer.allocUnsafe(valueBytes), 0, offset, offset + valueBytes)
    }
  })
  const reads = secondsOf(() => {
    for (const offset of offsets) source.copy(target, 0, offset, offset + valueBytes)
  })
  return { randomCopiesPerSecond: count / copies, randomReadsPerSecond: count / reads }
}
