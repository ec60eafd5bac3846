// Lets go of very many things of one kind without closing them:
// leaks <path> <what> <count> <rounds>
//
// Writes a line of JSON per round: resident bytes, bytes of the heap, open descriptors, bytes of
// the file, and open snapshots, after the garbage has been collected.

import { readdirSync } from 'node:fs'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { open, type Database, type Transaction } from '../../lib/index.ts'
import { turnOfEventLoop } from '../../lib/database/range.ts'

const [path = '', what = '', count = '', rounds = ''] = process.argv.slice(2)
setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void

/** Each makes one, and forgets it. */
const makes: Record<string, (db: Database, n: number) => unknown> = {
  snapshot: (db) => db.snapshot().bucket('b').get('k1'),
  iterator: (db) => db.bucket('b').range()[Symbol.iterator]().next(),
  'iterator of a snapshot': (db) => db.snapshot().bucket('b').keys()[Symbol.iterator]().next(),
  'asynchronous iterator': (db) => db.bucket('b').values()[Symbol.asyncIterator]().next(),
  bucket: (db, n) => db.bucket(`bucket ${n}`).bucket('inner').get('k'),
  'update used after its end': (db) => {
    const kept: Transaction[] = []
    const update = db.update((tx) => {
      kept.push(tx)
      tx.bucket('b').get('k1')
      tx.bucket('b').range()[Symbol.iterator]().next()
    })
    try {
      kept[0]?.bucket('b').get('k1')
    } catch {
      // It has ended.
    }
    return update
  },
  'update that throws': (db) =>
    db
      .update((tx) => {
        tx.bucket('b').put('k', 'v')
        throw new Error('rolled back')
      })
      .catch(() => {}),
  'refused open': () => open(path).catch(() => {}),
  'refused value': (db) => {
    try {
      return db.bucket('b').put('', 'v')
    } catch {
      return undefined
    }
  },
}

const db = await open(path, { checkpointBytes: 1 << 20 })
for (let n = 0; n < 1000; n++) void db.bucket('b').put(`k${n}`, 'v'.repeat(50))
await db.checkpoint()

for (let round = 0; round < Number(rounds); round++) {
  for (let n = 0; n < Number(count); n++) {
    const made = makes[what]!(db, n)
    if (made instanceof Promise && n % 20 === 19) await made
    // Finalizers have a turn of their own.
    if (n % 500 === 499) await turnOfEventLoop()
    // What is let go must not keep the file from being used again.
    if (n % 500 === 0) void db.bucket('b').put(`k${n % 1000}`, 'w'.repeat(50))
  }
  await db.checkpoint()
  for (let n = 0; n < 4; n++) {
    collect()
    await turnOfEventLoop()
  }
  const { openSnapshots, sizeBytes } = db.stats()
  const descriptors = readdirSync('/proc/self/fd').length
  const { rss, heapUsed } = process.memoryUsage()
  const measured = { rss, heapUsed, descriptors, sizeBytes, openSnapshots }
  process.stdout.write(`${JSON.stringify(measured)}\n`)
}
await db.close()
