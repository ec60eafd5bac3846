// Single operations, as data: done on a model, on a database, and inside a transaction.

import fc, { type Arbitrary } from 'fast-check'
import type { Bucket, Bytes, Database, Transaction } from '../../lib/index.ts'
import type { Model } from '../support/model.ts'

export type Operation =
  | { kind: 'put'; path: Bytes[]; key: Bytes; value: Buffer }
  | { kind: 'delete'; path: Bytes[]; key: Bytes }
  | { kind: 'createBucket' | 'deleteBucket' | 'nextSequence'; path: Bytes[] }
  | { kind: 'setSequence'; path: Bytes[]; sequence: bigint }

/** What a bucket can be written with, inside a transaction or outside. */
type Writable = Pick<
  Bucket,
  'sequence' | 'createBucket' | 'deleteBucket' | 'nextSequence' | 'bucket'
> & {
  put(key: Bytes, value: Bytes): unknown
  delete(key: Bytes): unknown
  setSequence(value: bigint): unknown
}

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
) as Arbitrary<Operation>

export function describeOperation(operation: Operation): string {
  const path = operation.path.map((name) => name.toString()).join('/')
  if (operation.kind === 'put') {
    return `put ${path} ${String(operation.key)} ${operation.value.length} bytes`
  }
  if (operation.kind === 'delete') return `delete ${path} ${String(operation.key)}`
  return `${operation.kind} ${path}`
}

/** Does it on the model; throws what the database has to throw. */
export function applyToModel(model: Model, operation: Operation): void {
  const { kind, path } = operation
  if (kind === 'put') model.put(path, operation.key, operation.value)
  else if (kind === 'delete') model.delete(path, operation.key)
  else if (kind === 'createBucket') model.createBucket(path)
  else if (kind === 'deleteBucket') model.deleteBucket(path)
  else if (kind === 'setSequence') model.setSequence(path, operation.sequence)
  else {
    const next = BigInt.asUintN(64, (model.find(path)?.sequence ?? 0n) + 1n)
    model.setSequence(path, next)
  }
}

/** Does it on the database or inside a transaction; gives what the method gave. */
export function applyTo(target: Database | Transaction, operation: Operation): unknown {
  const { kind, path } = operation
  const parent = path.slice(0, -1)
  const name = path.at(-1)!
  if (kind === 'createBucket' || kind === 'deleteBucket') {
    if (parent.length === 0) return target[kind](name)
    return writableAt(target, parent)[kind](name)
  }
  const bucket = writableAt(target, path)
  if (kind === 'put') return bucket.put(operation.key, operation.value)
  if (kind === 'delete') return bucket.delete(operation.key)
  if (kind === 'setSequence') return bucket.setSequence(operation.sequence)
  return bucket.nextSequence()
}

function writableAt(target: Database | Transaction, path: Bytes[]): Writable {
  const [first, ...rest] = path
  let bucket = target.bucket(first!) as unknown as Writable
  for (const name of rest) bucket = bucket.bucket(name) as unknown as Writable
  return bucket
}

/** The code of what is thrown, or undefined. */
export function refusalOf(run: () => unknown): string | undefined {
  try {
    run()
    return undefined
  } catch (error) {
    return (error as { code?: string }).code ?? String(error)
  }
}
