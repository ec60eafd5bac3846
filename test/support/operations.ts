// Single operations, as data: done on a model, on a database, and inside a transaction.

import type { Bucket, Bytes, Database, Transaction } from '../../lib/index.ts'
import type { Model } from './model.ts'

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
  for (const name of rest) bucket = bucket.bucket(name)
  return bucket
}
