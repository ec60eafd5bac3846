// A worker thread of a test, told by `workerData` what to be in the middle of when it is
// terminated:
//
//   defrag   a defragmentation that is being held; says 'held' then
//   lock     an open() that waits for a lock; says 'waiting' just before
//   hold     nothing: it has the file open and says so, or says why it has not

import { parentPort, workerData } from 'node:worker_threads'
import { open } from '../../lib/index.ts'
import type { InternalDefragOptions } from '../../lib/options.ts'

const { path, task } = workerData as { path: string; task: 'defrag' | 'lock' | 'hold' }

if (task === 'lock') {
  parentPort?.postMessage('waiting')
  await open(path, { lockTimeoutMs: 600_000 })
} else if (task === 'hold') {
  const said = await open(path).then(
    () => 'open',
    (error: { code: string }) => error.code,
  )
  parentPort?.postMessage(said)
  // Until it is terminated.
  parentPort?.ref()
  parentPort?.on('message', () => {})
} else {
  const db = await open(path)
  await db.update((tx) => {
    for (let n = 0; n < 2000; n++) tx.bucket('b').put(`k${n}`, Buffer.alloc(500))
  })
  const options: InternalDefragOptions = {
    pausePoint: async (point) => {
      if (point !== 'after-copy') return
      parentPort?.postMessage('held')
      await new Promise(() => {})
    },
  }
  await db.defrag(options)
}
