// Threads in waves, in a process whose main thread never loads the addon: waves <directory> <count>
//
// Each thread begins very much at once and says so; of each wave half is terminated while the
// results are on their way, and half ends by itself. In the last wave the process exits.

import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { join } from 'node:path'
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'
import { patienceMs } from '../support/tiers.ts'

const [directory = '', count = ''] = process.argv.slice(2)

async function flood(path: string): Promise<void> {
  const { open } = await import('../../lib/index.ts')
  const { native } = await import('../../lib/native.ts')
  const db = await open(path, { checkpointBytes: 4 << 10, lockTimeoutMs: patienceMs })
  const kept: unknown[] = []
  for (let n = 0; n < 200; n++) {
    void db.bucket('b').put(`k${n}`, Buffer.alloc(100))
    // Each has its promise, its closures and its place in a queue.
    void db.check()
    void db.flush()
    if (n % 10 === 0) void db.checkpoint()
    if (n % 20 === 0) void db.hash()
    const snapshot = db.snapshot()
    const iterator = snapshot.bucket('b').range()[Symbol.iterator]()
    iterator.next()
    kept.push(snapshot, iterator, db.bucket(`b${n}`))
  }
  for (let n = 0; n < 6; n++) {
    const target = `${path}.${randomUUID()}`
    void db.backup(target, { compact: n % 2 === 0, bytesPerSecond: n < 2 ? 1 << 18 : 0 })
    const stream = db.backupStream({ compact: n % 2 === 0 })
    if (n < 3) stream.resume()
    const transfer = native.transfer(n < 2 ? 1 << 18 : 0)
    void native.transferCopy(transfer, path, `${target}.copy`)
    kept.push(stream, transfer)
  }
  void db.defrag()
  void db.update(() => new Promise(() => {}))
  parentPort?.postMessage('flooded')
  // Until here nothing has been settled: no turn of the event loop has passed.
  kept.length = 100
}

async function main(): Promise<void> {
  for (let wave = 0; wave < Number(count); wave++) {
    const threads = Array.from(
      { length: 8 },
      (_, index) =>
        new Worker(new URL(import.meta.url), { workerData: join(directory, `${index}.db`) }),
    )
    const ends = threads.map((thread) => once(thread, 'exit'))
    await Promise.all(threads.map((thread) => once(thread, 'message')))
    process.stdout.write(`wave ${wave}\n`)
    if (wave === Number(count) - 1) process.exit(0)
    for (const thread of threads.slice(0, 4)) void thread.terminate()
    await Promise.all(ends)
  }
}

if (isMainThread) void main()
else void flood(workerData as string)
