// hotbolt get: one value, as it is.

import { open } from '../../index.ts'
import { bucketArguments, bucketOptionHelp, bucketOptions, existingBucket } from '../bucket-path.ts'
import { requireRest } from '../bucket-path.ts'
import { exitCodes, type Command } from '../command.ts'
import { formatKey, parseKey } from '../format.ts'
import { isOnTerminal } from '../output.ts'

export const get: Command = {
  name: 'get',
  usage: '<file> <bucket>[/<nested>...] <key>',
  summary: 'Print the value of a key, byte by byte; exits with 1 when it is missing',
  options: bucketOptions,
  optionHelp: bucketOptionHelp,
  positionals: [2, 3],
  run: async ({ positionals: [file = '', ...given], values, output }) => {
    const { path, rest, hex } = bucketArguments(given, values)
    requireRest(rest, ['key'])
    const key = parseKey(rest[0] ?? '', hex)
    await using database = await open(file, { readOnly: true })
    const value = existingBucket(database, path, hex).get(key)
    if (value === undefined) throw new Error(`The key ${formatKey(key, hex)} does not exist`)
    if (output.json || hex || isOnTerminal()) {
      const shown = formatKey(value, hex)
      await output.result({ value: shown }, () => [shown])
    } else await output.bytes(value)
    return exitCodes.ok
  },
}
