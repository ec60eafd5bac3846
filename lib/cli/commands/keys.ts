// hotbolt keys: the keys of a bucket, in order.

import { open } from '../../index.ts'
import { bucketArguments, bucketOptionHelp, bucketOptions, existingBucket } from '../bucket-path.ts'
import { requireRest } from '../bucket-path.ts'
import { exitCodes, numberOption, type Command } from '../command.ts'
import { formatKey, parseKey } from '../format.ts'

export const keys: Command = {
  name: 'keys',
  usage: '<file> <bucket>[/<nested>...]',
  summary: 'List the keys of a bucket, one on a line',
  options: {
    ...bucketOptions,
    prefix: { type: 'string' },
    limit: { type: 'string' },
    reverse: { type: 'boolean' },
    values: { type: 'boolean' },
  },
  optionHelp: [
    ...bucketOptionHelp,
    ['--prefix <key>', 'only keys that begin with this'],
    ['--limit <n>', 'at most this many'],
    ['--reverse', 'from the last to the first'],
    ['--values', 'and their values, after a tab'],
  ],
  positionals: [1, 2],
  run: async ({ positionals: [file = '', ...given], values, output }) => {
    const { path, rest, hex } = bucketArguments(given, values)
    requireRest(rest, [])
    const prefix = values['prefix']
    const options = {
      prefix: typeof prefix === 'string' ? parseKey(prefix, hex) : undefined,
      limit: numberOption(values, 'limit'),
      reverse: values['reverse'] === true,
    }
    await using database = await open(file, { readOnly: true })
    const bucket = existingBucket(database, path, hex)
    const withValues = values['values'] === true
    for await (const [key, value] of bucket.range(options)) {
      const shown = [key, ...(withValues ? [value] : [])].map((bytes) => formatKey(bytes, hex))
      await output.result(withValues ? shown : shown[0], () => [shown.join('\t')])
    }
    return exitCodes.ok
  },
}
