// Threads that are terminated while others go on: nothing that any of them was told is durable is
// lost, nobody waits for a thread that is gone, and its file is free.
//
//   HOTBOLT_TERMINATIONS=5000 FC_SEED=7 npx vitest run test/processes/terminate.test.ts

import { join } from 'node:path'
import type { Worker } from 'node:worker_threads'
import { expect, test } from 'vitest'
import { open } from '../../lib/index.ts'
import { Child, startThread } from '../support/child.ts'
import { churnOptions, Ledger, within } from '../support/churn.ts'
import { seed } from '../support/property.ts'
import { randomFrom } from '../support/random.ts'
import { announce } from '../support/replay.ts'
import { countOf, isLong, patienceMs } from '../support/tiers.ts'
import { inDirectory, leftovers, openFilesIn, verifyFile } from '../support/with-database.ts'

const terminations = countOf({ short: 30, ci: 200, long: 5000 }, 'HOTBOLT_TERMINATIONS')
const threads = 4

/** A file, who works on it, and what has to be in it. */
class Lane {
  readonly path: string
  readonly ledger = new Ledger()
  #seed: number
  #thread: Worker | undefined
  #failure: Error | undefined

  constructor(path: string, firstSeed: number) {
    this.path = path
    this.#seed = firstSeed
  }

  start(): void {
    const { path, ledger } = this
    this.#seed += threads
    const data = { path, memory: ledger.memory, seed: this.#seed, steps: Infinity }
    this.#thread = startThread('churn', data)
    this.#thread.on('error', (error) => (this.#failure = error))
  }

  async terminate(): Promise<void> {
    await within(patienceMs, 'a termination', this.#thread!.terminate())
    if (this.#failure !== undefined) throw this.#failure
  }

  /** The file, which nobody has open now. */
  async inspect(): Promise<void> {
    const db = await open(this.path, { ...churnOptions, lockTimeoutMs: 0 })
    try {
      expect(this.ledger.problems(db)).toEqual([])
      expect((await db.check()).issues).toEqual([])
    } finally {
      await db.close()
    }
    expect(leftovers(this.path)).toEqual([])
  }
}

test(`${terminations} terminations`, () =>
  inDirectory(async (directory) => {
    announce('test/processes/terminate.test.ts', `${terminations} terminations`, {
      HOTBOLT_TERMINATIONS: terminations,
    })
    const random = randomFrom(seed)
    const lanes = Array.from(
      { length: threads },
      (_, index) => new Lane(join(directory, `${index}.db`), seed + index),
    )
    for (const lane of lanes) lane.start()
    // This thread has a store, too; its durable writes are the clock.
    const own = await open(join(directory, 'own.db'), churnOptions)
    let ticks = 0
    const tick = (): Promise<void> => own.bucket('b').put('ticks', String(++ticks))
    for (let n = 0; n < terminations; n++) {
      const lane = lanes[random(threads)]!
      // At any moment of its start, or in the middle of its work.
      const target = lane.ledger.total + (random(3) === 0 ? 0 : random(20))
      const until = Date.now() + patienceMs
      for (let wait = random(3); wait > 0; wait--) await tick()
      while (lane.ledger.total < target && Date.now() < until) await tick()
      expect(lane.ledger.total, 'it goes on').toBeGreaterThanOrEqual(target)
      await lane.terminate()
      expect(openFilesIn(lane.path), 'it has let go of its file').toEqual([])
      await lane.inspect()
      lane.start()
    }
    await Promise.all(lanes.map((lane) => lane.terminate()))
    expect(String(own.bucket('b').get('ticks'))).toBe(String(ticks))
    await own.close()
    for (const lane of lanes) await lane.inspect()
    for (const lane of lanes) await verifyFile(lane.path)
    await verifyFile(join(directory, 'own.db'))
    expect(openFilesIn(directory)).toEqual([])
  }))

test('threads that end while results are on the way, in a process that has nothing else', () =>
  inDirectory(async (directory) => {
    const waves = isLong ? 60 : 3
    await using child = new Child('waves', [directory, String(waves)])
    const lines = await within(patienceMs * waves, 'all waves', child.rest())
    expect(await child.exit(), child.errors).toEqual({ code: 0, signal: null })
    expect(lines).toEqual(Array.from({ length: waves }, (_, wave) => `wave ${wave}`))
    for (let index = 0; index < 8; index++) await verifyFile(join(directory, `${index}.db`))
  }))
