// hotbolt backup prune: delete old backups.

import { pruneBackups, type PruneReport } from '../../../index.ts'
import { targetOptionHelp, targetOptions, withTarget } from '../../backup/target.ts'
import { exitCodes, numberOption, UsageError, type Command } from '../../command.ts'
import { counted, toColumns } from '../../output.ts'

export const prune: Command = {
  name: 'prune',
  usage: '--target <place> --keep-last <n> ...',
  summary: 'Delete backups that no rule keeps',
  details: `A backup is kept when one of the rules keeps it, or when a kept one needs it.
Days, weeks and months are those of UTC.
`,
  options: {
    ...targetOptions,
    'keep-last': { type: 'string' },
    'keep-daily': { type: 'string' },
    'keep-weekly': { type: 'string' },
    'keep-monthly': { type: 'string' },
    'dry-run': { type: 'boolean' },
  },
  optionHelp: [
    ...targetOptionHelp,
    ['--keep-last <n>', 'the newest n'],
    ['--keep-daily <n>', 'the newest of each of the last n days that have one'],
    ['--keep-weekly <n>', 'the same for weeks'],
    ['--keep-monthly <n>', 'the same for months'],
    ['--dry-run', 'only say what would be deleted'],
  ],
  positionals: [0, 0],
  run: ({ values, output }) =>
    withTarget(values, async (target) => {
      const rules = {
        keepLast: numberOption(values, 'keep-last'),
        keepDaily: numberOption(values, 'keep-daily'),
        keepWeekly: numberOption(values, 'keep-weekly'),
        keepMonthly: numberOption(values, 'keep-monthly'),
      }
      if (!Object.values(rules).some((count) => count !== undefined && count > 0)) {
        throw new UsageError('Expected a rule that keeps something: --keep-last, --keep-daily, ...')
      }
      const dryRun = values['dry-run'] === true
      const report = await pruneBackups({ target, ...rules, dryRun })
      await output.result(report, () => describe(report, dryRun))
      return exitCodes.ok
    }),
}

function describe({ kept, deleted }: PruneReport, dryRun: boolean): string[] {
  const verb = dryRun ? 'would delete' : 'deleted'
  const rows = [
    ...kept.map(({ name, reasons }) => ['kept', name, reasons.join(', ')]),
    ...deleted.map((name) => [verb, name, '']),
  ]
  const table = toColumns([{ title: '' }, { title: 'NAME' }, { title: 'BECAUSE OF' }], rows)
  const rest = `${deleted.length} ${dryRun ? 'to be deleted' : verb}`
  const summary = `${counted(kept.length, 'backup')} kept, ${rest}`
  return table.length === 0 ? [summary] : [...table, '', summary]
}
