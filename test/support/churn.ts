// One store in the middle of everything at once, in an order that a seed decides: writes of all
// kinds, defragmentations that end and that are cancelled, checkpoints, checks, hashes, snapshots,
// iterators that are left half way, closes and openings.
//
// What was begun and acknowledged is noted in shared memory, so that another thread can tell what
// has to be in the file when this one has been terminated.

import { inspect } from 'node:util'
import { HotboltError, open, type Database, type OpenOptions } from '../../lib/index.ts'
import { turnOfEventLoop } from '../../lib/database/range.ts'
import { patienceMs } from './tiers.ts'

/** Writes of one lane take effect in the order in which they were begun. */
const lanes = ['put', 'update'] as const
type Lane = (typeof lanes)[number]

/** Write n of a lane has the key n modulo this, and n as its value. */
const keysPerLane = 40

/** What was begun and what was acknowledged, in memory that threads share. */
export class Ledger {
  readonly memory: SharedArrayBuffer
  /** Of each lane: the newest write begun, the number of those acknowledged, the newest per key. */
  readonly #counts: Int32Array

  constructor(memory: SharedArrayBuffer = new SharedArrayBuffer(4 * lanes.length * laneCounts)) {
    this.memory = memory
    this.#counts = new Int32Array(memory)
  }

  /** The number of writes that were acknowledged. */
  get total(): number {
    return lanes.reduce((sum, lane) => sum + Atomics.load(this.#counts, at(lane, 1)), 0)
  }

  begin(lane: Lane): number {
    return Atomics.add(this.#counts, at(lane, 0), 1) + 1
  }

  acknowledge(lane: Lane, number: number): void {
    Atomics.add(this.#counts, at(lane, 1), 1)
    Atomics.store(this.#counts, at(lane, 2 + (number % keysPerLane)), number)
  }

  /** What is missing from the database, or should not be there. */
  problems(db: Database): string[] {
    const problems: string[] = []
    for (const lane of lanes) {
      for (let key = 0; key < keysPerLane; key++) {
        const value = db.bucket(lane, { value: 'json' }).get(String(key)) as number | undefined
        const least = Atomics.load(this.#counts, at(lane, 2 + key))
        const most = Atomics.load(this.#counts, at(lane, 0))
        if ((value ?? 0) >= least && (value ?? 0) <= most) continue
        problems.push(`${lane} ${key}: found ${value}, which ought to be from ${least} to ${most}`)
      }
    }
    return problems
  }
}

const laneCounts = 2 + keysPerLane

function at(lane: Lane, index: number): number {
  return lanes.indexOf(lane) * laneCounts + index
}

/** What a defragmentation and others may be refused for when everything happens at once. */
const expected = ['ERR_ABORTED', 'ERR_BUSY', 'ERR_CLOSED'] as const

class Churn {
  readonly #path: string
  readonly #random: (limit: number) => number
  readonly #ledger: Ledger
  readonly #running = new Set<Promise<unknown>>()
  readonly #kept: unknown[] = []
  #db: Database
  readonly problems: string[] = []

  constructor(path: string, random: (limit: number) => number, ledger: Ledger, db: Database) {
    this.#path = path
    this.#random = random
    this.#ledger = ledger
    this.#db = db
  }

  /** Nobody waits for it, until the end. */
  #begin(promise: Promise<unknown>): void {
    const running = promise.then(
      () => {},
      (error: unknown) => {
        const isExpected = expected.some((code) => HotboltError.is(error, code))
        if (!isExpected) this.problems.push(inspect(error))
      },
    )
    this.#running.add(running)
    void running.then(() => this.#running.delete(running))
  }

  #write(lane: Lane, write: (key: string, value: string) => Promise<unknown>): Promise<void> {
    const number = this.#ledger.begin(lane)
    return write(String(number % keysPerLane), String(number)).then(() =>
      this.#ledger.acknowledge(lane, number),
    )
  }

  readonly #steps: Readonly<Record<string, () => void | Promise<void>>> = {
    put: () => {
      const put = (key: string, value: string): Promise<void> =>
        this.#db.bucket('put').put(key, value)
      for (let n = this.#random(30); n >= 0; n--) this.#begin(this.#write('put', put))
    },
    putAndWait: () => this.#write('put', (key, value) => this.#db.bucket('put').put(key, value)),
    update: () => {
      this.#begin(
        this.#write('update', (key, value) =>
          this.#db.update((tx) => tx.bucket('update').put(key, value)),
        ),
      )
    },
    asyncUpdate: () => {
      const turns = this.#random(4)
      this.#begin(
        this.#write('update', (key, value) =>
          this.#db.update(async (tx) => {
            tx.bucket('update').get(key)
            for (let n = 0; n < turns; n++) await turnOfEventLoop()
            tx.bucket('update').put(key, value)
          }),
        ),
      )
    },
    // Enough for a checkpoint every now and then.
    fill: () => {
      const value = Buffer.alloc(200, 'x')
      for (let n = 0; n < 50; n++) {
        this.#begin(this.#db.bucket('fill').put(`k${this.#random(500)}`, value))
      }
    },
    defrag: () => this.#begin(this.#db.defrag()),
    cancelledDefrag: async () => {
      const controller = new AbortController()
      this.#begin(this.#db.defrag({ signal: controller.signal }))
      for (let n = this.#random(5); n > 0; n--) await turnOfEventLoop()
      controller.abort()
    },
    checkpoint: () => this.#begin(this.#db.checkpoint()),
    check: () => {
      const check = this.#db.check().then(({ issues }) => {
        for (const issue of issues) this.problems.push(issue.message)
      })
      this.#begin(check)
    },
    hash: () => this.#begin(this.#db.hash()),
    flush: () => this.#begin(this.#db.flush()),
    snapshot: () => {
      const snapshot = this.#db.snapshot()
      this.#kept.push(snapshot, snapshot.bucket('fill').keys()[Symbol.iterator]().next())
    },
    iterate: () => {
      const iterator = this.#db.bucket('fill').range()[Symbol.iterator]()
      iterator.next()
      this.#kept.push(iterator)
    },
    letGo: () => {
      this.#kept.length = 0
    },
    wait: () => turnOfEventLoop(),
    settle: async () => {
      await Promise.all(this.#running)
    },
    reopen: () => this.#reopen(),
  }

  async run(steps: number): Promise<void> {
    const names = Object.keys(this.#steps)
    for (let step = 0; step < steps && this.problems.length === 0; step++) {
      await this.#steps[names[this.#random(names.length)]!]!()
    }
    await this.#db.close()
  }

  async #reopen(): Promise<void> {
    await this.#db.close()
    this.#db = await open(this.#path, churnOptions)
    this.problems.push(...this.#ledger.problems(this.#db))
  }
}

export const churnOptions: OpenOptions = {
  pageSize: 1024,
  checkpointBytes: 16 << 10,
  maxRetainedBytes: 32 << 10,
  lockTimeoutMs: patienceMs,
}

/** Goes on for so many steps; what was found to be wrong. */
export async function churn(
  path: string,
  random: (limit: number) => number,
  ledger: Ledger,
  steps: number,
): Promise<string[]> {
  const db = await open(path, churnOptions)
  const run = new Churn(path, random, ledger, db)
  await run.run(steps)
  return run.problems
}

/** Rejects when it takes longer. */
export async function within<T>(ms: number, what: string, promise: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} took more than ${ms} ms`)), ms)
  })
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}
