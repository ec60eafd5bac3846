// The commands of the model test: each does the same to the model and to the database and compares.

import fc, { type Arbitrary, type AsyncCommand } from 'fast-check'
import { expect } from 'vitest'
import type { Snapshot } from '../../lib/index.ts'
import { hashOf, fromText, type Model } from '../support/model.ts'
import {
  bucketAt,
  codeOf,
  holdDefragAt,
  pausePoints,
  pointsBeforeRename,
  refusalOf,
} from '../support/with-database.ts'
import type { TestDatabase } from '../support/with-database.ts'
import { applyTo, applyToModel, describeOperation } from '../support/operations.ts'
import type { Operation } from '../support/operations.ts'
import { keys, operations, paths, rangeOptions, values } from './arbitraries.ts'

/** What is open over the database, with what it has to show. */
export interface Expected {
  model: Model
  snapshots: { snapshot: Snapshot; model: Model }[]
  iterators: { iterator: Iterator<[Buffer, Buffer]>; rest: [string, Buffer][] }[]
}

export type Command = AsyncCommand<Expected, TestDatabase>

const openMax = 4

class Step implements Command {
  readonly #text: string
  readonly #body: (expected: Expected, real: TestDatabase) => Promise<void> | void

  constructor(
    text: string,
    body: (expected: Expected, real: TestDatabase) => Promise<void> | void,
  ) {
    this.#text = text
    this.#body = body
  }

  check(): boolean {
    return true
  }

  async run(expected: Expected, real: TestDatabase): Promise<void> {
    await this.#body(expected, real)
  }

  toString(): string {
    return this.#text
  }
}

/** One operation outside a transaction: accepted by both or refused by both with the same code. */
function operate({ model }: Expected, { db }: TestDatabase, operation: Operation): void {
  const wanted = refusalOf(() => applyToModel(model, operation))
  const got = refusalOf(() => applyTo(db, operation))
  expect(got, describeOperation(operation)).toBe(wanted)
}

const single = operations.map(
  (operation) =>
    new Step(describeOperation(operation), (expected, real) => operate(expected, real, operation)),
)

/** Enough keys for a tree of several levels, in steps so that they fall between each other. */
const fill = fc
  .tuple(paths, fc.integer({ min: 20, max: 200 }), fc.constantFrom(1, 7, 13), values)
  .map(
    ([path, count, stride, value]) =>
      new Step(`fill ${path.join('/')} ${count} by ${stride}`, (expected, real) => {
        for (let n = 0; n < count; n++) {
          const key = `key-${String((n * stride) % 500).padStart(3, '0')}`
          operate(expected, real, { kind: 'put', path, key, value: value.subarray(0, 300) })
        }
      }),
  )

const clear = fc.tuple(paths, fc.constantFrom(1, 2, 3)).map(
  ([path, stride]) =>
    new Step(`delete every ${stride}. key of ${path.join('/')}`, (expected, real) => {
      const found = expected.model.find(path)?.range() ?? []
      for (const [index, [key]] of found.entries()) {
        if (index % stride !== 0) continue
        operate(expected, real, { kind: 'delete', path, key: fromText(key) })
      }
    }),
)

class Rollback extends Error {}

const update = fc
  .record({
    list: fc.array(operations, { minLength: 1, maxLength: 12 }),
    rollback: fc.boolean(),
    asynchronous: fc.boolean(),
    meanwhile: fc.boolean(),
  })
  .map(
    ({ list, rollback, asynchronous, meanwhile }) =>
      new Step(
        `update ${asynchronous ? 'async ' : ''}${rollback ? 'rolled back ' : ''}of ${list
          .map(describeOperation)
          .join('; ')}`,
        async (expected, real) => {
          const { db } = real
          const outside: Operation = {
            kind: 'put',
            path: ['outside'],
            key: `n${list.length}`,
            value: Buffer.from(String(list.length)),
          }
          let inside = expected.model
          const begin = (): void => {
            inside = expected.model.clone()
          }
          const one = (tx: Parameters<typeof applyTo>[0], operation: Operation): void => {
            const wanted = refusalOf(() => applyToModel(inside, operation))
            const got = refusalOf(() => applyTo(tx, operation))
            expect(got, describeOperation(operation)).toBe(wanted)
          }
          const done = asynchronous
            ? db.update(async (tx) => {
                begin()
                for (const operation of list) {
                  await Promise.resolve()
                  one(tx, operation)
                }
                if (rollback) throw new Rollback()
              })
            : db.update((tx) => {
                begin()
                for (const operation of list) one(tx, operation)
                expect(hashOf(tx), 'the transaction reads its own writes').toBe(inside.hash())
                if (rollback) throw new Rollback()
              })
          if (meanwhile && asynchronous) {
            applyTo(db, outside)
            applyToModel(expected.model, outside)
          }
          const failure = await done.catch((error: unknown) => error)
          if (rollback && failure instanceof Rollback) return
          expect(failure).toBeUndefined()
          if (meanwhile && asynchronous) applyToModel(inside, outside)
          expected.model.root = inside.root
        },
      ),
  )

const asPairs = (entries: Iterable<[Buffer, Buffer]>): string[] =>
  Array.from(entries, ([key, value]) => `${key.toString('latin1')}=${value.toString('latin1')}`)
const pairsOf = (entries: Iterable<[string, Buffer]>): string[] =>
  Array.from(entries, ([key, value]) => `${key}=${value.toString('latin1')}`)

