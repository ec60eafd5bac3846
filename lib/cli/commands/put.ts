// hotbolt put: one value, from the command line or standard input.

import { fstatSync } from 'node:fs'
import { buffer } from 'node:stream/consumers'
import { open } from '../../index.ts'
import { bucketArguments, bucketOptionHelp, bucketOptions, findBucket } from '../bucket-path.ts'
import { requireRest } from '../bucket-path.ts'
import { exitCodes, type Command } from '../command.ts'
import { parseKey, parseValue } from '../format.ts'

export const put: Command = {
  name: 'put',
  usage: '<file> <bucket>[/<nested>...] <key> <value>|-',
  summary: 'Write a value; - reads it from standard input',
  options: { ...bucketOptions, create: { type: 'boolean' } },
  optionHelp: [...bucketOptionHelp, ['--create', 'make the file if it does not exist']],
  positionals: [3, 4],
  run: async ({ positionals: [file = '', ...given], values, output }) => {
    const { path, rest, hex } = bucketArguments(given, values)
    requireRest(rest, ['key', 'value'])
    const key = parseKey(rest[0] ?? '', hex)
    const value = rest[1] === '-' ? await readInput() : parseValue(rest[1] ?? '', hex)
    await using database = await open(file, { create: values['create'] === true })
    await findBucket(database, path).put(key, value)
    await output.result({ bytes: value.length }, () => [])
    return exitCodes.ok
  },
}

function readInput(): Promise<Buffer> {
  // To Node it looks empty.
  if (fstatSync(process.stdin.fd).isDirectory()) throw new Error('Standard input is a directory')
  return buffer(process.stdin)
}
