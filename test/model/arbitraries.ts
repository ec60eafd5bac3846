// Random operations for fast-check. Few names and keys, so that operations meet.

import fc, { type Arbitrary } from 'fast-check'
import type { Bytes, RangeOptions } from '../../lib/index.ts'
import type { Operation } from '../support/operations.ts'

const names = ['a', 'b', 'c', 'd'] as const
const odd = [Buffer.from([0]), Buffer.from([0, 0]), Buffer.from([255]), Buffer.from([255, 255])]

/** Few of them, so that operations meet; some are names of buckets too. */
export const keys: Arbitrary<Bytes> = fc.oneof(
  { weight: 8, arbitrary: fc.nat(40).map((n) => `key-${String(n).padStart(2, '0')}`) },
  { weight: 2, arbitrary: fc.constantFrom(...odd) },
  { weight: 1, arbitrary: fc.constantFrom(...names) },
  { weight: 1, arbitrary: fc.nat(3).map((n) => Buffer.alloc(700 + n, 'long')) },
)

/** A path may lead through a name that is a key: then the operation is refused. */
export const paths: Arbitrary<Bytes[]> = fc.array(fc.constantFrom<Bytes>(...names), {
  minLength: 1,
  maxLength: 3,
})

/** Empty, inline, more than a page, and a run of pages. */
export const values: Arbitrary<Buffer> = fc
  .tuple(fc.constantFrom(0, 1, 8, 30, 120, 250, 400, 1100, 4200), fc.nat(255))
  .map(([size, byte]) => Buffer.alloc(size, byte))

const sequences = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n })

export const operations: Arbitrary<Operation> = fc.oneof(
  {
    weight: 10,
    arbitrary: fc.record({ kind: fc.constant('put'), path: paths, key: keys, value: values }),
  },
  {
    weight: 5,
    arbitrary: fc.record({ kind: fc.constant('delete'), path: paths, key: keys }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constantFrom('createBucket', 'deleteBucket', 'nextSequence'),
      path: paths,
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant('setSequence'), path: paths, sequence: sequences }),
  },
)

const bound = fc.option(keys, { nil: undefined })
export const rangeOptions: Arbitrary<RangeOptions> = fc.record({
  gte: bound,
  gt: fc.option(keys, { nil: undefined, freq: 2 }),
  lte: bound,
  lt: fc.option(keys, { nil: undefined, freq: 2 }),
  prefix: fc.option(fc.constantFrom<Bytes>('', 'k', 'key-1', Buffer.from([255])), {
    nil: undefined,
    freq: 3,
  }),
  reverse: fc.boolean(),
  limit: fc.option(fc.nat(60), { nil: undefined }),
})
