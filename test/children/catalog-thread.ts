// A thread that works on a catalog until it is terminated: counts in a few stores, of which one is
// open at a time, makes and drops others, and makes backups. Tells each count that is durable.

import { join } from 'node:path'
import { parentPort, workerData } from 'node:worker_threads'
import { createBackup, openCatalog } from '../../lib/index.ts'

const { directory, round } = workerData as { directory: string; round: number }
const catalog = await openCatalog(join(directory, 'catalog'), { maxOpen: 1 })

async function count(name: string): Promise<never> {
  for (;;) {
    const told = await catalog.use(name, async (db) => {
      const bucket = db.bucket('b', { value: 'utf8' })
      const next = Number(bucket.get('n') ?? 0) + 1
      await bucket.put('n', String(next))
      return next
    })
    parentPort?.postMessage([name, told])
  }
}

async function makeAndDrop(): Promise<never> {
  for (;;) {
    await catalog.create(`x ${round}`)
    await catalog.rename(`x ${round}`, `y ${round}`)
    await catalog.drop(`y ${round}`)
  }
}

async function backUp(): Promise<never> {
  for (let n = 0; ; n++) {
    const target = join(directory, `backups ${round}`)
    await createBackup(catalog, { target, name: `b${n}`, freezeAllFirst: true })
  }
}

await Promise.all([count('a'), count('b'), count('c'), makeAndDrop(), backUp()])
