// The benchmarks: `npm run bench`. What each measures, and how to read it, is in README.md.
//
//   --only NAMES       some of pause, load, get, scan, backup, puts, delete, single; all of these;
//                      or bounds
//   --records N        1,000,000
//   --runs N           medians of so many; 3
//   --seconds N        how long each of the bounds is strained; 60
//   --json FILE        writes the figures there as well
//   --dir PATH         where the temporary files are made
//
// Runs of the engines take turns, each in a process of its own.

import { fork } from 'node:child_process'
import { once } from 'node:events'
import { rmSync, writeFileSync } from 'node:fs'
import { availableParallelism, loadavg } from 'node:os'
import { extname, join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { positiveInteger } from './arguments.ts'
import { boundCaseNames, type Bound } from './bounds.ts'
import { boundsHeading, boundsRows, isKept, oneProcessor } from './bounds-table.ts'
import type { Answer, Task } from './child.ts'
import { engineNames, type EngineName } from './engines/index.ts'
import { everydayHeading, everydayRows, singleHeading, singleRows } from './everyday.ts'
import { bytes, count, figure } from './format.ts'
import { bestOf, type Limits } from './limits.ts'
import { pauseHeading, pauseRows, pauseSummary } from './pause-table.ts'
import { mediansOf, type Figures } from './stats.ts'
import { table } from './table.ts'
import { temporaryDirectory } from './temporary.ts'
import { painterFor, Progress } from './terminal.ts'
import { everydayWorkloads } from './workloads.ts'

const { values: options } = parseArgs({
  options: {
    only: { type: 'string', default: ['pause', ...everydayWorkloads].join(',') },
    records: { type: 'string', default: '1000000' },
    runs: { type: 'string', default: '3' },
    seconds: { type: 'string', default: '60' },
    json: { type: 'string' },
    dir: { type: 'string' },
  },
})
const only = options.only.split(',')
const special = ['pause', 'bounds']
const unknown = only.filter((name) => !special.includes(name) && !isEveryday(name))
if (unknown.length > 0) throw new Error(`Unknown workloads: ${unknown.join(', ')}`)
const records = positiveInteger('records', options.records)
const runs = positiveInteger('runs', options.runs)
const milliseconds = 1000 * positiveInteger('seconds', options.seconds)

const parent = temporaryDirectory(options.dir)
const progress = new Progress()
const paint = painterFor(process.stdout)
const print = (lines: readonly string[]): void => {
  process.stdout.write(`${lines.join('\n')}\n`)
}

function isEveryday(name: string): boolean {
  return everydayWorkloads.some((known) => known === name)
}

let processes = 0

const newDirectory = (): string => join(parent, String(processes++))

const childPath = join(import.meta.dirname, `child${extname(import.meta.filename)}`)

/** Does the task in a process of its own; `prefix` is a command that runs it. */
async function inChild<Result>(task: Task, prefix: readonly string[] = []): Promise<Result> {
  const [execPath, ...execArgv] = [...prefix, process.execPath]
  const child = fork(childPath, prefix.length > 0 ? { execPath, execArgv } : {})
  const answer = await new Promise<Answer>((resolve) => {
    child.once('message', (message) => resolve(message as Answer))
    child.once('exit', (code, signal) => resolve({ error: `it ended with ${signal ?? code}` }))
    child.send(task)
  })
  rmSync(task.directory, { recursive: true, force: true })
  if ('error' in answer) throw new Error(`The process of ${JSON.stringify(task)}: ${answer.error}`)
  return answer.result as Result
}

/** Of a process that is killed in the middle of its writing. */
async function afterKill(): Promise<Bound[]> {
  const directory = newDirectory()
  const child = fork(childPath)
  const ended = once(child, 'exit')
  child.send({ kind: 'overwrite', directory } satisfies Task)
  await wait(milliseconds)
  child.kill('SIGKILL')
  await ended
  return inChild<Bound[]>({ kind: 'reopen', directory })
}

async function allBounds(): Promise<Bound[]> {
  progress.show('bounds: after a kill')
  const bounds = await afterKill()
  for (const name of boundCaseNames) {
    progress.show(`bounds: ${name}`)
    const task = { kind: 'bounds', directory: newDirectory(), name, milliseconds } as const
    bounds.push(...(await inChild<Bound[]>(task, oneProcessor(name))))
  }
  progress.end()
  return bounds
}

/** Before each run, so that a quiet moment is among them: limits are what the machine can do. */
const limits: Limits[] = []

async function measureLimits(): Promise<void> {
  progress.show('limits of the machine')
  limits.push(await inChild<Limits>({ kind: 'limits', directory: newDirectory() }))
}

async function everyday(): Promise<Record<EngineName, Figures>> {
  const results: Record<EngineName, Figures[]> = { hotbolt: [], lmdb: [] }
  for (let run = 1; run <= runs; run++) {
    await measureLimits()
    for (const engine of engineNames) {
      progress.show(`everyday work, run ${run} of ${runs}: ${engine}`)
      const directory = newDirectory()
      results[engine].push(await inChild({ kind: 'life', directory, engine, records, only }))
    }
  }
  progress.end()
  return { hotbolt: mediansOf(results.hotbolt), lmdb: mediansOf(results.lmdb) }
}

const paintHeading = (text: string): string => paint('bold', text)
const machine = { node: process.version, cores: availableParallelism(), load: loadavg()[0] ?? 0 }
print([
  `Node ${machine.node}, ${machine.cores} cores, load ${figure(machine.load)}; ` +
    `${count(records)} records of 16 + 128 bytes; medians of ${runs}`,
])
const result: Record<string, unknown> = { machine, records, runs }

if (only.includes('pause')) {
  progress.show('pause')
  const task = { kind: 'pause', directory: newDirectory(), records, rounds: runs } as const
  const results = await inChild<Figures[][]>(task)
  progress.end()
  print(['', ...table(pauseHeading, pauseRows(results), { paintHeading })])
  result['pause'] = pauseSummary(results)
  if (results.flat().some(({ failed }) => failed !== 0)) process.exitCode = 1
}
if (only.includes('bounds')) {
  const bounds = await allBounds()
  print(['', ...table(boundsHeading, boundsRows(bounds), { paintHeading })])
  result['bounds'] = bounds
  if (!bounds.every(isKept)) process.exitCode = 1
}
if (only.some(isEveryday)) {
  const { hotbolt, lmdb } = await everyday()
  const best = bestOf(limits)
  print(['', ...table(everydayHeading, everydayRows(hotbolt, lmdb, best), { paintHeading })])
  if (only.includes('single')) {
    print(['', ...table(singleHeading, singleRows(hotbolt, lmdb), { paintHeading })])
  }
  print([
    '',
    `The machine: sequential write + fsync ${bytes(best.writeBytesPerSecond)}/s, ` +
      `memcpy ${bytes(best.copyBytesPerSecond)}/s, fdatasync of a 4 KiB append ` +
      `p50 ${figure(best.syncP50Ms)} p99 ${figure(best.syncP99Ms)} ms`,
  ])
  Object.assign(result, { limits: best, hotbolt, lmdb })
}
if (options.json !== undefined) {
  writeFileSync(options.json, `${JSON.stringify(result, undefined, 2)}\n`)
}
