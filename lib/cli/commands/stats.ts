// hotbolt stats: what is in the file, from a walk over all of its pages.

import { open } from '../../index.ts'
import { exitCodes, type Command } from '../command.ts'
import { formatBytes, formatPercent } from '../format.ts'
import { complain, journalNote, toTable } from '../output.ts'

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
    const notes = journal === '' ? {} : { journal }
    await output.result({ ...counts, ...notes }, () => [
      ...toTable([
        ['buckets', String(counts.bucketCount)],
        ['keys', String(counts.keyCount)],
        ['bytes of keys', formatBytes(counts.keyBytes)],
        ['bytes of values', formatBytes(counts.valueBytes)],
        ['depth', String(counts.depthMax)],
        ['pages', `${counts.reachablePages} in use, ${counts.freePages} free`],
        ['leaves filled', formatPercent(counts.leafBytesUsed, counts.leafBytes)],
      ]),
      ...Object.values(notes),
    ])
    if (ok) return exitCodes.ok
    complain(`${issueCount} issues, the first: ${issues[0]?.message ?? ''}`)
    return exitCodes.damaged
  },
}
