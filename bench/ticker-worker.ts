// The thread behind ticker.ts: sleeps on a futex, which is exact to some 0.1 ms, and sends a message
// at each tick unless the last one has not been taken yet.

import { parentPort, workerData } from 'node:worker_threads'
import type { TickerData } from './ticker.ts'

const { control, intervalMs } = workerData as TickerData
const [stopped, pending] = [0, 1] as const

for (let nextMs = performance.now() + intervalMs; ; nextMs += intervalMs) {
  const waitMs = nextMs - performance.now()
  if (waitMs > 0) Atomics.wait(control, stopped, 0, waitMs)
  if (Atomics.load(control, stopped) === 1) break
  if (Atomics.exchange(control, pending, 1) === 0) parentPort?.postMessage(undefined)
}
