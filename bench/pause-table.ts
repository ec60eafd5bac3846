// The table of the pause: one column for each case, one row for each figure of it.

import { bytes, count, figure } from './format.ts'
import { pauseCases } from './pause.ts'
import { mediansOf, median, type Figures } from './stats.ts'
import type { Row } from './table.ts'

type Of = (figures: Figures) => number

const at =
  (name: string): Of =>
  (figures) =>
    figures[name] ?? Number.NaN

/** Taken round by round, then the median: both halves of a round have the same neighbours. */
const extra = (name: string): Of => {
  return (figures) => at(`during${name}`)(figures) - at(`without${name}`)(figures)
}
const ratio = (name: string): Of => {
  return (figures) => at(`during${name}`)(figures) / at(`without${name}`)(figures)
}

const megabytes = (value: number): string => (Number.isFinite(value) ? bytes(value) : '-')

interface PauseRow {
  readonly what: string
  readonly of: Of
  readonly goal?: string
  readonly show?: (value: number) => string
  /** Of the rounds; the median. */
  readonly combine?: (values: readonly number[]) => number
}

const rows: readonly PauseRow[] = [
  { what: 'longest call of put or get, without, ms', of: at('withoutCallMaxMs') },
  { what: '  during, ms', of: at('duringCallMaxMs') },
  { what: '  extra, ms', of: extra('CallMaxMs'), goal: '<= 1' },
  { what: 'longest wait for an acknowledgement, without, ms', of: at('withoutAckMaxMs') },
  { what: '  during, ms', of: at('duringAckMaxMs') },
  { what: '  extra, ms', of: extra('AckMaxMs'), goal: '<= 5' },
  { what: 'p50 of the acknowledgement, without, ms', of: at('withoutAckP50Ms') },
  { what: '  during, ms', of: at('duringAckP50Ms') },
  { what: 'p99 of the acknowledgement, without, ms', of: at('withoutAckP99Ms') },
  { what: '  during, ms', of: at('duringAckP99Ms') },
  { what: '  during / without', of: ratio('AckP99Ms'), goal: '<= 1.5' },
  { what: 'longest event loop delay, without, ms', of: at('withoutLoopMaxMs') },
  { what: '  during, ms', of: at('duringLoopMaxMs') },
  { what: '  extra, ms', of: extra('LoopMaxMs'), goal: '<= 1' },
  { what: 'cp + fsync of the new file (the limit), ms', of: at('copyMs') },
  { what: 'until the new file was in place, ms', of: at('switchedMs') },
  {
    what: '  / cp + fsync',
    of: (figures) => at('switchedMs')(figures) / at('copyMs')(figures),
    goal: '<= 1.5',
  },
  { what: 'until the old file was gone, ms', of: at('durationMs') },
  { what: 'memory above the idle store', of: at('memoryBytes'), show: megabytes },
  { what: 'bytes per record of the copy (payload 144)', of: at('copiedPerRecord'), goal: '<= 182' },
  { what: '  of the file after catching up', of: at('bytesPerRecord') },
  {
    what: 'acknowledged writes lost, puts and gets failed',
    of: at('failed'),
    goal: '0',
    show: count,
    combine: (values) => Math.max(...values),
  },
]

export const pauseHeading: Row = [
  'requests per second',
  ...pauseCases.map(({ requestsPerSecond, snapshot }) =>
    snapshot ? `${count(requestsPerSecond)}, snapshot` : count(requestsPerSecond),
  ),
  'goal',
]

export function pauseRows(results: readonly (readonly Figures[])[]): Row[] {
  return rows.map(({ what, of, goal = '', show = figure, combine = median }) => [
    what,
    ...results.map((rounds) => show(combine(rounds.map(of)))),
    goal,
  ])
}

/** Medians of each case, named by its requests per second and whether a snapshot was held. */
export function pauseSummary(results: readonly (readonly Figures[])[]): object[] {
  return results.map((rounds, index) => ({ ...pauseCases[index], ...mediansOf(rounds), rounds }))
}
