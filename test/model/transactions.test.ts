// Updates side by side with each other and with writes from outside. The reference decides whether
// an attempt is serialisable: whether its steps, taken again in the state that has come about
// meanwhile, would give the results that they gave. Then it has to be committed, else to be run
// again; and what is committed is what a serial run would leave.

import { AsyncResource } from 'node:async_hooks'
import fc, { type Arbitrary } from 'fast-check'
import { expect, test } from 'vitest'
import type { Transaction } from '../../lib/index.ts'
import { Model } from '../support/model.ts'
import { applyTo, applyToModel, describeOperation } from '../support/operations.ts'
import type { Operation } from '../support/operations.ts'
import { holds } from '../support/property.ts'
import { isLong, patienceMs } from '../support/tiers.ts'
import { refusalOf, smallPages, withDatabase } from '../support/with-database.ts'
import type { TestDatabase } from '../support/with-database.ts'
import {
  busyOperations,
  describeStep,
  modelSession,
  realSession,
  steps,
  type Step,
} from './session.ts'

const runs = 150
const timeoutMs = isLong ? 3_600_000 : patienceMs

/** `outside`: somebody else writes. `outer`: the callback does, around its transaction. */
type Event = { step: Step } | { outside: Operation } | { outer: Operation } | 'await'

interface Script {
  readonly events: Event[]
  readonly asynchronous: boolean
}

const events: Arbitrary<Event> = fc.oneof(
  { weight: 6, arbitrary: steps.map((step) => ({ step })) },
  { weight: 3, arbitrary: busyOperations.map((outside) => ({ outside })) },
  { weight: 1, arbitrary: busyOperations.map((outer) => ({ outer })) },
  { weight: 2, arbitrary: fc.constant<Event>('await') },
)
const scripts: Arbitrary<Script> = fc.record({
  events: fc.array(events, { maxLength: 25, size: 'max' }),
  asynchronous: fc.boolean(),
})

function describe(event: Event): string {
  if (event === 'await') return event
  if ('step' in event) return describeStep(event.step)
  if ('outer' in event) return `outer ${describeOperation(event.outer)}`
  return `OUTSIDE ${describeOperation(event.outside)}`
}

/** One attempt of a callback, beside the reference. */
class Attempt {
  readonly taken: Step[] = []
  readonly #real
  readonly #inside
  readonly #context: TestDatabase
  readonly #committed: Model
  #structureChanged = false

  constructor(tx: Transaction, committed: Model, context: TestDatabase) {
    this.#real = realSession(tx)
    this.#inside = modelSession(committed.clone())
    this.#committed = committed
    this.#context = context
  }

  meet(event: Event, outside: (operation: Operation) => void): void {
    if (event === 'await') return
    if ('step' in event) {
      this.taken.push(event.step)
      const wanted = this.#inside.do(event.step)
      expect(this.#real.do(event.step), describeStep(event.step)).toBe(wanted)
    } else if ('outer' in event) {
      const refusal = refusalOf(() => applyTo(this.#context.db, event.outer))
      expect(refusal, describeOperation(event.outer)).toBe('ERR_TX_OUTER_WRITE')
    } else {
      const before = bucketsOf(this.#committed)
      outside(event.outside)
      if (bucketsOf(this.#committed) !== before) this.#structureChanged = true
    }
  }

  /** What the state is if the attempt is committed; undefined if it must not be. */
  serial(): Model | undefined {
    const model = this.#committed.clone()
    const again = modelSession(model)
    for (const step of this.taken) again.do(step)
    return again.results.join('\n') === this.#inside.results.join('\n') ? model : undefined
  }

  /** Whether the library promises to commit whatever is serialisable. */
  get isExact(): boolean {
    return !this.#inside.leaves && !this.#structureChanged
  }
}

/** The paths of all buckets. */
function bucketsOf(model: Model): string {
  const found: string[] = []
  const visit = (bucket: Model['root'], path: string): void => {
    for (const name of bucket.bucketNames()) {
      found.push(`${path}/${name}`)
      visit(bucket.entries.get(name) as Model['root'], `${path}/${name}`)
    }
  }
  visit(model.root, '')
  return found.join()
}

/** What is committed, and what the update that has just ended adds to it. */
interface Committed {
  readonly model: Model
  ended: Model | undefined
}

/** The next update begins, or all have ended: the last one has been committed. */
function settle(committed: Committed): void {
  if (committed.ended !== undefined) committed.model.root = committed.ended.root
  committed.ended = undefined
}

/** Runs one update. */
async function runScript(
  { events, asynchronous }: Script,
  committed: Committed,
  context: TestDatabase,
): Promise<void> {
  const { db } = context
  const { model } = committed
  const attempts: Attempt[] = []
  const outside = AsyncResource.bind((operation: Operation): void => {
    const wanted = refusalOf(() => applyToModel(model, operation))
    expect(
      refusalOf(() => applyTo(db, operation)),
      describeOperation(operation),
    ).toBe(wanted)
  })
  const begin = (tx: Transaction): Attempt => {
    const last = attempts.at(-1)
    if (last === undefined) settle(committed)
    // What could have been committed is not run again.
    if (last?.isExact === true) expect(committed.ended, 'it was serialisable').toBeUndefined()
    const attempt = new Attempt(tx, model, context)
    attempts.push(attempt)
    return attempt
  }
  // Others write during the first attempt only: the second one succeeds.
  const isDue = (event: Event): boolean =>
    attempts.length === 1 || event === 'await' || !('outside' in event)
  let isSerialisable = false
  const end = (attempt: Attempt): void => {
    committed.ended = attempt.serial()
    isSerialisable = committed.ended !== undefined
  }
  await db.update((tx) => {
    const attempt = begin(tx)
    if (!asynchronous) {
      for (const event of events) if (isDue(event)) attempt.meet(event, outside)
      return end(attempt)
    }
    return (async () => {
      for (const event of events) {
        if (event === 'await') await Promise.resolve()
        else if (isDue(event)) attempt.meet(event, outside)
      }
      end(attempt)
    })()
  })
  expect(attempts.length).toBeLessThanOrEqual(2)
  expect(isSerialisable, 'what was committed is serialisable').toBe(true)
}

const property = fc.asyncProperty(
  fc.array(busyOperations, { maxLength: 60, size: 'max' }),
  fc.array(fc.array(scripts, { minLength: 1, maxLength: 3 }), { minLength: 1, maxLength: 3 }),
  (before, rounds) =>
    withDatabase(async (context) => {
      const model = new Model()
      for (const operation of before) {
        const wanted = refusalOf(() => applyToModel(model, operation))
        expect(refusalOf(() => applyTo(context.db, operation))).toBe(wanted)
      }
      for (const round of rounds) {
        await context.db.checkpoint()
        const committed: Committed = { model, ended: undefined }
        await Promise.all(round.map((script) => runScript(script, committed, context)))
        settle(committed)
        expect(await context.db.hash(), round.map(textOf).join('\n\n')).toBe(model.hash())
      }
    }, smallPages)(),
)

function textOf(script: Script): string {
  return script.events.map(describe).join('\n')
}

test(
  'updates side by side are serialisable, and run again only if they are not',
  () => holds(property, runs),
  timeoutMs,
)
