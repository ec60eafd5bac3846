// Ticks that are shorter than a millisecond, without spinning.
//
// setTimeout rounds to whole milliseconds, which would hide an acknowledgement that takes 0.2; a
// loop of setImmediate keeps one core busy, which the threads that are measured need. So another
// thread sleeps and sends messages: that is also how requests arrive in a server.

import { extname, join } from 'node:path'
import { Worker } from 'node:worker_threads'

export interface TickerData {
  /** 0: idle, 1: running, 2: stopped. */
  readonly state: Int32Array
  /** 1: a tick has been sent and not been taken. */
  readonly pending: Int32Array
  /** Of process.hrtime, when the first tick is due. */
  readonly startNs: BigInt64Array
  readonly intervalMs: number
}

export class Ticker {
  readonly #data: TickerData
  readonly #worker: Worker
  readonly #online: Promise<void>

  constructor(intervalMs: number, onTick: () => void) {
    this.#data = {
      state: new Int32Array(new SharedArrayBuffer(4)),
      pending: new Int32Array(new SharedArrayBuffer(4)),
      startNs: new BigInt64Array(new SharedArrayBuffer(8)),
      intervalMs,
    }
    const file = join(import.meta.dirname, `ticker-worker${extname(import.meta.filename)}`)
    this.#worker = new Worker(file, { workerData: this.#data })
    this.#online = new Promise((resolve, reject) => {
      this.#worker.once('online', resolve)
      this.#worker.once('error', reject)
    })
    this.#worker.on('message', () => {
      Atomics.store(this.#data.pending, 0, 0)
      onTick()
    })
  }

  /** Resolves when the thread runs: starting one takes some 30 ms, not to be measured. */
  ready(): Promise<void> {
    return this.#online
  }

  /** Ticks from now on; returns the moment of the first, in the time of performance.now(). */
  start(): number {
    this.#data.startNs[0] = process.hrtime.bigint()
    const startMs = performance.now()
    this.#setState(1)
    return startMs
  }

  async stop(): Promise<void> {
    const exited = new Promise((resolve) => {
      this.#worker.once('exit', resolve)
    })
    this.#setState(2)
    await exited
  }

  #setState(state: number): void {
    Atomics.store(this.#data.state, 0, state)
    Atomics.notify(this.#data.state, 0)
  }
}
