// The pause: what a defragmentation does to the requests that are served meanwhile.
//
// A fragmented database is made once and copied for each round. A round opens the copy, records the
// foreground without a defragmentation, then with one and for some seconds after it, in the same
// process: rounds of all rates take turns, so that a slow minute of the machine hits all of them.

import { mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { open, type Database, type DefragReport } from '../lib/index.ts'
import { engineOf } from './engines/index.ts'
import { copySynced } from './files.ts'
import { recordWhile, type Recording } from './foreground.ts'
import { Ledger } from './ledger.ts'
import { MemoryWatch } from './memory.ts'
import { shuffled, type Records } from './records.ts'
import { batchRecords } from './workloads.ts'
import type { Figures } from './stats.ts'

export interface PauseCase {
  readonly requestsPerSecond: number
  /** Held from before the start to after the end. */
  readonly snapshot: boolean
}

export const pauseCases: readonly PauseCase[] = [
  { requestsPerSecond: 1000, snapshot: false },
  { requestsPerSecond: 20_000, snapshot: false },
  { requestsPerSecond: 1000, snapshot: true },
  { requestsPerSecond: 20_000, snapshot: true },
]

const warmUpMs = 500
const withoutMs = 3000
const afterMs = 3000
const bucketName = 'records'

/** For each case the figures of each round. */
export async function measurePause(
  records: Records,
  directory: string,
  rounds: number,
): Promise<Figures[][]> {
  const order = shuffled(records.count, 2)
  const kept = order.subarray(0, Math.ceil(records.count / 5))
  const template = await makeTemplate(records, order, directory)
  const results: Figures[][] = pauseCases.map(() => [])
  const keys = Array.from(kept, (index) => records.key(index))
  for (let round = 0; round < rounds; round++) {
    for (const [index, each] of pauseCases.entries()) {
      results[index]!.push(await runRound(template, directory, keys, each))
    }
  }
  return results
}

async function makeTemplate(
  records: Records,
  order: Uint32Array,
  directory: string,
): Promise<string> {
  const templateDirectory = join(directory, 'template')
  mkdirSync(templateDirectory)
  const openEngine = await engineOf('hotbolt')
  const loading = await openEngine(templateDirectory)
  const batches = (indexes: Uint32Array): Uint32Array[] =>
    Array.from({ length: Math.ceil(indexes.length / batchRecords) }, (_, batch) =>
      indexes.subarray(batch * batchRecords, (batch + 1) * batchRecords),
    )
  for (const batch of batches(order)) await loading.putBatch(records, batch)
  await loading.close()
  const deleting = await openEngine(templateDirectory)
  const deleted = order.subarray(Math.ceil(records.count / 5))
  for (const batch of batches(deleted)) await deleting.deleteBatch(records, batch)
  await deleting.close()
  return join(templateDirectory, 'data.db')
}

async function runRound(
  template: string,
  directory: string,
  keys: readonly Buffer[],
  { requestsPerSecond, snapshot }: PauseCase,
): Promise<Figures> {
  const path = join(directory, 'pause.db')
  copySynced(template, path)
  const db = await open(path)
  const held = snapshot ? db.snapshot() : undefined
  const bucket = db.bucket(bucketName)
  const traffic = { writeTo: bucket, readFrom: bucket, readKeys: keys, ledger: new Ledger(keys) }
  await recordWhile(traffic, requestsPerSecond, () => wait(warmUpMs))
  const without = await recordWhile(traffic, requestsPerSecond, () => wait(withoutMs))
  const memory = new MemoryWatch()
  let report: DefragReport | undefined
  const during = await recordWhile(traffic, requestsPerSecond, async () => {
    report = await db.defrag()
    await wait(afterMs)
  })
  const memoryBytes = memory.stop()
  held?.close()
  await requireWhole(db)
  const { lost } = traffic.ledger.verify(bucket)
  await db.close()
  const copyMs = timeOfCopy(path, join(directory, 'copy'))
  rmSync(path)
  const failed = [without, during].reduce(
    (sum, { failedPuts, missedGets }) => sum + failedPuts + missedGets,
    lost,
  )
  const loadFigures = { ...prefixed('without', without), ...prefixed('during', during) }
  return { ...loadFigures, ...runFigures(report!, copyMs), memoryBytes, failed }
}

async function requireWhole(db: Database): Promise<void> {
  const { ok, issues } = await db.check()
  if (!ok) throw new Error(`db.check() found: ${issues[0]?.message ?? 'issues'}`)
}

function prefixed(prefix: string, recording: Recording): Figures {
  const { putCall, putAck, getCall, lateness, eventLoopDelayMaxMs } = recording
  const figures = {
    CallMaxMs: Math.max(putCall.max, getCall.max),
    CallP99Ms: Math.max(putCall.p99, getCall.p99),
    AckP50Ms: putAck.p50,
    AckP99Ms: putAck.p99,
    AckMaxMs: putAck.max,
    LateMaxMs: lateness.max,
    LoopMaxMs: eventLoopDelayMaxMs,
  }
  return Object.fromEntries(Object.entries(figures).map(([name, ms]) => [prefix + name, ms]))
}

function runFigures(report: DefragReport, copyMs: number): Figures {
  const { phases, durationMs, sizeAfterBytes, bytesCopied, entriesCopied } = report
  const cleaning = phases.find(({ phase }) => phase === 'cleaning')?.durationMs ?? 0
  return {
    durationMs,
    switchedMs: durationMs - cleaning,
    copyMs,
    copiedPerRecord: bytesCopied / entriesCopied,
    bytesPerRecord: sizeAfterBytes / entriesCopied,
  }
}

/** cp and fsync of the resulting file. */
function timeOfCopy(path: string, target: string): number {
  const startMs = performance.now()
  copySynced(path, target)
  const takenMs = performance.now() - startMs
  rmSync(target)
  return takenMs
}
