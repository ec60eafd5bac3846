// Where backups are kept: --target, a directory or s3://bucket/prefix.

import { resolve } from 'node:path'
import { directoryTarget, listBackups, type Target } from '../../index.ts'
import { textOption, UsageError, type OptionSpecs, type OptionValues } from '../command.ts'
import { loadOptional } from '../optional-package.ts'

export const targetOptions: OptionSpecs = {
  target: { type: 'string' },
  's3-endpoint': { type: 'string' },
}

export const targetOptionHelp: readonly (readonly [string, string])[] = [
  ['--target <place>', 'where backups are kept: a directory, or s3://bucket/prefix'],
  ['--s3-endpoint <url>', 'of a server that is not Amazon'],
]

/** Of a server that is silent; the SDK waits for ever, and tries again twice. */
const timeouts = { connectionTimeout: 10_000, socketTimeout: 120_000 }

interface S3Package {
  readonly S3Client: new (options: object) => {
    readonly config: object
    send(...args: never[]): unknown
    destroy(): void
  }
}

/** Runs with the target of --target, which has to be given. */
export async function withTarget<T>(
  values: OptionValues,
  run: (target: Target) => Promise<T>,
): Promise<T> {
  const place = textOption(values, 'target')
  if (place === undefined) throw new UsageError('Expected --target: where backups are kept')
  const endpoint = textOption(values, 's3-endpoint')
  if (!/^[a-z0-9]+:\/\//i.test(place)) {
    if (endpoint !== undefined) throw new UsageError('--s3-endpoint is only for s3://')
    return run(directoryTarget(resolve(place)))
  }
  const [, bucket, prefix = ''] = /^s3:\/\/([^/]+)(?:\/(.*))?$/.exec(place) ?? []
  if (bucket === undefined) {
    throw new UsageError(`Expected --target to be a directory or s3://bucket/prefix, got ${place}`)
  }
  const { S3Client } = await loadOptional<S3Package>('@aws-sdk/client-s3', 'use s3://')
  const { s3Target } = await import('hotbolt/s3')
  // Servers of one's own rarely have a name for each bucket.
  const own = endpoint === undefined ? {} : { endpoint, forcePathStyle: true }
  const client = new S3Client({ ...own, requestHandler: timeouts })
  try {
    return await run(s3Target({ client, bucket, prefix }))
  } finally {
    client.destroy()
  }
}

/** The backup's name; 'latest' is the newest that is complete, of this kind if one is given. */
export async function backupName(
  target: Target,
  name: string,
  kind?: string,
): Promise<string | undefined> {
  if (name !== 'latest') return name
  const backups = await listBackups(target)
  const complete = backups.filter((each) => each.state === 'complete')
  return complete.findLast((each) => kind === undefined || each.kind === kind)?.name
}

/** The same for what has to be there. */
export async function requireBackup(target: Target, name: string): Promise<string> {
  const found = await backupName(target, name)
  if (found === undefined) throw new Error(`There is no complete backup in ${target.location}`)
  return found
}
