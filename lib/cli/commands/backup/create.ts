// hotbolt backup create: a backup of a store, a catalog or ClickHouse; or a copy of one store as a
// file (--to).

import { resolve } from 'node:path'
import {
  createBackup,
  open,
  type CreateBackupOptions,
  type FreezeSource,
  type Target,
} from '../../../index.ts'
import { sourceOptionHelp, sourceOptions, withSource } from '../../backup/source.ts'
import { backupName, targetOptionHelp, targetOptions } from '../../backup/target.ts'
import { withTarget } from '../../backup/target.ts'
import { aftermathCode, describeAftermath, describeBackup } from '../../backup/report.ts'
import { choiceOption, exitCodes, integersOption, numberOption } from '../../command.ts'
import { textOption, textsOption } from '../../command.ts'
import { UsageError, type Command, type Invocation, type OptionValues } from '../../command.ts'
import { formatBytes, formatDuration } from '../../format.ts'
import { interruptible } from '../../interruption.ts'
import { complain, toTable } from '../../output.ts'
import { backupLine, createProgressBar, storeBackupLine } from '../../progress.ts'

const details = `Every table is frozen (a stable state of it is pinned), copied and released. A
table is a store of a catalog, the one store of a file, or a table of ClickHouse
under the name database.table. Nobody else may have the file or catalog open;
the program that has it calls createBackup() itself, and goes on writing.

Ctrl-C releases what is frozen and removes what was copied. When something could
not be released, the exit code is 3, and hotbolt backup clean tries again.

With --to, the copy of one store is a database file of its own.
`

export const create: Command = {
  name: 'create',
  usage: `<file>|<directory> --target <place>
--clickhouse <url> --target <place>
<file> --to <copy>`,
  summary: 'Back up a store, a catalog of stores, or ClickHouse',
  details,
  options: {
    ...targetOptions,
    ...sourceOptions,
    name: { type: 'string' },
    include: { type: 'string', multiple: true },
    exclude: { type: 'string', multiple: true },
    'diff-from': { type: 'string' },
    cut: { type: 'boolean' },
    compact: { type: 'boolean' },
    concurrency: { type: 'string' },
    unfreeze: { type: 'string' },
    'unfreeze-concurrency': { type: 'string' },
    'unfreeze-timeout-ms': { type: 'string' },
    'ignore-errors': { type: 'string', multiple: true },
    'max-frozen': { type: 'string' },
    'bytes-per-second': { type: 'string' },
    state: { type: 'string' },
    verbose: { type: 'boolean', short: 'v' },
    to: { type: 'string' },
    format: { type: 'string' },
  },
  optionHelp: [
    ...targetOptionHelp,
    ...sourceOptionHelp,
    ['--name <name>', 'of the backup (the time in UTC)'],
    ['--include <pattern>', 'only tables of this name; * and ?; may be repeated'],
    ['--exclude <pattern>', 'not tables of this name; may be repeated'],
    ['--diff-from <name>|latest', 'tables that have not changed since that backup are not copied'],
    ['--cut', 'one moment for all tables'],
    ['--compact', 'copies of stores without their free pages'],
    ['--concurrency <n>', 'tables that are copied at a time (4)'],
    ['--unfreeze <when>', 'pipelined (at once), deferred (when all is copied) or inline'],
    ['--unfreeze-concurrency <n>', 'tables that are released at a time (8)'],
    ['--unfreeze-timeout-ms <n>', 'of one attempt to release a table (60000)'],
    ['--ignore-errors <n,...>', 'of the source, which mean "is gone" (60,81,218)'],
    ['--max-frozen <n>', 'tables that may be frozen at a time (64)'],
    ['--bytes-per-second <n>', 'limit of the speed of all copies together'],
    ['--state <directory>', 'where freezes are recorded; needed for s3://'],
    ['-v, --verbose', 'a line for each table'],
    ['--to <copy>', 'one store as a file'],
    ['--format <format>', 'of --to: bbolt, or etcd-snapshot for etcdctl'],
  ],
  positionals: [0, 1],
  run: (invocation) =>
    invocation.values['to'] === undefined ? createInTarget(invocation) : copyToFile(invocation),
}

