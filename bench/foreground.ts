// The foreground: durable puts and gets at a fixed rate, each due at its own moment.
//
// Latency counts from the moment a request was due, so one long pause is seen by every request that
// came during it (no coordinated omission). Requests that have become due are all issued at the
// next tick. The time of the calls alone is kept apart from the wait for the acknowledgement.

import { monitorEventLoopDelay } from 'node:perf_hooks'
import type { Bucket } from '../lib/index.ts'
import type { Ledger } from './ledger.ts'
import { randomIntegers } from './records.ts'
import { Samples } from './stats.ts'
import { Ticker } from './ticker.ts'

export interface Traffic {
  readonly writeTo: Bucket
  readonly ledger: Ledger
  readonly readFrom: Bucket
  /** All of them exist. */
  readonly readKeys: readonly Buffer[]
}

/** Milliseconds throughout. */
export interface Recording {
  /** How long the call of put() took. */
  readonly putCall: Samples
  /** From the moment a put was due to its acknowledgement. */
  readonly putAck: Samples
  readonly getCall: Samples
  /** From the moment a request was due to its turn. */
  readonly lateness: Samples
  readonly eventLoopDelayMaxMs: number
  readonly failedPuts: number
  readonly missedGets: number
}

const eventLoopResolutionMs = 1
/** More often, the ticks themselves would be the load. */
const tickMsMin = 0.2

/** Records the foreground from the start of `work` to its end, and waits for the last answers. */
export async function recordWhile(
  traffic: Traffic,
  requestsPerSecond: number,
  work: () => Promise<unknown>,
): Promise<Recording> {
  const foreground = new Foreground(traffic, 1000 / requestsPerSecond)
  const ticker = new Ticker(Math.max(1000 / requestsPerSecond, tickMsMin), foreground.tick)
  await ticker.ready()
  const delay = monitorEventLoopDelay({ resolution: eventLoopResolutionMs })
  foreground.begin(ticker.start())
  delay.enable()
  try {
    await work()
  } finally {
    delay.disable()
    await foreground.end()
    await ticker.stop()
  }
  // The histogram counts the interval of its own timer in.
  const eventLoopDelayMaxMs = Math.max(0, delay.max / 1e6 - eventLoopResolutionMs)
  return { ...foreground.samples, ...foreground.failures, eventLoopDelayMaxMs }
}

class Foreground {
  readonly samples = {
    putCall: new Samples(),
    putAck: new Samples(),
    getCall: new Samples(),
    lateness: new Samples(),
  }
  readonly failures = { failedPuts: 0, missedGets: 0 }

  readonly #traffic: Traffic
  readonly #intervalMs: number
  readonly #nextInteger = randomIntegers(99)
  #dueMs = Number.POSITIVE_INFINITY
  #outstanding = 0
  #onIdle: (() => void) | undefined

  constructor(traffic: Traffic, intervalMs: number) {
    this.#traffic = traffic
    this.#intervalMs = intervalMs
  }

  begin(firstDueMs: number): void {
    this.#dueMs = firstDueMs
  }

  /** Resolves when every put has its answer. */
  async end(): Promise<void> {
    this.#dueMs = Number.POSITIVE_INFINITY
    if (this.#outstanding === 0) return
    await new Promise<void>((resolve) => {
      this.#onIdle = resolve
    })
  }

  readonly tick = (): void => {
    for (let nowMs = performance.now(); this.#dueMs <= nowMs; nowMs = performance.now()) {
      this.samples.lateness.add(nowMs - this.#dueMs)
      this.#put(this.#dueMs)
      this.#get()
      this.#dueMs += this.#intervalMs
    }
  }

  #put(dueMs: number): void {
    const { writeTo, ledger } = this.#traffic
    const write = ledger.next()
    const startMs = performance.now()
    const durable = writeTo.put(write.key, write.value)
    this.samples.putCall.add(performance.now() - startMs)
    this.#outstanding++
    durable.then(
      () => {
        this.samples.putAck.add(performance.now() - dueMs)
        ledger.acknowledge(write)
        this.#answered()
      },
      () => {
        this.failures.failedPuts++
        this.#answered()
      },
    )
  }

  #get(): void {
    const { readFrom, readKeys } = this.#traffic
    const key = readKeys[this.#nextInteger() % readKeys.length]!
    const startMs = performance.now()
    const found = readFrom.get(key)
    this.samples.getCall.add(performance.now() - startMs)
    if (found === undefined) this.failures.missedGets++
  }

  #answered(): void {
    this.#outstanding--
    if (this.#outstanding === 0) this.#onIdle?.()
  }
}
