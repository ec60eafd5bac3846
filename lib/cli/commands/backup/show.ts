// hotbolt backup show: what is in one backup.

import { readBackup, type Manifest, type ManifestTable } from '../../../index.ts'
import { formatTime } from '../../backup/report.ts'
import { requireBackup } from '../../backup/target.ts'
import { targetOptionHelp, targetOptions, withTarget } from '../../backup/target.ts'
import { exitCodes, type Command } from '../../command.ts'
import { formatBytes } from '../../format.ts'
import { toColumns, toTable } from '../../output.ts'

export const show: Command = {
  name: 'show',
  usage: '<name>|latest --target <place>',
  summary: 'Show what is in a backup',
  options: targetOptions,
  optionHelp: targetOptionHelp,
  positionals: [1, 1],
  run: ({ positionals: [given = ''], values, output }) =>
    withTarget(values, async (target) => {
      const name = await requireBackup(target, given)
      const manifest = await readBackup({ target, name })
      await output.result(manifest, () => describe(manifest))
      return exitCodes.ok
    }),
}

const sizeOf = ({ files }: ManifestTable): number =>
  files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)

function describe({ name, createdAt, source, cut, tables, requires }: Manifest): string[] {
  const own = tables.filter(({ owner }) => owner === name)
  const [all, held] = [tables, own].map((some) => some.reduce((sum, each) => sum + sizeOf(each), 0))
  const summary = toTable([
    ['backup', name],
    ['created', `${formatTime(createdAt)} UTC`],
    ['of', `${source.kind} ${source.id}${cut ? ', all of one moment' : ''}`],
    ['tables', `${tables.length}, ${own.length} of them its own`],
    ['size', `${formatBytes(all ?? 0)}, ${formatBytes(held ?? 0)} of it its own`],
    ['needs', requires.length === 0 ? 'no other backup' : requires.join(', ')],
  ])
  const columns = [
    { title: 'TABLE' },
    { title: 'FILES', right: true },
    { title: 'SIZE', right: true },
    { title: 'IN' },
  ]
  const rows = tables.map((table) => [
    table.name,
    String(table.files.length),
    formatBytes(sizeOf(table)),
    table.owner === name ? '' : table.owner,
  ])
  return tables.length === 0 ? summary : [...summary, '', ...toColumns(columns, rows)]
}
