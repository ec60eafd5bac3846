// Everyday work, as one life of a database: empty, loaded, read, written to, 80 % deleted, space
// reclaimed. What is not asked for is left out, except where a later stage needs what it leaves.
//
// The figures are named here; everyday.ts says what each is compared with.

import { mkdirSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { setImmediate as turn } from 'node:timers/promises'
import type { BackupKind, Engine, OpenEngine } from './engine.ts'
import { copySynced } from './files.ts'
import { appendLatency } from './limits.ts'
import { randomIntegers, shuffled, type Records } from './records.ts'
import { median, Samples, type Figures } from './stats.ts'

export const everydayWorkloads = [
  'load',
  'get',
  'scan',
  'backup',
  'puts',
  'delete',
  'single',
] as const

export const batchRecords = 10_000
export const outstandingPuts = 64
const readMs = 2000
const putsMs = 3000
const singlePuts = 500
/** The clock is looked at so often. */
const readsPerLook = 1000

export interface Life {
  readonly open: OpenEngine
  readonly records: Records
  readonly directory: string
  readonly only: ReadonlySet<string>
}

export async function live({ open, records, directory, only }: Life): Promise<Figures> {
  const data = join(directory, 'data')
  mkdirSync(data)
  const figures: Record<string, number> = {}
  const run = async (name: string, work: () => Promise<Figures> | Figures): Promise<void> => {
    if (only.has(name)) Object.assign(figures, await work())
  }
  const order = shuffled(records.count, 2)
  const deleted = order.subarray(Math.ceil(records.count / 5))

  let engine = await open(data)
  await run('single', () => putSingly(engine, records, directory, 'empty'))
  Object.assign(figures, await load(engine, records, order))
  engine = await open(data)
  await run('get', () => getAtRandom(engine, records))
  await run('scan', () => scan(engine, records.count))
  await run('backup', () => backUp(engine, directory))
  await run('puts', () => putConcurrently(engine, records))
  await run('single', () => putSingly(engine, records, directory, 'loaded'))
  if (only.has('delete') || only.has('single')) {
    Object.assign(figures, await deleteMost(engine, records, deleted))
  }
  await run('single', () => putSingly(engine, records, directory, 'deleted'))
  await run('single', async () => {
    await engine.reclaim()
    return putSingly(engine, records, directory, 'reclaimed')
  })
  await engine.close()
  return figures
}

const perSecond = (count: number, sinceMs: number): number =>
  (1000 * count) / (performance.now() - sinceMs)

/** Leaves the database closed: then all of it is where it belongs. */
async function load(engine: Engine, records: Records, order: Uint32Array): Promise<Figures> {
  const startMs = performance.now()
  for (let from = 0; from < order.length; from += batchRecords) {
    await engine.putBatch(records, order.subarray(from, from + batchRecords))
  }
  const loadPerSecond = perSecond(records.count, startMs)
  await engine.close()
  const loadAndClosePerSecond = perSecond(records.count, startMs)
  return {
    loadPerSecond,
    loadAndClosePerSecond,
    bytesPerRecord: engine.sizeBytes() / records.count,
  }
}

async function deleteMost(engine: Engine, records: Records, which: Uint32Array): Promise<Figures> {
  const startMs = performance.now()
  for (let from = 0; from < which.length; from += batchRecords) {
    await engine.deleteBatch(records, which.subarray(from, from + batchRecords))
  }
  return { deletePerSecond: perSecond(which.length, startMs) }
}

async function getAtRandom(engine: Engine, records: Records): Promise<Figures> {
  return {
    getPerSecond: await readsPerSecond(records, (key) => engine.get(key)?.length),
    getFastPerSecond: await readsPerSecond(records, (key) => engine.getFast(key)),
  }
}

async function readsPerSecond(
  records: Records,
  get: (key: Buffer) => number | undefined,
): Promise<number> {
  const next = randomIntegers(6)
  const keys = Array.from({ length: 1 << 16 }, () => records.key(next() % records.count))
  let reads = 0
  let found = 0
  const startMs = performance.now()
  while (performance.now() - startMs < readMs) {
    for (let read = 0; read < readsPerLook; read++) {
      if (get(keys[(reads + read) & 0xffff]!) !== undefined) found++
    }
    reads += readsPerLook
    // As in a server: without it, an engine's read transaction would never be renewed.
    await turn()
  }
  if (found !== reads) throw new Error(`${reads - found} of ${reads} gets found nothing`)
  return perSecond(reads, startMs)
}

function scan(engine: Engine, count: number): Figures {
  const speeds = [1, 2, 3].map(() => {
    const startMs = performance.now()
    if (engine.scan() === 0) throw new Error('The scan found nothing')
    return perSecond(count, startMs)
  })
  return { scanPerSecond: median(speeds) }
}

/** Each kind beside `cp` and fsync of the same file, which are taken just before. */
async function backUp(engine: Engine, directory: string): Promise<Figures> {
  const target = join(directory, 'copy')
  const plainMs = median(
    [1, 2, 3].map(() => {
      const startMs = performance.now()
      copySynced(engine.file, target)
      return performance.now() - startMs
    }),
  )
  rmSync(target)
  const figures: Record<string, number> = {}
  for (const how of ['plain', 'checked', 'compact'] satisfies BackupKind[]) {
    const times: number[] = []
    for (let run = 0; run < 3; run++) {
      const startMs = performance.now()
      await engine.backup(target, how)
      times.push(performance.now() - startMs)
      figures[`${how}BackupBytes`] = statSync(target).size
      rmSync(target)
    }
    figures[`${how}BackupOfCopy`] = plainMs / median(times)
  }
  return figures
}

/** `outstandingPuts` writers, each of which waits for its own put before it makes the next. */
async function putConcurrently(engine: Engine, records: Records): Promise<Figures> {
  const next = randomIntegers(7)
  const samples = new Samples()
  const startMs = performance.now()
  const write = async (): Promise<void> => {
    for (let nowMs = startMs; nowMs - startMs < putsMs;) {
      const putMs = performance.now()
      await engine.put(records.key(next() % records.count), records.value(next()))
      nowMs = performance.now()
      samples.add(nowMs - putMs)
    }
  }
  await Promise.all(Array.from({ length: outstandingPuts }, write))
  return { putsPerSecond: perSecond(samples.count, startMs), putsP99Ms: samples.p99 }
}

/** One put at a time, beside what an append and a sync take without any engine. */
async function putSingly(
  engine: Engine,
  records: Records,
  directory: string,
  state: string,
): Promise<Figures> {
  const raw = appendLatency(directory)
  const next = randomIntegers(8)
  const samples = new Samples()
  for (let put = 0; put < singlePuts; put++) {
    const key = records.key(next() % records.count)
    const startMs = performance.now()
    await engine.put(key, records.value(put))
    samples.add(performance.now() - startMs)
  }
  return {
    [`${state}P50Ms`]: samples.p50,
    [`${state}P99Ms`]: samples.p99,
    [`${state}RawP50Ms`]: raw.p50,
    [`${state}RawP99Ms`]: raw.p99,
  }
}