const read = fc.tuple(paths, rangeOptions, fc.array(keys, { maxLength: 5 })).map(
  ([path, options, some]) =>
    new Step(`read ${path.join('/')} ${JSON.stringify(options)}`, ({ model }, { db }) => {
      const bucket = bucketAt(db, path)
      const wanted = model.find(path)
      const { limit, reverse: _, ...bounds } = options
      expect(asPairs(bucket.range(options))).toEqual(pairsOf(wanted?.range(options) ?? []))
      expect(bucket.count(bounds)).toBe(wanted?.range(bounds).length ?? 0)
      expect(bucket.buckets().map((name) => name.toString('latin1'))).toEqual(
        wanted?.bucketNames() ?? [],
      )
      expect([bucket.exists, bucket.sequence]).toEqual([
        wanted !== undefined,
        wanted?.sequence ?? 0n,
      ])
      expect(bucket.getMany(some)).toEqual(some.map((key) => model.get(path, key)))
      for (const key of some) expect(bucket.has(key)).toBe(model.get(path, key) !== undefined)
      if (limit === 0) expect([...bucket.keys(options)]).toEqual([])
    }),
)

const openSnapshot = fc.constant(
  new Step('open a snapshot', (expected, { db }) => {
    if (expected.snapshots.length === openMax) return
    expected.snapshots.push({ snapshot: db.snapshot(), model: expected.model.clone() })
  }),
)

const compareSnapshot = fc.tuple(fc.nat(openMax - 1), fc.boolean()).map(
  ([index, close]) =>
    new Step(`compare snapshot ${index}${close ? ' and close it' : ''}`, (expected) => {
      const held = expected.snapshots[index]
      if (held === undefined) return
      expect(hashOf(held.snapshot), 'the snapshot is as it was').toBe(held.model.hash())
      if (!close) return
      held.snapshot.close()
      expected.snapshots.splice(index, 1)
    }),
)

const openIterator = fc.tuple(paths, rangeOptions).map(
  ([path, options]) =>
    new Step(`begin to iterate over ${path.join('/')}`, (expected, { db }) => {
      if (expected.iterators.length === openMax) return
      const iterator = bucketAt(db, path).range(options)[Symbol.iterator]()
      const rest = expected.model.find(path)?.range(options) ?? []
      expected.iterators.push({ iterator, rest })
    }),
)

const goOnIterating = fc.tuple(fc.nat(openMax - 1), fc.constantFrom(1, 5, Infinity)).map(
  ([index, count]) =>
    new Step(`take ${count} of iterator ${index}`, (expected) => {
      const held = expected.iterators[index]
      if (held === undefined) return
      for (let taken = 0; taken < count; taken++) {
        const next = held.iterator.next()
        const wanted = held.rest.shift()
        expect(next.done ? undefined : asPairs([next.value])).toEqual(
          wanted === undefined ? undefined : pairsOf([wanted]),
        )
        if (next.done !== true) continue
        expected.iterators.splice(index, 1)
        return
      }
    }),
)

const iterateAndWrite = fc
  .record({
    path: paths,
    options: rangeOptions,
    each: fc.array(operations, { minLength: 1, maxLength: 4 }),
  })
  .map(
    ({ path, options, each }) =>
      new Step(
        `iterate over ${path.join('/')} with ${each.map(describeOperation).join('; ')}`,
        (expected, real) => {
          const wanted = pairsOf(expected.model.find(path)?.range(options) ?? [])
          const seen: string[] = []
          for (const entry of bucketAt(real.db, path).range(options)) {
            operate(expected, real, each[seen.length % each.length]!)
            seen.push(...asPairs([entry]))
          }
          expect(seen).toEqual(wanted)
        },
      ),
  )

const maintain = fc.constantFrom(
  new Step('checkpoint', (_, { db }) => db.checkpoint()),
  new Step('flush', (_, { db }) => db.flush()),
  new Step('compare the hash', async ({ model }, { db }) => {
    expect(await db.hash()).toBe(model.hash())
  }),
  new Step('check', async (_, { db }) => {
    expect((await db.check()).issues).toEqual([])
  }),
  new Step('reopen', async (expected, real) => {
    for (const { iterator } of expected.iterators.splice(0)) iterator.return?.()
    for (const { snapshot } of expected.snapshots.splice(0)) snapshot.close()
    await real.reopen()
    expect(await real.db.hash()).toBe(expected.model.hash())
  }),
)

const defrag = fc
  .record({
    point: fc.constantFrom(...pausePoints),
    abort: fc.boolean(),
    list: fc.array(operations, { maxLength: 30 }),
    fillPercent: fc.constantFrom(0.5, 0.9, 1),
  })
  .map(
    ({ point, abort, list, fillPercent }) =>
      new Step(
        `defrag held at ${point}${abort ? ', aborted' : ''} during ${list.length} operations`,
        async (expected, real) => {
          const abortion = new AbortController()
          const { signal } = abortion
          const held = holdDefragAt(real.db, point, { signal, fillPercent })
          await held.reached
          for (const operation of list) operate(expected, real, operation)
          expect(await real.db.hash()).toBe(expected.model.hash())
          if (abort) abortion.abort()
          held.release()
          const code = await codeOf(() => held.report)
          const isAborted = abort && pointsBeforeRename.includes(point)
          expect(code).toBe(isAborted ? 'ERR_ABORTED' : undefined)
          expect(await real.db.hash()).toBe(expected.model.hash())
        },
      ),
  )

function repeat(count: number, command: Arbitrary<Command>): Arbitrary<Command>[] {
  return Array.from({ length: count }, () => command)
}

/** Those that are here more often come more often. */
export const commands: Arbitrary<Command>[] = [
  ...repeat(10, single),
  ...repeat(3, fill),
  ...repeat(2, clear),
  ...repeat(4, update),
  ...repeat(3, read),
  openSnapshot,
  compareSnapshot,
  openIterator,
  goOnIterating,
  iterateAndWrite,
  ...repeat(3, maintain),
  ...repeat(2, defrag),
]
