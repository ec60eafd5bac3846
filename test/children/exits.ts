// Ends in a given way while something is going on: exits <path> <state> <exit>
//
// Opens, writes 'open', waits for the end of its standard input, gets into the state, and ends. The
// exits whose names begin with 'worker-' are those of a thread, after which the process goes on,
// opens the file itself and ends well.
//
// Writes lines, at once: 'ack <key>' (its value is the key), 'begun <what>' and 'settled <what>'
// for what takes time, 'ready' in the state, 'reopened <count>' by the process that goes on.

import { once } from 'node:events'
import { writeSync } from 'node:fs'
import { isMainThread, parentPort, Worker } from 'node:worker_threads'
import { open, type Database } from '../../lib/index.ts'
import type { InternalDefragOptions, PausePoint } from '../../lib/options.ts'

const [path = '', state = '', exit = ''] = process.argv.slice(2)

/** A pipe that is full refuses: the parent is slow. */
function say(line: string): void {
  for (;;) {
    try {
      writeSync(1, `${line}\n`)
      return
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error
    }
  }
}

/** What is to stay alive until the end. */
const kept: unknown[] = []

/** Something that takes time, and that nobody waits for. */
function begin(what: string, promise: Promise<unknown>): void {
  say(`begun ${what}`)
  const settle = (): void => say(`settled ${what}`)
  promise.then(settle, settle)
}

async function put(db: Database, key: string): Promise<void> {
  await db.bucket('b').put(key, key)
  say(`ack ${key}`)
}

/** A defragmentation that stands still at `point` for ever. */
async function hold(db: Database, point: string): Promise<void> {
  await new Promise<void>((reached) => {
    const pausePoint = (at: PausePoint): Promise<void> | void => {
      if (at !== point) return
      reached()
      return new Promise(() => {})
    }
    const options: InternalDefragOptions = { pausePoint }
    kept.push(db.defrag(options))
  })
}

/** Each ends when the state is reached. */
const states: Record<string, (db: Database) => void | Promise<void>> = {
  idle: () => {},
  put: (db) => begin('put', put(db, 'new')),
  group: (db) => {
    for (let n = 0; n < 300; n++) begin(`put ${n}`, put(db, `new${n}`))
  },
  'update queued': async (db) => {
    const callback = async (): Promise<void> => {
      await new Promise((resolve) => void setImmediate(resolve))
    }
    for (let n = 0; n < 5; n++) begin(`update ${n}`, db.update(callback))
  },
  'update open': async (db) => {
    await new Promise<void>((inside) => {
      const callback = async (): Promise<void> => {
        inside()
        await new Promise(() => {})
      }
      kept.push(db.update(callback))
    })
  },
  snapshot: async (db) => {
    kept.push(db.snapshot())
    await put(db, 'new')
  },
  'snapshot of a replaced file': async (db) => {
    kept.push(db.snapshot())
    await db.defrag()
    await put(db, 'new')
  },
  iterator: (db) => {
    const iterator = db.bucket('b').range()[Symbol.iterator]()
    iterator.next()
    kept.push(iterator)
  },
  checkpoint: (db) => begin('checkpoint', db.checkpoint()),
  defrag: (db) => begin('defrag', db.defrag()),
  check: (db) => begin('check', db.check()),
  hash: (db) => begin('hash', db.hash()),
  flush: (db) => begin('flush', db.flush()),
  close: (db) => begin('close', db.close()),
  opening: () => begin('open', open(`${path}.other`)),
  waiting: () => begin('open', open(path, { lockTimeoutMs: 100 })),
  'waiting long': () => void kept.push(open(path, { lockTimeoutMs: 600_000 })),
}

const exits: Record<string, (db: Database) => void> = {
  natural: () => {},
  close: (db) => void db.close(),
  exit: () => process.exit(7),
  // Refused where the state is a close that has begun.
  'exit inside an update': (db) => {
    db.update(() => process.exit(7)).catch(() => process.exit(7))
  },
  beforeExit: () => void process.on('beforeExit', () => process.exit(9)),
  throw: () =>
    process.nextTick(() => {
      throw new Error('uncaught')
    }),
  rejection: () => void Promise.reject(new Error('unhandled')),
  SIGTERM: () => process.kill(process.pid, 'SIGTERM'),
  SIGKILL: () => process.kill(process.pid, 'SIGKILL'),
  'worker-natural': () => {},
  'worker-exit': () => process.exit(7),
  'worker-throw': () =>
    process.nextTick(() => {
      throw new Error('uncaught')
    }),
  'worker-terminate': () => {},
}

async function run(released: () => Promise<unknown>): Promise<void> {
  const db = await open(path)
  // Something for a checkpoint, a check and a defragmentation to do.
  const fill = Array.from({ length: 2000 }, (_, n) =>
    db.bucket('fill').put(`k${n}`, 'v'.repeat(99)),
  )
  await Promise.all(fill)
  await db.checkpoint()
  for (let n = 0; n < 20; n++) await put(db, `old${n}`)
  say('open')
  await released()
  if (state.startsWith('held ')) await hold(db, state.slice('held '.length))
  else await states[state]?.(db)
  say('ready')
  parentPort?.postMessage('ready')
  exits[exit]?.(db)
}

async function reopen(): Promise<void> {
  const db = await open(path)
  say(`reopened ${db.bucket('b').count()}`)
  await db.close()
}

async function endOfInput(): Promise<void> {
  for await (const _ of process.stdin) void _
}

if (!isMainThread) {
  // A port that is listened to would keep the thread alive.
  void run(() => once(parentPort!, 'message').then(() => parentPort!.unref()))
} else if (exit.startsWith('worker-')) {
  const worker = new Worker(new URL(import.meta.url), { argv: [path, state, exit] })
  worker.on('error', () => {})
  void endOfInput().then(() => worker.postMessage('go'))
  if (exit === 'worker-terminate') worker.once('message', () => void worker.terminate())
  worker.once('exit', () => void reopen())
} else {
  void run(endOfInput)
}
