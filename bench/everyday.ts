// The table of everyday work: hotbolt beside lmdb, the goal, and what the machine allows.

import { figure } from './format.ts'
import type { Limits } from './limits.ts'
import { keyBytes, payloadBytes } from './records.ts'
import type { Figures } from './stats.ts'
import type { Row } from './table.ts'
import { batchRecords, outstandingPuts } from './workloads.ts'

export interface Compared {
  readonly workload: string
  readonly what: string
  readonly name: string
  /** What is good: more, or less. */
  readonly better: 'more' | 'less'
  /** hotbolt over lmdb; for 'less', at most. */
  readonly goal: number | undefined
  /** What the machine could do at most, or has to take at least. */
  readonly limit: (limits: Limits) => number
}

/** One durable batch: its bytes written in sequence, and one sync. */
function batchesPerSecond(bytes: number, limits: Limits): number {
  const seconds = (batchRecords * bytes) / limits.writeBytesPerSecond + limits.syncP50Ms / 1000
  return batchRecords / seconds
}

const more = { better: 'more' } as const
const loadLimit = (limits: Limits): number => batchesPerSecond(payloadBytes, limits)

export const comparisons: readonly Compared[] = [
  {
    ...more,
    workload: 'load',
    what: 'random load, batches of 10,000, records/s',
    name: 'loadPerSecond',
    goal: 4,
    limit: loadLimit,
  },
  {
    ...more,
    workload: 'load',
    what: 'the same until it is closed, records/s',
    name: 'loadAndClosePerSecond',
    goal: undefined,
    limit: loadLimit,
  },
  {
    better: 'less',
    workload: 'load',
    what: 'bytes per record after the load',
    name: 'bytesPerRecord',
    goal: undefined,
    limit: () => payloadBytes,
  },
  {
    ...more,
    workload: 'get',
    what: 'random get, own Buffer, gets/s',
    name: 'getPerSecond',
    goal: 2,
    limit: (limits) => limits.randomCopiesPerSecond,
  },
  {
    ...more,
    workload: 'get',
    what: "random get, caller's buffer, gets/s",
    name: 'getFastPerSecond',
    goal: 2,
    limit: (limits) => limits.randomReadsPerSecond,
  },
  {
    ...more,
    workload: 'scan',
    what: 'ordered scan, entries/s',
    name: 'scanPerSecond',
    goal: 5,
    limit: (limits) => limits.copyBytesPerSecond / payloadBytes,
  },
  ...(['plain', 'checked', 'compact'] as const).map((how): Compared => ({
    ...more,
    workload: 'backup',
    what: `hot backup, ${how}: speed / cp + fsync of the file`,
    name: `${how}BackupOfCopy`,
    goal: undefined,
    limit: () => 1,
  })),
  {
    ...more,
    workload: 'puts',
    what: `durable puts, ${outstandingPuts} outstanding, acks/s`,
    name: 'putsPerSecond',
    goal: 5,
    limit: (limits) => (1000 * outstandingPuts) / limits.syncP50Ms,
  },
  {
    better: 'less',
    workload: 'puts',
    what: 'the same, p99 ms',
    name: 'putsP99Ms',
    goal: undefined,
    limit: (limits) => limits.syncP99Ms,
  },
  {
    ...more,
    workload: 'delete',
    what: 'delete 80 %, batches of 10,000, records/s',
    name: 'deletePerSecond',
    goal: 2,
    limit: (limits) => batchesPerSecond(keyBytes, limits),
  },
]

export const everydayHeading: Row = [
  'workload',
  'hotbolt',
  'lmdb',
  'ratio',
  'goal',
  'limit',
  'of limit',
]

export function everydayRows(hotbolt: Figures, lmdb: Figures, limits: Limits): Row[] {
  return comparisons.flatMap(({ what, name, better, goal, limit }) => {
    const [own, other] = [hotbolt[name], lmdb[name]]
    if (own === undefined) return []
    const most = limit(limits)
    const ofLimit = better === 'more' ? own / most : most / own
    return [
      [
        what,
        figure(own),
        figure(other ?? Number.NaN),
        `${figure(own / (other ?? Number.NaN))} x`,
        goal === undefined ? '' : `${goal} x`,
        figure(most),
        `${figure(100 * ofLimit)} %`,
      ],
    ]
  })
}

export const singleHeading: Row = [
  'one durable put at a time, ms',
  'hotbolt p50',
  'p99',
  'lmdb p50',
  'p99',
  'raw p50',
  'p99',
  'hotbolt / raw p50',
  'p99',
]

const states = { empty: 'empty', loaded: 'loaded', deleted: '80 % deleted', reclaimed: 'reclaimed' }

/** Raw is an append and an fdatasync without any engine, just before. */
export function singleRows(hotbolt: Figures, lmdb: Figures): Row[] {
  const at = (figures: Figures, name: string): number => figures[name] ?? Number.NaN
  return Object.entries(states).flatMap(([state, title]) => {
    const [p50, p99] = [`${state}P50Ms`, `${state}P99Ms`]
    const [rawP50, rawP99] = [at(hotbolt, `${state}RawP50Ms`), at(hotbolt, `${state}RawP99Ms`)]
    if (hotbolt[p50] === undefined) return []
    const times = [hotbolt, lmdb].flatMap((figures) => [at(figures, p50), at(figures, p99)])
    const ratios = [at(hotbolt, p50) / rawP50, at(hotbolt, p99) / rawP99]
    return [[title, ...[...times, rawP50, rawP99].map(figure), ...ratios.map(figure)]]
  })
}
