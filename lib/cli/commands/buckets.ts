// hotbolt buckets: the names of the buckets, at the top or inside one.

import { open } from '../../index.ts'
import { bucketArguments, bucketOptionHelp, bucketOptions, existingBucket } from '../bucket-path.ts'
import { requireRest } from '../bucket-path.ts'
import { exitCodes, type Command } from '../command.ts'
import { formatKey } from '../format.ts'

export const buckets: Command = {
  name: 'buckets',
  usage: '<file> [<bucket>[/<nested>...]]',
  summary: 'List the names of the buckets, at the top or inside one',
  options: { ...bucketOptions, recursive: { type: 'boolean', short: 'r' } },
  optionHelp: [...bucketOptionHelp, ['-r, --recursive', 'and those inside them, as paths']],
  positionals: [1, 2],
  run: async ({ positionals: [file = '', ...given], values, output }) => {
    const { path, rest, hex } = bucketArguments(given, values)
    requireRest(rest, [])
    await using database = await open(file, { readOnly: true })
    using snapshot = database.snapshot()
    const parent = path.length === 0 ? snapshot : existingBucket(snapshot, path, hex)
    const paths = values['recursive'] === true ? parent.bucketPaths() : topOf(parent.buckets())
    const names = [...paths].map((each) => each.map((name) => formatKey(name, hex)).join('/'))
    await output.result(names, () => names)
    return exitCodes.ok
  },
}

const topOf = (names: readonly Buffer[]): Buffer[][] => names.map((name) => [name])
