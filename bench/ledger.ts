// The writes of the foreground: what was issued, what was acknowledged, and whether it is all
// there.
//
// Every value says which write it is of, so that an older one, one of another key and a torn one
// are all told apart from the right one.

import type { Bucket } from '../lib/index.ts'
import { randomIntegers, Records, valueBytes } from './records.ts'

export interface Write {
  readonly slot: number
  readonly number: number
  readonly key: Buffer
  readonly value: Buffer
}

export interface LedgerVerdict {
  /** Keys with at least one acknowledged write: all were read. */
  readonly keys: number
  readonly acknowledged: number
  /** Keys that hold neither their last acknowledged value nor one issued after it. */
  readonly lost: number
}

const filler = new Records(1, 77)

export class Ledger {
  readonly #keys: readonly Buffer[]
  readonly #issued: Uint32Array
  readonly #acknowledged: Uint32Array
  readonly #nextInteger = randomIntegers(4711)
  #writes = 0
  #acks = 0

  /** The keys that are written, at random. */
  constructor(keys: readonly Buffer[]) {
    this.#keys = keys
    this.#issued = new Uint32Array(keys.length)
    this.#acknowledged = new Uint32Array(keys.length)
  }

  get issued(): number {
    return this.#writes
  }

  get acknowledged(): number {
    return this.#acks
  }

  next(): Write {
    const slot = this.#nextInteger() % this.#keys.length
    const number = ++this.#writes
    this.#issued[slot] = number
    return { slot, number, key: this.#keys[slot]!, value: valueOf(slot, number) }
  }

  acknowledge(write: Write): void {
    this.#acks++
    this.#acknowledged[write.slot] = Math.max(this.#acknowledged[write.slot]!, write.number)
  }

  verify(bucket: Bucket): LedgerVerdict {
    let keys = 0
    let lost = 0
    for (const [slot, key] of this.#keys.entries()) {
      const acknowledged = this.#acknowledged[slot]!
      if (acknowledged === 0) continue
      keys++
      if (!this.#isRight(slot, acknowledged, bucket.get(key))) lost++
    }
    return { keys, acknowledged: this.#acks, lost }
  }

  #isRight(slot: number, acknowledged: number, found: Buffer | undefined): boolean {
    if (found?.length !== valueBytes) return false
    const number = found.readUInt32LE(0)
    if (number < acknowledged || number > this.#issued[slot]!) return false
    return found.equals(valueOf(slot, number))
  }
}

function valueOf(slot: number, number: number): Buffer {
  const value = Buffer.allocUnsafe(valueBytes)
  filler.value(number).copy(value)
  value.writeUInt32LE(number, 0)
  value.writeUInt32LE(slot, 4)
  return value
}
