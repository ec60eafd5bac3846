// The demonstration: `npm run demo`.
//
// Two databases, a real etcd's and a large one that is made here, are defragmented while a program
// keeps writing to them and reading from them. Then everything that was acknowledged is looked for.
// Exit code 1 if anything is missing or a check fails.
//
//   --json             one JSON object on stdout and nothing else
//   --records N        of the large database; 1,000,000
//   --rate N           durable puts per second, and as many gets; 1,000
//   --dir PATH         where the temporary files are made

import { availableParallelism, loadavg } from 'node:os'
import { parseArgs } from 'node:util'
import { positiveInteger } from './arguments.ts'
import { startJudge } from './demo/judge.ts'
import { stageText } from './demo/print.ts'
import { runStage, type StageReport } from './demo/run-stage.ts'
import { etcdStage, fragmentedStage } from './demo/stages.ts'
import { count, duration, figure } from './format.ts'
import { temporaryDirectory } from './temporary.ts'
import { painterFor, Progress } from './terminal.ts'

const { values: options } = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    records: { type: 'string', default: '1000000' },
    rate: { type: 'string', default: '1000' },
    dir: { type: 'string' },
  },
})

const requestsPerSecond = positiveInteger('rate', options.rate)
const records = positiveInteger('records', options.records)

const startMs = performance.now()
const paint = painterFor(process.stdout)
const write = (lines: readonly string[]): void => {
  if (!options.json) process.stdout.write(`${lines.join('\n')}\n`)
}

const cores = availableParallelism()
const machine = { node: process.version, cores, system: process.platform, load: loadavg()[0] ?? 0 }
write([
  '',
  paint('bold', 'hotbolt: defragmentation under load'),
  `Node ${machine.node}, ${cores} cores, ${machine.system}; ` +
    `${count(requestsPerSecond)} durable puts and as many gets a second.`,
  'Waiting times count from the moment a request was due.',
  ...(machine.load <= cores + 1
    ? []
    : [paint('yellow', `Other programs keep the machine busy: load ${figure(machine.load)}.`)]),
])

const progress = new Progress()
const stages = [etcdStage(), fragmentedStage(records)]
const reports: StageReport[] = []
{
  progress.show("building bbolt's own check")
  await using judge = await startJudge()
  const setting = {
    directory: temporaryDirectory(options.dir),
    requestsPerSecond,
    progress,
    judge,
  }
  for (const stage of stages) {
    const report = await runStage(stage, setting)
    reports.push(report)
    write(stageText(reports.length, report, paint))
  }
}

const ok = reports.every((report) => report.ok)
const durationMs = performance.now() - startMs
const verdict = ok
  ? paint('green', 'Nothing was lost.')
  : paint('red', 'Something is wrong: see above.')
write(['', `${verdict} ${paint('dim', duration(durationMs))}`])
if (options.json) process.stdout.write(`${JSON.stringify({ ok, machine, durationMs, reports })}\n`)
process.exitCode = ok ? 0 : 1
