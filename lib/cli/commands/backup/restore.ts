// hotbolt backup restore: a backup, or some of its tables, back to where they are used.

import { filesDestination, restoreBackup } from '../../../index.ts'
import type { RestoreDestination, RestoreReport } from '../../../index.ts'
import { isClickHouse, sourceOptionHelp } from '../../backup/source.ts'
import { sourceOptions, withClickHouse } from '../../backup/source.ts'
import { requireBackup } from '../../backup/target.ts'
import { targetOptionHelp, targetOptions, withTarget } from '../../backup/target.ts'
import { countedTables } from '../../backup/report.ts'
import { exitCodes, numberOption, textOption, textsOption, UsageError } from '../../command.ts'
import type { Command, OptionValues } from '../../command.ts'
import { formatBytes, formatDuration } from '../../format.ts'
import { interruptible } from '../../interruption.ts'
import { createProgressBar, transferLine } from '../../progress.ts'

export const restore: Command = {
  name: 'restore',
  usage: `<name>|latest --target <place> --to <path>
<name>|latest --target <place> --clickhouse <url>`,
  summary: 'Restore a backup',
  details: `The backup of a store becomes the file <path>, that of a catalog the directory
<path>, that of ClickHouse a directory of files if no server is given. Every
byte is compared with the manifest on the way. Nothing is to be seen of it
before all is there: a restore that fails, is interrupted or killed leaves
everything as it was.
`,
  options: {
    ...targetOptions,
    ...sourceOptions,
    to: { type: 'string' },
    files: { type: 'boolean' },
    overwrite: { type: 'boolean' },
    include: { type: 'string', multiple: true },
    exclude: { type: 'string', multiple: true },
    concurrency: { type: 'string' },
    'bytes-per-second': { type: 'string' },
  },
  optionHelp: [
    ...targetOptionHelp,
    ['--to <path>', 'where to: a file or a directory'],
    ['--files', 'only the files, as they are in the backup, into the directory <path>'],
    ...sourceOptionHelp,
    ['--overwrite', 'take the place of what is there'],
    ['--include <pattern>', 'only tables of this name; * and ?; may be repeated'],
    ['--exclude <pattern>', 'not tables of this name; may be repeated'],
    ['--concurrency <n>', 'tables that are restored at a time (4)'],
    ['--bytes-per-second <n>', 'limit of the speed of all copies together'],
  ],
  positionals: [1, 1],
  run: ({ positionals: [given = ''], values, output }) =>
    withTarget(values, async (target) => {
      const name = await requireBackup(target, given)
      return interruptible('removing what was restored', (signal) =>
        withDestination(values, async (into, place) => {
          const bar = createProgressBar(transferLine('restoring'))
          const options = { ...restoreOptions(values), signal, onProgress: bar.show }
          const restoring = restoreBackup({ into, target, name, ...options })
          const report = await restoring.finally(bar.end)
          await output.result(report, () => describe(report, place))
          return exitCodes.ok
        }),
      )
    }),
}

function restoreOptions(values: OptionValues): {
  readonly overwrite: boolean
  readonly include: string[] | undefined
  readonly exclude: string[] | undefined
  readonly tableConcurrency: number | undefined
  readonly bytesPerSecond: number | undefined
} {
  return {
    overwrite: values['overwrite'] === true,
    include: textsOption(values, 'include'),
    exclude: textsOption(values, 'exclude'),
    tableConcurrency: numberOption(values, 'concurrency'),
    bytesPerSecond: numberOption(values, 'bytes-per-second'),
  }
}

async function withDestination(
  values: OptionValues,
  run: (into: string | RestoreDestination, place: string) => Promise<number>,
): Promise<number> {
  const to = textOption(values, 'to')
  if ((to !== undefined) === isClickHouse(values)) {
    throw new UsageError('Expected one of: --to, --clickhouse, --chdb')
  }
  if (to !== undefined) return run(values['files'] === true ? filesDestination(to) : to, to)
  if (values['files'] === true) throw new UsageError('--files is only for --to')
  const { clickhouseDestination } = await import('hotbolt/clickhouse')
  return withClickHouse(values, (options) => run(clickhouseDestination(options), 'ClickHouse'))
}

function describe({ tables, sizeBytes, durationMs }: RestoreReport, place: string): string[] {
  const what = `${countedTables(tables)}, ${formatBytes(sizeBytes)}`
  return [`Restored ${what} to ${place} in ${formatDuration(durationMs)}.`]
}
