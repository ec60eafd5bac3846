// The demonstration's report for people. Colours do not count as width, so they are put on last.

import type { DefragReport } from '../../lib/index.ts'
import { bytes, count, duration, figure, percent } from '../format.ts'
import type { LatencySummary } from '../stats.ts'
import { table } from '../table.ts'
import type { Painter } from '../terminal.ts'
import type { LoadSummary, StageReport, Verdicts } from './run-stage.ts'

const indent = '   '
const labelWidth = 22
const issuesShown = 5

export function stageText(number: number, report: StageReport, paint: Painter): string[] {
  return [
    '',
    paint('bold', `${number}. ${report.title}`),
    '',
    ...sizeLines(report, paint),
    '',
    ...phaseLines(report.defrag, paint),
    '',
    ...latencyLines(report, paint),
    '',
    ...verdictLines(report, paint),
  ]
}

function label(name: string, text: string): string {
  return `${indent}${name.padEnd(labelWidth)}${text}`
}

function sizeLines({ before, after, openMs }: StageReport, paint: Painter): string[] {
  const saved = before.fileBytes - after.fileBytes
  const free = percent(before.fileBytes - before.inUseBytes, before.fileBytes)
  const smaller = paint(
    saved > 0 ? 'green' : 'yellow',
    `${percent(Math.abs(saved), before.fileBytes)} ${saved > 0 ? 'smaller' : 'larger'}`,
  )
  return [
    label('opened in', duration(openMs)),
    label(
      'file before',
      `${bytes(before.fileBytes)}, ${bytes(before.inUseBytes)} in use, ${free} free`,
    ),
    label('file after', `${bytes(after.fileBytes)}, ${smaller}`),
  ]
}

function phaseLines(report: DefragReport, paint: Painter): string[] {
  const rows = report.phases.flatMap(({ phase, durationMs }) => [
    [phase, figure(durationMs), ...phaseDetail(phase, durationMs, report)],
    ...(phase === 'catching-up' ? roundRows(report) : []),
  ])
  const switched = ['until switched', figure(msUntilSwitched(report)), '', '']
  const total = ['in all', figure(report.durationMs), '', 'the old file is emptied slowly']
  const paintHeading = (text: string): string => paint('dim', text)
  return [
    ...table(['defragmentation', 'ms', 'MB/s', ''], [...rows, switched, total], {
      indent,
      left: [3],
      paintHeading,
    }),
    ...report.warnings.map((warning) => `${indent}${paint('yellow', warning)}`),
  ]
}

/** From then on the database is the new file. */
function msUntilSwitched({ phases }: DefragReport): number {
  const before = phases.filter(({ phase }) => phase !== 'cleaning')
  return before.reduce((sum, { durationMs }) => sum + durationMs, 0)
}

function phaseDetail(phase: string, durationMs: number, report: DefragReport): string[] {
  if (phase !== 'copying') return ['', '']
  const { bytesCopied, entriesCopied } = report
  return [
    figure(bytesCopied / 1e3 / durationMs),
    `${count(entriesCopied)} entries, ${bytes(bytesCopied)}`,
  ]
}

function roundRows({ rounds }: DefragReport): string[][] {
  return rounds.map((round, index) => [
    `  round ${index + 1}`,
    figure(round.durationMs),
    figure(round.bytes / 1e3 / round.durationMs),
    `${count(round.entries)} writes, ${bytes(round.bytes)}`,
  ])
}

/** With microseconds: the calls take some. */
const milliseconds = (ms: number): string => ms.toFixed(3)

function latencyLines({ without, during }: StageReport, paint: Painter): string[] {
  const cells = ({ p50Ms, p99Ms, maxMs }: LatencySummary): string[] =>
    [p50Ms, p99Ms, maxMs].map(milliseconds)
  const row = (name: string, of: (load: LoadSummary) => LatencySummary): string[] => [
    name,
    ...cells(of(without)),
    '|',
    ...cells(of(during)),
  ]
  const delays = [without, during].map((load) => milliseconds(load.eventLoopDelayMaxMs))
  const rows = [
    row('call of put', (load) => load.putCall),
    row('put until acknowledged', (load) => load.putAck),
    row('call of get', (load) => load.getCall),
    ['event loop delay', '', '', delays[0]!, '|', '', '', delays[1]!],
  ]
  const over = ['', '', '', 'without', '|', '', '', 'during']
  const heading = ['ms', 'p50', 'p99', 'max', '|', 'p50', 'p99', 'max']
  const [first = '', second = '', ...others] = table(over, [heading, ...rows], { indent })
  return [paint('dim', first), paint('dim', second), ...others]
}

function verdictLines({ verdicts, without, during }: StageReport, paint: Painter): string[] {
  const good = (text: string): string => paint('green', text)
  const bad = (text: string): string => paint('red', text)
  const { acknowledged, untouched, check } = verdicts
  const lost = `lost: ${acknowledged.lost}`
  const writes = `${count(acknowledged.acknowledged)} writes of ${count(acknowledged.keys)} keys`
  const same = untouched.same ? good('unchanged') : bad('changed')
  const failed = without.failedPuts + during.failedPuts
  const missed = without.missedGets + during.missedGets
  const answers = `${count(failed)} puts failed, ${count(missed)} gets found nothing`
  return [
    label('acknowledged', `${writes}, ${acknowledged.lost === 0 ? good(lost) : bad(lost)}`),
    label('everything else', `${count(untouched.entries)} entries, ${same}`),
    ...(failed + missed === 0 ? [] : [label('answers', bad(answers))]),
    label('db.check()', check.ok ? `${good('ok')}, ${count(check.pages)} pages` : bad('failed')),
    ...check.issues.slice(0, issuesShown).map((issue) => label('', issue)),
    ...bboltLines(verdicts, good, bad),
  ]
}

function bboltLines(
  { bbolt }: Verdicts,
  good: (text: string) => string,
  bad: (text: string) => string,
): string[] {
  if (bbolt.verdict === 'skipped') return [label("bbolt's own check", `skipped: ${bbolt.reason}`)]
  const verdict = bbolt.verdict === 'ok' ? good('ok') : bad('failed')
  return [
    label("bbolt's own check", `${verdict}, ${bbolt.version}`),
    ...bbolt.errors.slice(0, issuesShown).map((error) => label('', error)),
  ]
}
