// Writes while a defragmentation runs, and looks at how much is kept meanwhile:
//
//   retained <path> <maxRetainedBytes> writes        writers alone
//   retained <path> <maxRetainedBytes> checkpoints   beside checkpoints that last until all wait
//
// Writes one line of JSON: what waited for its checkpoint when the copy began, the most that was
// kept, the most that was written by those who await, and how the defragmentation ended.

import { storeOf } from '../../lib/database/database.ts'
import { open, type DefragProgress } from '../../lib/index.ts'
import { turns } from '../support/gate.ts'

const [path = '', maxRetainedBytes = '', beside = ''] = process.argv.slice(2)
const value = Buffer.alloc(100, 'x')
const loops = 4
const batch = 20
/** A record in a memtable, and a memtable's own bytes, at most. */
const recordBytes = 300
const memtableBytes = 4096

const db = await open(path, {
  checkpointBytes: 4 << 20,
  checkpointIntervalMs: 0,
  checkpointIdleMs: 0,
  maxRetainedBytes: Number(maxRetainedBytes),
})
const bucket = db.bucket('b')
for (let n = 0; n < 20_000; n++) void bucket.put(`k${n}`, value)
await db.checkpoint()

let ended = false
let pinnedBytes = 0
let keptBytesMax = 0
let acknowledged = 0
function look(): void {
  const { memtableBytes: active, sealedBytes, defragPhase } = db.stats()
  const isKeeping = ['copying', 'catching-up', 'switching'].includes(defragPhase)
  if (isKeeping) keptBytesMax = Math.max(keptBytesMax, active + sealedBytes)
}

function notePinned({ phase }: DefragProgress): void {
  const { memtableBytes: active, sealedBytes } = db.stats()
  if (phase === 'copying' && pinnedBytes === 0) pinnedBytes = active + sealedBytes
}

async function writeOn(loop: number): Promise<void> {
  for (let round = 0; !ended; round++) {
    let last = Promise.resolve()
    for (let n = 0; n < batch; n++)
      last = bucket.put(`k${(round * 7919 + n * loop) % 20_000}`, value)
    look()
    await last
    acknowledged += batch
  }
}

/** Everything is durable, and nothing is acknowledged. */
async function untilAllWait(): Promise<void> {
  for (let waited = false; !waited && !ended;) {
    const before = acknowledged
    await turns()
    const { durableSeq, lastSeq } = db.stats()
    waited = acknowledged === before && durableSeq === lastSeq
  }
}

async function checkpointOn(): Promise<void> {
  while (!ended && beside === 'checkpoints') {
    await storeOf(db).checkpointer.exclusive(untilAllWait)
    await db.checkpoint()
  }
}

const writing = [checkpointOn(), ...Array.from({ length: loops }, (_, loop) => writeOn(loop))]
let code = 'none'
const report = await db
  .defrag({ bytesPerSecond: 2 << 20, onProgress: notePinned })
  .catch((error: unknown) => void (code = (error as { code?: string }).code ?? String(error)))
ended = true
await Promise.all(writing)
await db.close()
const writtenBytesMax = loops * (batch * recordBytes + memtableBytes)
const warnings = report?.warnings
const rounds = report?.rounds
const result = { pinnedBytes, keptBytesMax, writtenBytesMax, acknowledged, code, warnings, rounds }
process.stdout.write(`${JSON.stringify(result)}\n`)
