// hotbolt backup list: the backups that a target has.

import { listBackups, type BackupSummary } from '../../../index.ts'
import { formatTime } from '../../backup/report.ts'
import { targetOptionHelp, targetOptions, withTarget } from '../../backup/target.ts'
import { exitCodes, type Command } from '../../command.ts'
import { formatBytes } from '../../format.ts'
import { counted, toColumns } from '../../output.ts'

export const list: Command = {
  name: 'list',
  usage: '--target <place>',
  summary: 'List the backups, the oldest first',
  details: `OWN is the size of what a backup holds itself; the rest of it is in those that it NEEDS.
Times are in UTC.
`,
  options: targetOptions,
  optionHelp: targetOptionHelp,
  positionals: [0, 0],
  run: ({ values, output }) =>
    withTarget(values, async (target) => {
      const backups = await listBackups(target)
      await output.result(backups, () => describe(backups, target.location))
      return exitCodes.ok
    }),
}

function describe(backups: readonly BackupSummary[], place: string): string[] {
  if (backups.length === 0) return [`There are no backups in ${place}.`]
  const columns = [
    { title: 'NAME' },
    { title: 'CREATED' },
    { title: 'KIND' },
    { title: 'TABLES', right: true },
    { title: 'SIZE', right: true },
    { title: 'OWN', right: true },
    { title: 'NEEDS' },
  ]
  const complete = backups.filter(({ state }) => state === 'complete')
  const broken = backups.filter(({ state }) => state === 'broken')
  const rows = complete.map((each) => [
    each.name,
    formatTime(each.createdAt),
    each.cut ? `${each.kind}, one cut` : each.kind,
    String(each.tables),
    formatBytes(each.sizeBytes),
    formatBytes(each.ownBytes),
    each.requires.join(', '),
  ])
  const problems = broken.map(({ name, problem }) => `broken: ${name}: ${problem ?? ''}`)
  const own = complete.reduce((sum, each) => sum + each.ownBytes, 0)
  const total = `${counted(complete.length, 'backup')}, ${formatBytes(own)}`
  const parts = [toColumns(columns, rows), problems].filter((part) => part.length > 0)
  return [...parts.flatMap((part) => [...part, '']), total]
}
