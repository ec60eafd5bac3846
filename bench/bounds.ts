// Whether each resource keeps to its bound, with default options and a caller who does his worst.
//
// Each case runs in a process of its own, on one processor where it is about threads that starve.

import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { open, type Database } from '../lib/index.ts'
import { MemoryWatch } from './memory.ts'

export interface Bound {
  readonly bound: string
  readonly figure: number
  readonly limit: number
  readonly unit: 'bytes' | 'ms' | 'ratio'
}

const checkpointBytes = 32 << 20
const journalBytesMax = 128 << 20
const memoryBytesMax = 3 * checkpointBytes
const turnMsMax = 10
/** Of 500,000 records, besides what `bytesPerSecond` asks of the copy. */
const defragMsMax = 20_000
const bucketName = 'records'
const value = Buffer.alloc(100, 'hotbolt')
/** In a memtable, about. */
const recordBytes = 208

export const boundCaseNames = [
  'overwrites',
  'large-overwrites',
  'updates-1',
  'updates-100',
  'updates-10000',
  'updates-100000',
  'defrag',
  'defrag-limited',
  'large-value',
  'old-snapshot',
  'many-buckets',
  'many-keys',
] as const

export type BoundCase = (typeof boundCaseNames)[number]

type Strain = (directory: string, ms: number) => Promise<Bound[]>

/** Each gets a directory and a time to take. */
export const boundCases: { readonly [Name in BoundCase]: Strain } = {
  overwrites: (directory, ms) => overwrites(directory, ms, 100),
  'large-overwrites': (directory, ms) => overwrites(directory, ms, 10_000),
  'updates-1': (directory, ms) => updates(directory, ms, 1),
  'updates-100': (directory, ms) => updates(directory, ms, 100),
  'updates-10000': (directory, ms) => updates(directory, ms, 10_000),
  'updates-100000': (directory, ms) => updates(directory, ms, 100_000),
  defrag: (directory) => defragUnderLoad(directory, 0),
  'defrag-limited': (directory) => defragUnderLoad(directory, 10 << 20),
  'large-value': largeValue,
  'old-snapshot': oldSnapshot,
  'many-buckets': manyBuckets,
  'many-keys': manyKeys,
}

/** Where threads of other priorities have to share a processor. */
export const needsOneProcessor = (name: BoundCase): boolean => name.startsWith('updates')

const keyOf = (n: number): string => String(n % 5_000_000).padStart(16, '0')

async function during<T>(ms: number, step: () => Promise<T>): Promise<void> {
  const endMs = performance.now() + ms
  while (performance.now() < endMs) await step()
}

function journalBytes(directory: string): number {
  const names = readdirSync(directory).filter((name) => name.includes('-journal-'))
  const sizes = names.map(
    (name) => statSync(join(directory, name), { throwIfNoEntry: false })?.size ?? 0,
  )
  return sizes.reduce((sum, size) => sum + size, 0)
}

/** Runs until it is killed. */
export async function overwriteForever(directory: string): Promise<never> {
  const db = await open(join(directory, 'data.db'))
  for (;;) await overwriteAll(db, value)
}

export async function reopen(directory: string): Promise<Bound[]> {
  const startMs = performance.now()
  const db = await open(join(directory, 'data.db'))
  const figure = performance.now() - startMs
  await db.close()
  return [{ bound: 'opened again after a kill -9', figure, limit: 1000, unit: 'ms' }]
}

async function overwriteAll(db: Database, bytes: Buffer): Promise<void> {
  const bucket = db.bucket(bucketName)
  let last = Promise.resolve()
  for (let n = 0; n < 1000; n++) last = bucket.put(keyOf(n), bytes)
  await last
}

async function overwrites(directory: string, ms: number, size: number): Promise<Bound[]> {
  const db = await open(join(directory, 'data.db'))
  let figure = 0
  await during(ms, async () => {
    await overwriteAll(db, Buffer.alloc(size))
    figure = Math.max(figure, journalBytes(directory))
  })
  await db.close()
  const bound = `journal, 1,000 keys of ${size} bytes overwritten`
  return [{ bound, figure, limit: journalBytesMax, unit: 'bytes' }]
}

async function updateBatch(db: Database, from: number, batch: number): Promise<void> {
  await db.update((tx) => {
    const bucket = tx.bucket(bucketName)
    for (let n = from; n < from + batch; n++) bucket.put(keyOf(n * 7919), value)
  })
}

async function updates(directory: string, ms: number, batch: number): Promise<Bound[]> {
  const db = await open(join(directory, 'data.db'))
  const memory = new MemoryWatch()
  let from = 0
  await during(ms, async () => {
    await updateBatch(db, from, batch)
    from += batch
  })
  const figure = memory.stop()
  const startMs = performance.now()
  await db.close()
  const closeMs = performance.now() - startMs
  const bound = `updates of ${batch} puts`
  const limit = memoryBytesMax + 2 * batch * recordBytes
  return [
    { bound: `memory, ${bound}`, figure, limit, unit: 'bytes' },
    { bound: `close(), ${bound}`, figure: closeMs, limit: 5000, unit: 'ms' },
  ]
}

