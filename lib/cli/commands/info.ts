// hotbolt info: what the file says of itself.

import { open } from '../../index.ts'
import { exitCodes, type Command } from '../command.ts'
import { formatBytes, formatPercent } from '../format.ts'
import { toTable } from '../output.ts'

export const info: Command = {
  name: 'info',
  usage: '<file>',
  summary: 'Print page size, transaction, sizes and free pages of a database file',
  options: {},
  optionHelp: [],
  positionals: [1, 1],
  run: async ({ positionals: [file = ''], output }) => {
    await using database = await open(file, { readOnly: true })
    const stats = database.stats()
    const used = formatPercent(stats.sizeInUseBytes, stats.sizeBytes)
    const free = String(stats.freePages + stats.pendingPages)
    const rows = [
      ['path', stats.path],
      ['page size', formatBytes(stats.pageSize)],
      ['transaction', String(stats.txid)],
      ['size', formatBytes(stats.sizeBytes)],
      [
        'in use',
        `${stats.freelistLoaded ? '' : 'at most '}${formatBytes(stats.sizeInUseBytes)} (${used})`,
      ],
      ['free pages', stats.freelistLoaded ? free : 'not counted: see hotbolt stats'],
      ['in the journal', formatBytes(stats.memtableBytes + stats.sealedBytes)],
    ] as const
    await output.result(stats, () => toTable(rows))
    return exitCodes.ok
  },
}
