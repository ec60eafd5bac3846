// Threads that scan a database read-only while its file is cut short and put back:
//
//   cut-short <path> <events> <seed>
//
// Writes one line of JSON: how many scans came to their end, and how often each code was met.

import { once } from 'node:events'
import { readFile, truncate, writeFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'
import { open } from '../../lib/index.ts'
import { randomFrom } from '../support/random.ts'

interface Result {
  readonly codes: Record<string, number>
  readonly scans: number
}

interface Shared {
  readonly path: string
  readonly stop: SharedArrayBuffer
}

async function scan({ path, stop }: Shared): Promise<void> {
  const codes: Record<string, number> = {}
  let scans = 0
  while (Atomics.load(new Int32Array(stop), 0) === 0) {
    try {
      const db = await open(path, { readOnly: true })
      try {
        db.bucket('b').get('large')
        for (const _ of db.bucket('b').range());
        if (++scans === 1) parentPort?.postMessage('scanning')
      } finally {
        await db.close()
      }
    } catch (error) {
      const code = (error as { code?: string }).code ?? String(error)
      codes[code] = (codes[code] ?? 0) + 1
    }
  }
  parentPort?.postMessage({ codes, scans })
}

async function cut(path: string, events: number, seed: number): Promise<void> {
  const stop = new SharedArrayBuffer(4)
  const shared: Shared = { path, stop }
  const workers = Array.from({ length: 4 }, () => {
    return new Worker(fileURLToPath(import.meta.url), { workerData: shared })
  })
  const results = workers.map((worker) => {
    return new Promise<Result>((resolve, reject) => {
      const onMessage = (message: Result | 'scanning'): void => {
        if (message !== 'scanning') resolve(message)
      }
      worker.on('message', onMessage).on('error', reject)
    })
  })
  // Each has scanned it once when it is cut for the first time.
  await Promise.all(workers.map((worker) => once(worker, 'message')))
  const bytes = await readFile(path)
  const random = randomFrom(seed)
  for (let event = 0; event < events; event++) {
    await truncate(path, random(bytes.length))
    await writeFile(path, bytes, { flag: 'r+' })
  }
  Atomics.store(new Int32Array(stop), 0, 1)
  const codes: Record<string, number> = {}
  let scans = 0
  for (const result of await Promise.all(results)) {
    scans += result.scans
    for (const [code, times] of Object.entries(result.codes)) {
      codes[code] = (codes[code] ?? 0) + times
    }
  }
  process.stdout.write(`${JSON.stringify({ codes, scans })}\n`)
}

if (isMainThread) {
  const [path = '', events = '0', seed = '0'] = process.argv.slice(2)
  await cut(path, Number(events), Number(seed))
} else {
  await scan(workerData as Shared)
}
