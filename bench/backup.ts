// When to release what a backup has frozen: `npm run bench:backup`. How to read it is in README.md.
//
//   --tables N         1,000
//   --slots N          tables that are frozen and copied at a time; 8
//   --latency MS       added to each release; 150
//   --limits LIST      releases at a time; 8,64
//   --max-frozen N     'pipelined': tables that are frozen at a time; 64
//   --json FILE        writes the figures there as well
//   --dir PATH         where the temporary files are made

import { writeFileSync } from 'node:fs'
import { loadavg } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { createBackup, type UnfreezeMode } from '../lib/index.ts'
import { positiveInteger } from './arguments.ts'
import { ForgetfulTarget, SlowToRelease } from './backup-source.ts'
import { count, duration, figure } from './format.ts'
import { table } from './table.ts'
import { temporaryDirectory } from './temporary.ts'

const { values: given } = parseArgs({
  options: {
    tables: { type: 'string', default: '1000' },
    slots: { type: 'string', default: '8' },
    latency: { type: 'string', default: '150' },
    limits: { type: 'string', default: '8,64' },
    'max-frozen': { type: 'string', default: '64' },
    json: { type: 'string' },
    dir: { type: 'string' },
  },
})
const tables = positiveInteger('tables', given.tables)
const tableConcurrency = positiveInteger('slots', given.slots)
const latencyMs = positiveInteger('latency', given.latency)
const limits = given.limits.split(',').map((text) => positiveInteger('limits', text))
const maxFrozen = positiveInteger('max-frozen', given['max-frozen'])

interface Figures {
  readonly unfreeze: UnfreezeMode
  readonly unfreezeConcurrency: number
  readonly totalMs: number
  /** Until the backup was complete. */
  readonly completeMs: number
  readonly peakFrozen: number
  readonly meanPinMs: number
}

const directory = temporaryDirectory(given.dir)
let runs = 0

async function measure(unfreeze: UnfreezeMode, unfreezeConcurrency: number): Promise<Figures> {
  const source = new SlowToRelease(tables, latencyMs)
  const target = new ForgetfulTarget(join(directory, String(runs++)))
  const limit = { tableConcurrency, unfreezeConcurrency, maxFrozen }
  const report = await createBackup(source, { target, unfreeze, ...limit })
  const { durationMs: totalMs, completeMs, maxFrozen: peakFrozen } = report
  const sumMs = source.pinsMs.reduce((sum, ms) => sum + ms, 0)
  const meanPinMs = sumMs / source.pinsMs.length
  return { unfreeze, unfreezeConcurrency, totalMs, completeMs, peakFrozen, meanPinMs }
}

/**
 * What a table takes of a slot besides its release, as the run shows in which nothing else does.
 */
const slotMsOf = (deferred: Figures): number => (deferred.completeMs * tableConcurrency) / tables

/** How long a backup ought to take, if slots and releases were all that takes time. */
function modelMs({ unfreeze, unfreezeConcurrency }: Figures, slotMs: number): number {
  const copyingMs = (tables * slotMs) / tableConcurrency
  // Inline releases go through the pool as well, so that the smaller of the two limits counts.
  const inlineMs = (tables * latencyMs) / Math.min(tableConcurrency, unfreezeConcurrency)
  const poolMs = (tables * latencyMs) / unfreezeConcurrency
  if (unfreeze === 'inline') return copyingMs + inlineMs
  return unfreeze === 'deferred' ? copyingMs + poolMs : Math.max(copyingMs, poolMs)
}

function rowOf(figures: Figures, slotMs: number): string[] {
  const { unfreeze, unfreezeConcurrency, totalMs, completeMs, peakFrozen, meanPinMs } = figures
  return [
    unfreeze,
    count(unfreezeConcurrency),
    duration(totalMs),
    duration(modelMs(figures, slotMs)),
    duration(completeMs),
    duration(totalMs - completeMs),
    count(peakFrozen),
    duration(meanPinMs),
  ]
}

const heading = [
  'releases',
  'limit',
  'total',
  'model',
  'copies complete',
  'unfreezing',
  'peak frozen',
  'mean pin',
]

process.stdout.write(
  `${count(tables)} tables, ${tableConcurrency} slots, ${latencyMs} ms to release one, ` +
    `at most ${maxFrozen} frozen when pipelined; load ${figure(loadavg()[0] ?? 0)}\n\n`,
)
// Once for the compiler, which the first run would pay for.
await createBackup(new SlowToRelease(50, 1), {
  target: new ForgetfulTarget(join(directory, 'warm')),
})
const all: Figures[] = []
const rows: string[][] = []
for (const limit of limits) {
  const deferred = await measure('deferred', limit)
  const measured = [await measure('inline', limit), deferred, await measure('pipelined', limit)]
  all.push(...measured)
  rows.push(...measured.map((figures) => rowOf(figures, slotMsOf(deferred))))
}
process.stdout.write(`${table(heading, rows).join('\n')}\n`)
if (given.json !== undefined) writeFileSync(given.json, `${JSON.stringify(all, undefined, 2)}\n`)
