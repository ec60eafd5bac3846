// Which bucket a command line means, and how keys are spelled there: `a/b/c` as an argument, or
// --bucket once for each name when names contain slashes.

import { HotboltError, type Bytes } from '../index.ts'
import { UsageError, type OptionSpecs, type OptionValues } from './command.ts'
import { formatKey, parseKey } from './format.ts'

export const bucketOptions: OptionSpecs = {
  bucket: { type: 'string', multiple: true },
  hex: { type: 'boolean' },
}

export const bucketOptionHelp: readonly (readonly [string, string])[] = [
  ['--bucket <name>', 'a name of the path, instead of <bucket>; once for each'],
  ['--hex', 'names and keys are hex digits; without it, those that begin with 0x are'],
]

export interface BucketArguments {
  /** Names from the top. */
  readonly path: readonly Buffer[]
  /** The positional arguments after the bucket. */
  readonly rest: readonly string[]
  readonly hex: boolean
}

/** `positionals` without the file; takes the bucket off unless --bucket says it. */
export function bucketArguments(
  positionals: readonly string[],
  values: OptionValues,
): BucketArguments {
  const hex = values['hex'] === true
  const named = values['bucket']
  if (Array.isArray(named)) {
    return { path: named.map((name) => parseKey(String(name), hex)), rest: positionals, hex }
  }
  const [bucket = '', ...rest] = positionals
  const names = bucket.split('/').filter((name) => name !== '')
  return { path: names.map((name) => parseKey(name, hex)), rest, hex }
}

/** What has buckets by name: the database, a snapshot, a bucket. */
interface Parent<Child> {
  bucket(name: Bytes): Child
}

export function findBucket<Child extends Parent<Child>>(
  parent: Parent<Child>,
  path: readonly Buffer[],
): Child {
  const [top, ...nested] = path
  if (top === undefined) throw new UsageError('Expected the name of a bucket')
  return nested.reduce((bucket, name) => bucket.bucket(name), parent.bucket(top))
}

/** The same, unless there is none. */
export function existingBucket<Child extends Parent<Child> & { readonly exists: boolean }>(
  parent: Parent<Child>,
  path: readonly Buffer[],
  hex: boolean,
): Child {
  const bucket = findBucket(parent, path)
  if (bucket.exists) return bucket
  const name = path.map((each) => formatKey(each, hex)).join('/')
  throw new HotboltError('ERR_BUCKET_NOT_FOUND', `The bucket ${name} does not exist`)
}

/** The arguments that are left, exactly as many as `names`. */
export function requireRest(rest: readonly string[], names: readonly string[]): void {
  if (rest.length === names.length) return
  const expected = names.length === 0 ? 'nothing' : names.map((name) => `<${name}>`).join(' ')
  throw new UsageError(`Expected ${expected} after the bucket, got ${rest.length} arguments`)
}
