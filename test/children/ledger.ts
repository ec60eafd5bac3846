// What the ledger does to a whole process:
//
//   ledger exit <path> sync|async     ends itself with code 7 inside an update
//   ledger threads <path> <activity> <count> [end]
//                                     one thread after the other with the same database; each ends
//                                     by itself or, with 'terminate', is terminated
//
// The addon is loaded by the threads alone in the second case: the main thread never imports it.

import { once } from 'node:events'
import { Worker } from 'node:worker_threads'

const [task = '', path = '', ...rest] = process.argv.slice(2)

async function exitInsideAnUpdate(kind: string): Promise<void> {
  const { open } = await import('../../lib/index.ts')
  const db = await open(path)
  await db.bucket('b').put('before', 'v')
  await db.update((tx) => {
    tx.bucket('b').put('inside', 'v')
    if (kind === 'sync') process.exit(7)
    return new Promise((resolve) => {
      setImmediate(() => resolve(process.exit(7)))
    })
  })
}

async function runThreads(activity: string, count: number, end?: string): Promise<void> {
  for (let n = 0; n < count; n++) {
    const workerData = { path, activity }
    const thread = new Worker(new URL('ledger-thread.js', import.meta.url), { workerData })
    const ended = once(thread, 'exit')
    await once(thread, 'message')
    if (end === 'terminate') await thread.terminate()
    await ended
    process.stdout.write('ended\n')
  }
}

if (task === 'exit') await exitInsideAnUpdate(rest[0]!)
else await runThreads(rest[0]!, Number(rest[1]), rest[2])
