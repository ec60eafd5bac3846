// Ticks that are shorter than a millisecond without spinning.
//
// setTimeout rounds to whole milliseconds, which would hide an acknowledgement that takes 0.2; a loop
// of setImmediate keeps one core busy, which the threads that are measured need. So another thread
// sleeps and sends messages: that is also how requests arrive in a server.

import { extname, join } from 'node:path'
import { Worker } from 'node:worker_threads'

export interface TickerData {
  /** [whether to stop, whether a tick has been sent and not been taken] */
  readonly control: Int32Array
  readonly intervalMs: number
}

export class Ticker {
  readonly #control = new Int32Array(new SharedArrayBuffer(8))
  readonly #worker: Worker
  readonly #online: Promise<void>

  constructor(intervalMs: number, onTick: () => void) {
    const file = join(import.meta.dirname, `ticker-worker${extname(import.meta.filename)}`)
    const workerData: TickerData = { control: this.#control, intervalMs }
    this.#worker = new Worker(file, { workerData })
    this.#online = new Promise((resolve, reject) => {
      this.#worker.once('online', resolve)
      this.#worker.once('error', reject)
    })
    this.#worker.on('message', () => {
      Atomics.store(this.#control, 1, 0)
      onTick()
    })
  }

  /** Starting a thread takes some 30 ms of both threads: not to be measured. */
  async started(): Promise<void> {
    await this.#online
  }

  async stop(): Promise<void> {
    const exited = new Promise((resolve) => {
      this.#worker.once('exit', resolve)
    })
    Atomics.store(this.#control, 0, 1)
    Atomics.notify(this.#control, 0)
    await exited
  }
}
