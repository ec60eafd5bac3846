// Steps that a transaction takes, done in a real one and on a model. Each step has a result, which
// is all that a callback could know of it: two runs with the same results are the same run.

import fc, { type Arbitrary } from 'fast-check'
import type { Bytes, RangeOptions, Transaction, TransactionBucket } from '../../lib/index.ts'
import type { Model } from '../support/model.ts'
import { applyTo, applyToModel, describeOperation } from '../support/operations.ts'
import type { Operation } from '../support/operations.ts'
import { refusalOf } from '../support/with-database.ts'
import { keys, operations, paths, rangeOptions, values } from './arbitraries.ts'

export type Step =
  | { kind: 'write'; operation: Operation }
  /** Puts more keys than a batch of an iterator has. */
  | { kind: 'fill'; path: Bytes[]; value: Buffer }
  | { kind: 'get'; path: Bytes[]; key: Bytes }
  | { kind: 'look'; at: 'exists' | 'sequence' | 'buckets' | 'count'; path: Bytes[] }
  /** `take` of its entries; then it is closed, or left. */
  | { kind: 'range'; path: Bytes[]; options: RangeOptions; take: number; left: boolean }
  /** The next entries of the iterator that was left last. */
  | { kind: 'go on'; take: number }
  /** Writes, and reads, after each entry. */
  | { kind: 'iterate'; path: Bytes[]; reverse: boolean; each: Operation[] }

/** Mostly one bucket, so that steps meet. */
const busyPaths = fc.oneof(
  { weight: 4, arbitrary: fc.constant<Bytes[]>(['a']) },
  { weight: 1, arbitrary: paths },
)
export const busyOperations: Arbitrary<Operation> = fc
  .tuple(operations, busyPaths)
  .map(([operation, path]) =>
    operation.kind === 'put' || operation.kind === 'delete' ? { ...operation, path } : operation,
  )

const takes = fc.constantFrom(0, 1, 3, 17, 1000)

export const steps: Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: busyOperations.map((operation): Step => ({ kind: 'write', operation })),
  },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant('fill'), path: busyPaths, value: values }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constant('get'), path: busyPaths, key: keys }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('look'),
      at: fc.constantFrom('exists', 'sequence', 'buckets', 'count'),
      path: busyPaths,
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('range'),
      path: busyPaths,
      options: rangeOptions,
      take: takes,
      left: fc.boolean(),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('go on'), take: takes }) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('iterate'),
      path: busyPaths,
      reverse: fc.boolean(),
      each: fc.array(busyOperations, { minLength: 1, maxLength: 3 }),
    }),
  },
)

export function describeStep(step: Step): string {
  if (step.kind === 'write') return describeOperation(step.operation)
  if (step.kind === 'go on') return `go on for ${step.take}`
  const path = step.path.map(String).join('/')
  if (step.kind === 'fill') return `fill ${path}`
  if (step.kind === 'get') return `get ${path} ${String(step.key)}`
  if (step.kind === 'look') return `${step.at} of ${path}`
  if (step.kind === 'iterate') {
    const order = step.reverse ? ' in reverse' : ''
    return `iterate over ${path}${order} with ${step.each.map(describeOperation).join('; ')}`
  }
  const { take, left, options } = step
  return `${left ? 'leave' : 'close'} ${path} ${JSON.stringify(options)} after ${take}`
}

/** What a step works on. */
interface State {
  /** The method's result, or its refusal. */
  write(operation: Operation): string
  get(path: Bytes[], key: Bytes): Buffer | undefined
  look(at: 'exists' | 'sequence' | 'buckets' | 'count', path: Bytes[]): string
  range(path: Bytes[], options: RangeOptions): Iterator<[string, Buffer]>
}

/** A run of steps; iterators may stay open in it. */
export class Session {
  readonly results: string[] = []
  /** It has left an iterator: what that has read is known to a batch only. */
  leaves = false
  readonly #state: State
  readonly #left: Iterator<[string, Buffer]>[] = []

  constructor(state: State) {
    this.#state = state
  }

  do(step: Step): string {
    const result = this.#result(step)
    this.results.push(result)
    return result
  }

