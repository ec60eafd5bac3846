// The thread behind ticker.ts: sleeps on a futex, which is exact to some 0.1 ms, and sends a
// message at each tick unless the last one has not been taken yet.

import { parentPort, workerData } from 'node:worker_threads'
import type { TickerData } from './ticker.ts'

const { state, pending, startNs, intervalMs } = workerData as TickerData
const [idle, running] = [0, 1] as const

/** The clock that both threads share; performance.now() has an origin of its own in each. */
const nowMs = (): number => Number(process.hrtime.bigint() - startNs[0]!) / 1e6

Atomics.wait(state, 0, idle)
for (let tick = 0; Atomics.load(state, 0) === running; tick++) {
  const waitMs = tick * intervalMs - nowMs()
  if (waitMs > 0 && Atomics.wait(state, 0, running, waitMs) !== 'timed-out') break
  if (Atomics.exchange(pending, 0, 1) === 0) parentPort?.postMessage(undefined)
}
