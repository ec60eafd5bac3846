// hotbolt defrag: rewrite a file without its free pages. Ctrl-C leaves it as it was.

import { open, type DefragReport } from '../../index.ts'
import { exitCodes, numberOption, type Command } from '../command.ts'
import { describeFailure, failuresOf, wasAborted } from '../failure.ts'
import { formatBytes, formatDuration } from '../format.ts'
import { complain, toTable } from '../output.ts'
import { createProgressBar, defragLine } from '../progress.ts'

export const defrag: Command = {
  name: 'defrag',
  usage: '<file>',
  summary: 'Rewrite a database file without its free pages',
  options: { fill: { type: 'string' }, 'bytes-per-second': { type: 'string' } },
  optionHelp: [
    ['--fill <0.1..1>', 'how full the pages are made (0.9)'],
    ['--bytes-per-second <n>', "limit of the copy's speed"],
  ],
  positionals: [1, 1],
  run: async ({ positionals: [file = ''], values, output }) => {
    const options = {
      fillPercent: numberOption(values, 'fill'),
      bytesPerSecond: numberOption(values, 'bytes-per-second'),
    }
    const interruption = new AbortController()
    const interrupt = (): void => interruption.abort()
    const bar = createProgressBar(defragLine)
    process.on('SIGINT', interrupt)
    try {
      await using database = await open(file, { create: false })
      const { signal } = interruption
      const report = await database.defrag({ ...options, signal, onProgress: bar.show })
      bar.end()
      await output.result(report, () => describe(report))
      return exitCodes.ok
    } catch (error) {
      bar.end()
      if (!wasAborted(error)) throw error
      complain('Interrupted: the file is as it was.')
      if (failuresOf(error).length > 1) complain(...describeFailure(error))
      return exitCodes.interrupted
    } finally {
      process.off('SIGINT', interrupt)
    }
  },
}

function describe(report: DefragReport): string[] {
  const table = toTable([
    ['before', formatBytes(report.sizeBeforeBytes)],
    ['after', formatBytes(report.sizeAfterBytes)],
    ['copied', `${formatBytes(report.bytesCopied)}, ${report.entriesCopied} entries`],
    ['took', formatDuration(report.durationMs)],
  ])
  return [...table, ...report.warnings.map((warning) => `warning: ${warning}`)]
}
