// hotbolt delete: one key.

import { open } from '../../index.ts'
import { bucketArguments, bucketOptionHelp, bucketOptions, findBucket } from '../bucket-path.ts'
import { requireRest } from '../bucket-path.ts'
import { exitCodes, type Command } from '../command.ts'
import { parseKey } from '../format.ts'

export const remove: Command = {
  name: 'delete',
  usage: '<file> <bucket>[/<nested>...] <key>',
  summary: 'Delete a key; that it is missing is no error',
  options: bucketOptions,
  optionHelp: bucketOptionHelp,
  positionals: [2, 3],
  run: async ({ positionals: [file = '', ...given], values, output }) => {
    const { path, rest, hex } = bucketArguments(given, values)
    requireRest(rest, ['key'])
    const key = parseKey(rest[0] ?? '', hex)
    await using database = await open(file, { create: false })
    const bucket = findBucket(database, path)
    const deleted = bucket.has(key)
    await bucket.delete(key)
    await output.result({ deleted }, () => [])
    return exitCodes.ok
  },
}
