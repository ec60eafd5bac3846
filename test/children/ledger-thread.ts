// A worker thread of the ledger, told by `workerData` what it is busy with when it ends. It says
// 'busy' when it is, and never closes its database.

import { parentPort, workerData } from 'node:worker_threads'
import { open, type Database } from '../../lib/index.ts'

const say = (): void => parentPort?.postMessage('busy')
const turn = (): Promise<void> =>
  new Promise((resolve) => {
    setImmediate(resolve)
  })

const activities: Record<string, (db: Database) => unknown> = {
  /** Acknowledgements, flushes, checkpoints, checks and an update that nobody awaits. */
  async writing(db) {
    for (let n = 0; ; n++) {
      for (let key = 0; key < 50; key++) void db.bucket('b').put(`k${key}`, `round ${n}`)
      for (const work of [db.flush(), db.checkpoint(), db.check(), db.hash()]) work.catch(() => {})
      db.update(async (tx) => {
        await turn()
        tx.bucket('b').put('updated', `${n}`)
      }).catch(() => {})
      if (n === 2) say()
      await turn()
    }
  },
  /** Native code that throws, over and over, without a turn of the event loop. */
  throwing(db) {
    say()
    for (;;) {
      try {
        void db.bucket('b').put('', 'v')
      } catch {
        // It is ended while one of these is on its way.
      }
    }
  },
  /** Long synchronous calls. */
  counting(db) {
    void db.update((tx) => {
      for (let n = 0; n < 20_000; n++) tx.bucket('b').put(`k${n}`, 'v')
    })
    say()
    for (;;) db.bucket('b').count()
  },
  /** Snapshots and iterations that are left open; then counting for a while. */
  reading(db) {
    for (let n = 0; n < 100; n++) {
      db.snapshot().bucket('b').range()[Symbol.iterator]().next()
      db.bucket('b').keys()[Symbol.iterator]().next()
    }
    say()
    for (let n = 0; n < 2000; n++) db.bucket('b').count()
  },
  /** Everything that has a finalizer, left to the end of the thread. */
  async leaking(db) {
    await db.bucket('b').put('k', Buffer.alloc(100_000))
    const kept: unknown[] = []
    for (let n = 0; n < 200; n++) {
      const snapshot = db.snapshot()
      const iterator = snapshot.bucket('b').range()[Symbol.iterator]()
      kept.push(snapshot, iterator, iterator.next(), db.bucket(`b${n}`), db.bucket('b').get('k'))
    }
    void db.update(() => new Promise(() => {}))
    say()
  },
  /** The thread ends itself with acknowledgements on their way. */
  async exiting(db) {
    for (let n = 0; n < 500; n++) void db.bucket('b').put(`k${n}`, 'v')
    await turn()
    void db.bucket('b').put('last', 'v')
    say()
    process.exit(0)
  },
  /** The thread ends itself inside a callback of its own defragmentation. */
  async defragmenting(db) {
    for (let n = 0; n < 500; n++) void db.bucket('b').put(`k${n}`, 'v')
    const onProgress = (): void => {
      say()
      process.exit(0)
    }
    await db.defrag({ onProgress })
  },
}

const { path, activity, readOnly } = workerData as {
  path: string
  activity: string
  readOnly?: boolean
}
await activities[activity]!(await open(path, { readOnly, checkpointBytes: 64 << 10 }))
