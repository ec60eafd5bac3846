// hotbolt backup clean: what backups have left behind that did not end in good order.

import { resolve } from 'node:path'
import { cleanFreezes, type CleanReport } from '../../../index.ts'
import { aftermathCode, describeAftermath } from '../../backup/report.ts'
import { sourceOptionHelp, sourceOptions } from '../../backup/source.ts'
import { withSource } from '../../backup/source.ts'
import { targetOptionHelp, targetOptions, withTarget } from '../../backup/target.ts'
import { integersOption, numberOption, textOption, type Command } from '../../command.ts'
import { counted } from '../../output.ts'

export const clean: Command = {
  name: 'clean',
  usage: `<file>|<directory> --target <place>
--clickhouse <url> --target <place>`,
  summary: 'Release the freezes of backups that were killed, and remove what they left',
  details: `Backups that are being made are left alone.
`,
  options: {
    ...targetOptions,
    ...sourceOptions,
    state: { type: 'string' },
    'unfreeze-concurrency': { type: 'string' },
    'unfreeze-timeout-ms': { type: 'string' },
    'ignore-errors': { type: 'string', multiple: true },
    'dry-run': { type: 'boolean' },
  },
  optionHelp: [
    ...targetOptionHelp,
    ...sourceOptionHelp,
    ['--state <directory>', 'where freezes are recorded; needed for s3://'],
    ['--unfreeze-concurrency <n>', 'tables that are released at a time (8)'],
    ['--unfreeze-timeout-ms <n>', 'of one attempt to release a table (60000)'],
    ['--ignore-errors <n,...>', 'of the source, which mean "is gone" (60,81,218)'],
    ['--dry-run', 'only say what would be done'],
  ],
  positionals: [0, 1],
  run: ({ positionals: [path], values, output }) =>
    withTarget(values, async (target) => {
      const state = textOption(values, 'state')
      const dryRun = values['dry-run'] === true
      const report = await withSource(path, values, (source) =>
        cleanFreezes(source, {
          target,
          dryRun,
          stateDirectory: state === undefined ? undefined : resolve(state),
          unfreezeConcurrency: numberOption(values, 'unfreeze-concurrency'),
          unfreezeTimeoutMs: numberOption(values, 'unfreeze-timeout-ms'),
          ignoreErrors: integersOption(values, 'ignore-errors'),
        }),
      )
      await output.result(report, () => describe(report, dryRun))
      return aftermathCode(report)
    }),
}

function describe(report: CleanReport, dryRun: boolean): string[] {
  const { released, abandoned, unfinished = [], running } = report
  const [release, remove] = dryRun ? ['would release', 'would remove'] : ['released', 'removed']
  const lines = [
    ...released.map(({ table, id }) => `${release} ${table} (${id})`),
    ...abandoned.map((name) => `${remove} what is left of ${name}`),
    ...unfinished.map((key) => `${remove} the unfinished upload of ${key}`),
    ...running.map((name) => `${name} is being made: left alone`),
  ]
  if (lines.length === 0) lines.push('There is nothing to clean.')
  if (released.length > 1) lines.push(`${counted(released.length, 'freeze')} ${release}`)
  return [...lines, ...describeAftermath(report)]
}