async function defragUnderLoad(directory: string, bytesPerSecond: number): Promise<Bound[]> {
  const maxRetainedBytes = 64 << 20
  const db = await open(join(directory, 'data.db'), { maxRetainedBytes })
  for (let n = 0; n < 50; n++) await updateBatch(db, n * 10_000, 10_000)
  await db.checkpoint()
  let kept = 0
  let ended = false
  const writing = (async () => {
    for (let from = 0; !ended; from += 1000) {
      await updateBatch(db, from, 1000)
      const { memtableBytes, sealedBytes } = db.stats()
      kept = Math.max(kept, memtableBytes + sealedBytes)
    }
  })()
  const report = await db.defrag({ bytesPerSecond }).finally(() => (ended = true))
  const { rounds, durationMs, bytesCopied } = report
  await writing
  await db.close()
  const ratios = rounds.slice(1).map(({ bytes }, index) => bytes / rounds[index]!.bytes)
  const what = `under an unthrottled writer${bytesPerSecond === 0 ? '' : ', with bytesPerSecond'}`
  const copyMs = bytesPerSecond === 0 ? 0 : (1000 * bytesCopied) / bytesPerSecond
  return [
    { bound: `defrag() ${what}`, figure: durationMs, limit: copyMs + defragMsMax, unit: 'ms' },
    { bound: `kept ${what}`, figure: kept, limit: maxRetainedBytes, unit: 'bytes' },
    { bound: `rounds ${what}`, figure: Math.max(0, ...ratios), limit: 0.5, unit: 'ratio' },
  ]
}

/** The longest time between two turns of the event loop while `work` goes on. */
async function longestTurnMs(work: () => Promise<unknown>): Promise<number> {
  let longest = 0
  let ended = false
  const watching = (async () => {
    for (let lastMs = performance.now(); !ended;) {
      await nextTurn()
      const nowMs = performance.now()
      longest = Math.max(longest, nowMs - lastMs)
      lastMs = nowMs
    }
  })()
  await nextTurn()
  await work()
  ended = true
  await watching
  return longest
}

async function largeValue(directory: string): Promise<Bound[]> {
  const bytes = Buffer.alloc(600 << 20, 'hotbolt')
  const copyStartMs = performance.now()
  Buffer.from(bytes)
  const copyMs = performance.now() - copyStartMs
  const db = await open(join(directory, 'data.db'))
  const memory = new MemoryWatch()
  const turnMs = await longestTurnMs(async () => {
    await db.bucket(bucketName).put('large', bytes)
    await db.checkpoint()
  })
  const figure = memory.stop()
  const startMs = performance.now()
  await db.bucket(bucketName).put('largest', 'v')
  await db.checkpoint()
  const neighbourMs = performance.now() - startMs
  await db.close()
  return [
    { bound: 'memory, a value of 600 MiB', figure, limit: 2 * bytes.length, unit: 'bytes' },
    { bound: 'longest turn, beyond a copy', figure: turnMs - copyMs, limit: 50, unit: 'ms' },
    { bound: 'a put of its neighbour', figure: neighbourMs, limit: 1000, unit: 'ms' },
  ]
}

async function oldSnapshot(directory: string): Promise<Bound[]> {
  const db = await open(join(directory, 'data.db'), { checkpointBytes: 1 << 30 })
  const bucket = db.bucket(bucketName)
  await bucket.put('k', 'old')
  const snapshot = db.snapshot()
  // A version stays when a snapshot that may see it is open while the next one is written.
  let newest = db.snapshot()
  for (let n = 0; n < 200_000; n++) {
    void bucket.put('k', String(n))
    newest.close()
    newest = db.snapshot()
  }
  newest.close()
  await db.flush()
  const reads = 1000
  const startMs = performance.now()
  for (let n = 0; n < reads; n++) snapshot.bucket(bucketName).get('k')
  const figure = (performance.now() - startMs) / reads
  snapshot.close()
  await db.close()
  const bound = 'a get of a key overwritten 200,000 times since'
  return [{ bound, figure, limit: 0.05, unit: 'ms' }]
}

async function manyBuckets(directory: string): Promise<Bound[]> {
  const db = await open(join(directory, 'data.db'))
  await db.update((tx) => {
    for (let n = 0; n < 100_000; n++) tx.bucket(`bucket-${keyOf(n)}`).put('k', 'v')
  })
  const checkpointMs = await longestTurnMs(() => db.checkpoint())
  const namesMs = await longestTurnMs(async () => {
    let names = 0
    for await (const _ of db.bucketNames()) names++
    if (names !== 100_000) throw new Error(`${names} names`)
  })
  await db.close()
  return [
    turn('a checkpoint of 100,000 new buckets', checkpointMs),
    turn('for await of 100,000 bucketNames()', namesMs),
  ]
}

async function manyKeys(directory: string): Promise<Bound[]> {
  const db = await open(join(directory, 'data.db'))
  for (let n = 0; n < 100; n++) await updateBatch(db, n * 10_000, 10_000)
  await db.checkpoint()
  const countMs = await longestTurnMs(() => db.bucket(bucketName).countAsync())
  const hashMs = await longestTurnMs(() => db.hash())
  await db.close()
  return [turn('countAsync() of 1,000,000', countMs), turn('hash() of 1,000,000', hashMs)]
}

const turn = (what: string, figure: number): Bound => ({
  bound: `longest turn, ${what}`,
  figure,
  limit: turnMsMax,
  unit: 'ms',
})
