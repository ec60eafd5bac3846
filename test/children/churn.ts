// A worker thread that does everything at once with a store of its own until it is terminated, or
// for `steps`; see support/churn.ts. A problem is an error that ends it.

import { workerData } from 'node:worker_threads'
import { churn, Ledger } from '../support/churn.ts'
import { randomFrom } from '../support/random.ts'

const { path, memory, seed, steps } = workerData as {
  path: string
  memory: SharedArrayBuffer
  seed: number
  steps: number
}
const problems = await churn(path, randomFrom(seed), new Ledger(memory), steps)
if (problems.length > 0) throw new Error(problems.join('\n'))
