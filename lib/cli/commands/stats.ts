// hotbolt stats: what is in the file, from a walk over all of its pages.

import { open } from '../../index.ts'
import { exitCodes, type Command } from '../command.ts'
import { formatBytes, formatPercent } from '../format.ts'
import { journalNote, toJson, toTable } from '../output.ts'

export const stats: Command = {
  name: 'stats',
  usage: '<file>',
  summary: 'Count buckets and keys, and measure how full the pages are; reads the whole file',
  options: {},
  optionHelp: [],
  positionals: [1, 1],
  run: async ({ positionals: [file = ''], output }) => {
    await using database = await open(file, { readOnly: true })
    const { ok, issues, issueCount, ...counts } = await database.check()
    const journal = journalNote(database.stats())
    if (output.json) {
      await output.write(toJson(journal === '' ? counts : { ...counts, journal }))
    } else {
      const rows = [
        ['buckets', String(counts.bucketCount)],
        ['keys', String(counts.keyCount)],
        ['bytes of keys', formatBytes(counts.keyBytes)],
        ['bytes of values', formatBytes(counts.valueBytes)],
        ['depth', String(counts.depthMax)],
        ['pages', `${counts.reachablePages} in use, ${counts.freePages} free`],
        ['leaves filled', formatPercent(counts.leafBytesUsed, counts.leafBytes)],
      ] as const
      await output.write(toTable(rows))
      if (journal !== '') await output.write(`${journal}\n`)
    }
    if (ok) return exitCodes.ok
    process.stderr.write(`${issueCount} issues, the first: ${issues[0]?.message ?? ''}\n`)
    return exitCodes.damaged
  },
}
