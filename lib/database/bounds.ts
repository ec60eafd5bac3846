// From range options to the bounds of a native cursor: the tightest of gt, gte and prefix below, of
// lt, lte and the prefix's successor above. Comparison is bytewise, as in the file.

import type { CountOptions } from '../options.ts'
import type { Bytes } from '../rules.ts'
import type { CursorBounds } from '../native.ts'

export const everything: CursorBounds = {
  lower: undefined,
  lowerInclusive: true,
  upper: undefined,
  upperInclusive: false,
}

interface Bound {
  readonly key: Bytes
  readonly inclusive: boolean
}

/** All keys that satisfy every option given. */
export function toBounds(options: CountOptions): CursorBounds {
  const { gt, gte, lt, lte, prefix } = options
  const lower = tightest(1, [bound(gte, true), bound(gt, false), bound(prefix, true)])
  const upper = tightest(-1, [
    bound(lte, true),
    bound(lt, false),
    bound(prefix === undefined ? undefined : successor(prefix), false),
  ])
  return {
    lower: lower?.key,
    lowerInclusive: lower?.inclusive ?? true,
    upper: upper?.key,
    upperInclusive: upper?.inclusive ?? false,
  }
}

function bound(key: Bytes | undefined, inclusive: boolean): Bound | undefined {
  return key === undefined ? undefined : { key, inclusive }
}

/** `sign` 1: the greatest of the bounds, -1: the least; of equal keys the exclusive one. */
function tightest(sign: 1 | -1, bounds: readonly (Bound | undefined)[]): Bound | undefined {
  let best: Bound | undefined
  for (const candidate of bounds) {
    if (candidate === undefined) continue
    const order = best === undefined ? 1 : sign * compare(candidate.key, best.key)
    if (order > 0 || (order === 0 && !candidate.inclusive)) best = candidate
  }
  return best
}

function compare(left: Bytes, right: Bytes): number {
  return Buffer.compare(toBytes(left), toBytes(right))
}

function toBytes(bytes: Bytes): Uint8Array {
  return typeof bytes === 'string' ? Buffer.from(bytes) : bytes
}

/**
 * The least key that is greater than every key with this prefix; undefined when there is none: the
 * prefix is empty or all 0xff.
 */
export function successor(prefix: Bytes): Buffer | undefined {
  const bytes = Buffer.from(toBytes(prefix))
  for (let last = bytes.length - 1; last >= 0; last--) {
    const byte = bytes[last] ?? 0xff
    if (byte === 0xff) continue
    bytes[last] = byte + 1
    return bytes.subarray(0, last + 1)
  }
  return undefined
}