function createInTarget({ positionals: [path], values, output }: Invocation): Promise<number> {
  refuse(values, ['format'], 'only for --to')
  return withTarget(values, async (target) => {
    requireState(values, target)
    return interruptible('releasing what is frozen', async (signal) => {
      const bar = createProgressBar(backupLine)
      const report = await withSource(path, values, async (source) => {
        const options = await backupOptions(values, target, source)
        return createBackup(source, { ...options, signal, onProgress: bar.show })
      }).finally(bar.end)
      const { location } = target
      await output.result({ ...report, target: location }, () => [
        ...describeBackup(report, location, values['verbose'] === true),
        ...describeAftermath(report),
      ])
      return aftermathCode(report)
    })
  })
}

async function backupOptions(
  values: OptionValues,
  target: Target,
  { kind }: FreezeSource,
): Promise<CreateBackupOptions> {
  const base = textOption(values, 'diff-from')
  const diffFrom = base === undefined ? undefined : await backupName(target, base, kind)
  if (base !== undefined && diffFrom === undefined) {
    complain('There is no earlier backup: all tables are copied.')
  }
  if (kind === 'clickhouse') refuse(values, ['compact'], 'only for stores')
  return {
    target,
    diffFrom,
    name: textOption(values, 'name'),
    include: textsOption(values, 'include'),
    exclude: textsOption(values, 'exclude'),
    tableConcurrency: numberOption(values, 'concurrency'),
    unfreezeConcurrency: numberOption(values, 'unfreeze-concurrency'),
    unfreezeTimeoutMs: numberOption(values, 'unfreeze-timeout-ms'),
    ignoreErrors: integersOption(values, 'ignore-errors'),
    maxFrozen: numberOption(values, 'max-frozen'),
    unfreeze: choiceOption(values, 'unfreeze', ['pipelined', 'deferred', 'inline']),
    freezeAllFirst: values['cut'] === true,
    bytesPerSecond: numberOption(values, 'bytes-per-second'),
    stateDirectory: stateOf(values),
  }
}

/** Options of the other kind of backup, which would silently do nothing. */
function refuse(values: OptionValues, names: readonly string[], reason: string): void {
  const given = names.find((name) => values[name] !== undefined)
  if (given !== undefined) throw new UsageError(`--${given} is ${reason}`)
}

function stateOf(values: OptionValues): string | undefined {
  const directory = textOption(values, 'state')
  return directory === undefined ? undefined : resolve(directory)
}

function requireState(values: OptionValues, target: Target): void {
  if (target.stateDirectory !== undefined || values['state'] !== undefined) return
  throw new UsageError(`Expected --state: ${target.location} has no place for records of freezes`)
}

const forTargetsOnly = Object.keys(targetOptions)
  .concat(Object.keys(sourceOptions))
  .concat(['name', 'include', 'exclude', 'diff-from', 'cut', 'concurrency', 'unfreeze', 'state'])
  .concat(['unfreeze-concurrency', 'unfreeze-timeout-ms', 'max-frozen', 'verbose'])
  .concat(['ignore-errors'])

function copyToFile({ positionals: [path], values, output }: Invocation): Promise<number> {
  refuse(values, forTargetsOnly, 'not for --to')
  const to = textOption(values, 'to') ?? ''
  if (path === undefined) throw new UsageError('Expected the file of the store')
  const options = {
    compact: values['compact'] === true,
    format: choiceOption(values, 'format', ['bbolt', 'etcd-snapshot']),
    bytesPerSecond: numberOption(values, 'bytes-per-second'),
  }
  return interruptible('removing the copy', async (signal) => {
    const bar = createProgressBar(storeBackupLine)
    await using database = await open(path, { create: false })
    const copy = database.backup(to, { ...options, signal, onProgress: bar.show })
    const report = await copy.finally(bar.end)
    const rows: [string, string][] = [
      ['copy', report.path],
      ['size', formatBytes(report.sizeBytes)],
      ['took', formatDuration(report.durationMs)],
    ]
    if (report.sha256 !== undefined) rows.push(['SHA-256', report.sha256])
    await output.result(report, () => toTable(rows))
    return exitCodes.ok
  })
}
