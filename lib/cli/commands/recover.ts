// hotbolt recover: what to do about the journal of a program that has not closed its database.

import { readJournal, recoverDatabase } from '../../index.ts'
import type { Journal, JournalOperation, RecoverReport } from '../../index.ts'
import { exitCodes, numberOption, UsageError } from '../command.ts'
import type { Command, Invocation } from '../command.ts'
import { formatKey } from '../format.ts'
import { counted, toColumns, toTable } from '../output.ts'

export const recover: Command = {
  name: 'recover',
  usage: `<file>
<file> --list [--keys]
<file> --apply-stale [--from <n>]`,
  summary: 'Merge the journal that a program has left which did not close its database',
  details: `A program that ends without closing its database leaves its last writes in a
journal beside the file (<file>-journal-00000001, ...). hotbolt merges them the
next time it opens the file; other programs, as etcd or bbolt, do not see them.
Without an option this command merges them: then the file alone is the database.

When another program writes to the file first, the journal is stale: it is
refused (ERR_JOURNAL_STALE), for it may say what the other program has changed.
--list shows what it holds and changes nothing. --apply-stale does all of it on
top of what the file holds now, as one transaction, and overwrites what the
other program has written to the same keys. Which of the transactions the file
had before the other program wrote cannot be known as a rule: --from leaves out
those of lower numbers. The journal's files are kept under other names
(<file>.applied-<time>-journal-...). Interrupted, it is to be run again, before
anything else writes.

Exit codes: 0 ok, 1 failed or stale, 3 some operations do not fit what the file
holds now and were left out, 5 the file is open.
`,
  options: {
    list: { type: 'boolean' },
    keys: { type: 'boolean' },
    'apply-stale': { type: 'boolean' },
    from: { type: 'string' },
  },
  optionHelp: [
    ['--list', 'say what the journal holds; nothing is changed'],
    ['--keys', 'with --list: each operation, and its key'],
    ['--apply-stale', 'do what a stale journal holds on top of what the file holds now'],
    ['--from <n>', 'with --apply-stale: from the transaction of this number on'],
  ],
  positionals: [1, 1],
  run: (invocation) => (invocation.values['list'] === true ? list(invocation) : merge(invocation)),
}

async function merge({ positionals: [file = ''], values, output }: Invocation): Promise<number> {
  if (values['keys'] === true) throw new UsageError('--keys is only for --list')
  const applyStale = values['apply-stale'] === true
  const fromSeq = numberOption(values, 'from')
  if (fromSeq !== undefined && !applyStale) throw new UsageError('--from is only for --apply-stale')
  const report = await recoverDatabase(file, { applyStale, fromSeq })
  const skipped = report.skipped.map(({ operation, error }) => {
    return { ...printable(operation), code: error.code }
  })
  await output.result({ ...report, skipped }, () => describe(report))
  return skipped.length === 0 ? exitCodes.ok : exitCodes.warnings
}

function describe({ outcome, transactions, operations, skipped, kept }: RecoverReport): string[] {
  if (outcome === 'nothing') return ['There is no journal: the file alone is the database.']
  const done = outcome === 'merged' ? 'merged into the file' : 'done on top of what the file held'
  const what = `${counted(transactions, 'transaction')}, ${counted(operations, 'operation')}`
  return [
    `${what}: ${done}`,
    ...skipped.map(({ operation, error }) => `left out: ${lineOf(operation)} (${error.code})`),
    ...kept.map((path) => `kept: ${path}`),
  ]
}

async function list({ positionals: [file = ''], values, output }: Invocation): Promise<number> {
  if (values['apply-stale'] === true) throw new UsageError('--list changes nothing')
  if (values['from'] !== undefined) throw new UsageError('--from is only for --apply-stale')
  const journal = await readJournal(file)
  const { path, state, segments, transactions, firstSeq, lastSeq, coveredSeq } = journal
  const { operations, buckets } = countedIn(journal)
  const withKeys = values['keys'] === true
  if (output.json) {
    const summary = { path, state, transactions, operations, firstSeq, lastSeq, coveredSeq }
    const keys = withKeys ? { entries: [...journal.operations()].map(printable) } : {}
    await output.result({ ...summary, segments, buckets, ...keys }, () => [])
    return exitCodes.ok
  }
  await output.lines(describeJournal(journal, operations, buckets))
  if (!withKeys) return exitCodes.ok
  await output.lines([''])
  for (const operation of journal.operations()) await output.lines([lineOf(operation)])
  return exitCodes.ok
}

interface BucketCount {
  readonly bucket: string
  puts: number
  deletes: number
  others: number
}

function countedIn(journal: Journal): { operations: number; buckets: readonly BucketCount[] } {
  const counts = new Map<string, BucketCount>()
  let operations = 0
  for (const { kind, bucket: path } of journal.operations()) {
    const bucket = pathText(path)
    const count = counts.get(bucket) ?? { bucket, puts: 0, deletes: 0, others: 0 }
    counts.set(bucket, count)
    count[kind === 'put' ? 'puts' : kind === 'delete' ? 'deletes' : 'others']++
    operations++
  }
  return { operations, buckets: [...counts.values()] }
}

const stateTexts = {
  none: 'there is none',
  leftover: 'left over: the next open merges it',
  stale: 'stale: of another database, or another program has written to the file since',
}

function describeJournal(
  { state, segments, transactions, firstSeq, lastSeq, coveredSeq }: Journal,
  operations: number,
  buckets: readonly BucketCount[],
): string[] {
  if (state === 'none') return toTable([['journal', stateTexts.none]])
  const range = transactions === 0 ? '' : ` (${firstSeq} to ${lastSeq})`
  const known = coveredSeq === undefined ? ', some of which the file may have had' : ''
  const rows: (readonly [string, string])[] = [
    ['journal', stateTexts[state]],
    ...segments.map((segment) => ['segment', `${segment.path}, from ${segment.firstSeq}`] as const),
    ['transactions', `${transactions}${range}${known}`],
    ['operations', String(operations)],
  ]
  const columns = [
    { title: 'BUCKET' },
    { title: 'PUTS', right: true },
    { title: 'DELETES', right: true },
    { title: 'OTHERS', right: true },
  ]
  const counts = buckets.map(({ bucket, puts, deletes, others }) => {
    return [bucket, String(puts), String(deletes), String(others)]
  })
  return [...toTable(rows), ...(counts.length === 0 ? [] : ['', ...toColumns(columns, counts)])]
}

const pathText = (path: readonly Buffer[]): string =>
  path.length === 0 ? '/' : path.map((name) => formatKey(name, false)).join('/')

/** `12 put users ada`. */
function lineOf(operation: JournalOperation): string {
  const { seq, kind, bucket, key, sequence } = printable(operation)
  return [seq, kind, bucket, key ?? sequence].filter((each) => each !== undefined).join(' ')
}

function printable({ seq, kind, bucket, key, value, sequence }: JournalOperation): {
  readonly seq: number
  readonly kind: string
  readonly bucket: string
  readonly key?: string
  readonly valueBytes?: number
  readonly sequence?: string
} {
  return {
    seq,
    kind,
    bucket: pathText(bucket),
    ...(key === undefined ? {} : { key: formatKey(key, false) }),
    ...(value === undefined ? {} : { valueBytes: value.length }),
    ...(sequence === undefined ? {} : { sequence: String(sequence) }),
  }
}