  #result(step: Step): string {
    const state = this.#state
    if (step.kind === 'write') return state.write(step.operation)
    if (step.kind === 'fill') return this.#fill(step)
    if (step.kind === 'get') return String(state.get(step.path, step.key)?.toString('latin1'))
    if (step.kind === 'look') return state.look(step.at, step.path)
    if (step.kind === 'range') return this.#range(step)
    if (step.kind === 'iterate') return this.#iterate(step)
    const iterator = this.#left.at(-1)
    return iterator === undefined ? 'none' : taken(iterator, step.take)
  }

  #fill({ path, value }: Step & { kind: 'fill' }): string {
    const keys = Array.from({ length: 41 }, (_, n) => `key-${String(n).padStart(2, '0')}`)
    return keys.map((key) => this.#state.write({ kind: 'put', path, key, value })).join()
  }

  #range({ path, options, take, left }: Step & { kind: 'range' }): string {
    const iterator = this.#state.range(path, options)
    const result = taken(iterator, take)
    if (left) {
      this.leaves = true
      this.#left.push(iterator)
    } else {
      iterator.return?.()
    }
    return result
  }

  #iterate({ path, reverse, each }: Step & { kind: 'iterate' }): string {
    const iterator = this.#state.range(path, { reverse })
    const seen: string[] = []
    let entries = 0
    for (let next = iterator.next(); next.done !== true; next = iterator.next()) {
      seen.push(textOf(next.value), this.#state.write(each[entries++ % each.length]!))
      // What is read in between brings what was written into what is read.
      seen.push(this.#state.look('count', path))
    }
    return seen.join()
  }
}

function textOf([key, value]: [string, Buffer]): string {
  return `${key}=${value.toString('latin1')}`
}

function taken(iterator: Iterator<[string, Buffer]>, count: number): string {
  const texts: string[] = []
  while (texts.length < count) {
    const next = iterator.next()
    if (next.done === true) return [...texts, 'end'].join()
    texts.push(textOf(next.value))
  }
  return texts.join()
}

export function modelSession(model: Model): Session {
  return new Session({
    write: (operation) => {
      const refusal = refusalOf(() => applyToModel(model, operation))
      if (refusal !== undefined || operation.kind !== 'nextSequence') return String(refusal)
      return String(model.find(operation.path)?.sequence)
    },
    get: (path, key) => model.get(path, key),
    look: (at, path) => {
      const bucket = model.find(path)
      if (at === 'exists') return String(bucket !== undefined)
      if (at === 'sequence') return String(bucket?.sequence ?? 0n)
      if (at === 'count') return String(bucket?.range().length ?? 0)
      return String(bucket?.bucketNames() ?? [])
    },
    range: (path, options) => (model.find(path)?.range(options) ?? [])[Symbol.iterator](),
  })
}

export function realSession(tx: Transaction): Session {
  const bucketAt = (path: Bytes[]): TransactionBucket => {
    const [first, ...rest] = path
    let bucket = tx.bucket(first!)
    for (const name of rest) bucket = bucket.bucket(name)
    return bucket
  }
  return new Session({
    write: (operation) => {
      let given: unknown
      const refusal = refusalOf(() => (given = applyTo(tx, operation)))
      return String(refusal ?? given)
    },
    get: (path, key) => bucketAt(path).get(key),
    look: (at, path) => {
      const bucket = bucketAt(path)
      if (at === 'count') return String(bucket.count())
      if (at === 'buckets') return String(bucket.buckets().map((name) => name.toString('latin1')))
      return String(bucket[at])
    },
    range: (path, options) => latin1(bucketAt(path).range(options)[Symbol.iterator]()),
  })
}

/** The iterator itself, not a generator, which would close it. */
function latin1(iterator: IterableIterator<[Buffer, Buffer]>): Iterator<[string, Buffer]> {
  return {
    next: () => {
      const next = iterator.next()
      if (next.done === true) return next
      return { done: false, value: [next.value[0].toString('latin1'), next.value[1]] }
    },
    return: () => {
      iterator.return?.()
      return { done: true, value: undefined }
    },
  }
}
