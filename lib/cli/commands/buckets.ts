// hotbolt buckets: the names of the buckets, at the top or inside one.

import { open, type BucketView } from '../../index.ts'
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
    const format = (name: Buffer): string => formatKey(name, hex)
    const names = listBuckets(parent, values['recursive'] === true, format)
    await output.result(names, () => names)
    return exitCodes.ok
  },
}

/** What has buckets inside: the database, a snapshot, a bucket. */
interface Parent {
  buckets(): Buffer[]
  bucket(name: Buffer): BucketView
}

function listBuckets(
  parent: Parent,
  recursive: boolean,
  format: (name: Buffer) => string,
): string[] {
  return parent.buckets().flatMap((name) => {
    if (!recursive) return [format(name)]
    const nested = listBuckets(parent.bucket(name), true, format)
    return [format(name), ...nested.map((each) => `${format(name)}/${each}`)]
  })
}
