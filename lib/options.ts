// All public options: their contracts, defaults and validation.
//
// Each option list is an interface for the reader and a table of rules for the machine; the type of
// the table makes sure that neither has an option the other lacks. An unknown option is an error,
// because a misspelled one would silently do nothing.

import { types } from 'node:util'
import { HotboltError } from './errors.ts'

/** Keys and values as they are given; strings mean their UTF-8 bytes. */
export type Bytes = string | Uint8Array

export interface OpenOptions {
  /** Nothing is written, not even a leftover journal's content: that is replayed in memory. */
  readonly readOnly?: boolean | undefined
  /** Make the file when it does not exist (default true); otherwise ERR_NOT_FOUND. */
  readonly create?: boolean | undefined
  /** Permission bits of a new file, exactly these whatever the umask is; 0o600. */
  readonly mode?: number | undefined
  /** Of a new file: a power of two from 1024 to 65536; the operating system's page size. */
  readonly pageSize?: number | undefined
  /** How long to wait for another process to release the file before ERR_LOCKED; 0. */
  readonly lockTimeoutMs?: number | undefined
  /**
   * What an acknowledged write has survived: power loss ('always'), a crash of the process and all
   * but the last `syncIntervalMs` before a power loss ('interval'), or a crash of the process.
   */
  readonly sync?: SyncMode | undefined
  readonly syncIntervalMs?: number | undefined
  /**
   * 'flush': every flush() also commits to the page file, so that a copy of the file alone has
   * everything. (Other programs cannot open it meanwhile: it is locked, as bbolt locks it.)
   */
  readonly checkpoint?: CheckpointMode | undefined
  /** Bytes of recent writes in memory above which they are merged into the page file; 32 MiB. */
  readonly checkpointBytes?: number | undefined
  /** Bytes of writes that a defragmentation may keep in memory; 256 MiB. */
  readonly maxRetainedBytes?: number | undefined
}

export type SyncMode = 'always' | 'interval' | 'never'
export type CheckpointMode = 'auto' | 'flush'

/** What keys and bucket names come back as. */
export type KeyCodecName = 'buffer' | 'utf8'
/** What values come back as; 'json' values are also given as objects. */
export type ValueCodecName = 'buffer' | 'utf8' | 'json'

export interface BucketOptions {
  readonly key?: KeyCodecName | undefined
  readonly value?: ValueCodecName | undefined
}

export interface NameOptions {
  readonly key?: KeyCodecName | undefined
}

/** Which keys; bounds combine with `prefix`. */
export interface CountOptions {
  readonly gte?: Bytes | undefined
  readonly gt?: Bytes | undefined
  readonly lte?: Bytes | undefined
  readonly lt?: Bytes | undefined
  readonly prefix?: Bytes | undefined
}

export interface RangeOptions extends CountOptions {
  /** From the last key to the first. */
  readonly reverse?: boolean | undefined
  /** At most this many entries. */
  readonly limit?: number | undefined
}

export interface UpdateOptions {
  /** How often a callback is run again after a conflict before ERR_CONFLICT; 10. */
  readonly retries?: number | undefined
}

export interface DefragOptions {
  /** Cancels until the new file is in place; the database is then as it was. */
  readonly signal?: AbortSignal | undefined
  /** Called on each change of phase, and every 100 ms while copying. */
  readonly onProgress?: ((progress: DefragProgress) => void) | undefined
  /** How full the pages of the new file are made, 0.1 to 1; 0.9. */
  readonly fillPercent?: number | undefined
  /** Limit of the copy's speed; 0: none but the disk's own latency. */
  readonly bytesPerSecond?: number | undefined
}

export interface DefragProgress {
  readonly phase: DefragPhase
  readonly bytesCopied: number
  readonly entriesCopied: number
  /** Estimate of the new file's size. */
  readonly bytesTotal: number
  /** Rounds of catching up that were begun. */
  readonly round: number
  /** Bytes of writes that the new file does not hold yet. */
  readonly backlogBytes: number
  readonly elapsedMs: number
}

export const defragPhases = [
  'idle',
  'preparing',
  'copying',
  'catching-up',
  'switching',
  'cleaning',
  'done',
  'aborting',
  'aborted',
] as const

export type DefragPhase = (typeof defragPhases)[number]

/** Where a test can hold a defragmentation. */
export type PausePoint =
  | 'before-copy'
  | 'copy-started'
  | 'after-copy'
  | 'round'
  | 'before-publish'
  | 'after-publish'
  | 'before-install'
  | 'after-install'
  | 'before-clean'

/** For tests: `pausePoint` is awaited at each point. */
export interface InternalDefragOptions extends DefragOptions {
  readonly pausePoint?: ((point: PausePoint) => Promise<void> | void) | undefined
}

interface Rule {
  /** Completes "Expected `name` to be ...". */
  readonly expected: string
  readonly accepts: (value: unknown) => boolean
}

type Rules<Options> = { readonly [Name in keyof Options]-?: Rule }

const isInteger = (value: unknown, min: number, max: number): boolean =>
  typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max

const boolean: Rule = { expected: 'a boolean', accepts: (value) => typeof value === 'boolean' }
const positiveInteger: Rule = {
  expected: 'a positive integer',
  accepts: (value) => isInteger(value, 1, Number.MAX_SAFE_INTEGER),
}
const nonNegativeInteger: Rule = {
  expected: 'an integer of 0 or more',
  accepts: (value) => isInteger(value, 0, Number.MAX_SAFE_INTEGER),
}
/** For what native keeps in 32 bits. */
const milliseconds = (min: number): Rule => ({
  expected: `an integer from ${min} to 4294967295`,
  accepts: (value) => isInteger(value, min, 0xffff_ffff),
})
const permissions: Rule = {
  expected: 'an integer from 0 to 0o777',
  accepts: (value) => isInteger(value, 0, 0o777),
}
const pageSize: Rule = {
  expected: 'a power of two from 1024 to 65536',
  accepts: (value) => isInteger(value, 1024, 65536) && Number.isInteger(Math.log2(Number(value))),
}
const fraction: Rule = {
  expected: 'a number from 0.1 to 1',
  accepts: (value) => typeof value === 'number' && value >= 0.1 && value <= 1,
}
const bytes: Rule = { expected: 'a string or a Uint8Array', accepts: isBytes }
const callback: Rule = { expected: 'a function', accepts: (value) => typeof value === 'function' }
const signal: Rule = {
  expected: 'an AbortSignal',
  accepts: (value) => value instanceof AbortSignal,
}

function oneOf(...names: readonly string[]): Rule {
  const quoted = names.map((name) => `'${name}'`)
  return {
    expected: `${quoted.slice(0, -1).join(', ')} or ${quoted.at(-1)}`,
    accepts: (value) => typeof value === 'string' && names.includes(value),
  }
}

const openRules: Rules<OpenOptions> = {
  readOnly: boolean,
  create: boolean,
  mode: permissions,
  pageSize,
  lockTimeoutMs: milliseconds(0),
  sync: oneOf('always', 'interval', 'never'),
  syncIntervalMs: milliseconds(1),
  checkpoint: oneOf('auto', 'flush'),
  checkpointBytes: positiveInteger,
  maxRetainedBytes: positiveInteger,
}
const nameRules: Rules<NameOptions> = { key: oneOf('buffer', 'utf8') }
const bucketRules: Rules<BucketOptions> = { ...nameRules, value: oneOf('buffer', 'utf8', 'json') }
const countRules: Rules<CountOptions> = {
  gte: bytes,
  gt: bytes,
  lte: bytes,
  lt: bytes,
  prefix: bytes,
}
const rangeRules: Rules<RangeOptions> = {
  ...countRules,
  reverse: boolean,
  limit: nonNegativeInteger,
}
const updateRules: Rules<UpdateOptions> = { retries: nonNegativeInteger }
const defragRules: Rules<InternalDefragOptions> = {
  signal,
  onProgress: callback,
  fillPercent: fraction,
  bytesPerSecond: nonNegativeInteger,
  pausePoint: callback,
}

type Defaults<Options, Names extends keyof Options> = {
  readonly [Name in Names]-?: NonNullable<Options[Name]>
}
/** Options of which those with a default always have a value. */
type Resolved<Options, Names extends keyof Options> = Omit<Options, Names> &
  Defaults<Options, Names>

const openDefaults: Defaults<OpenOptions, Exclude<keyof OpenOptions, 'pageSize'>> = {
  readOnly: false,
  create: true,
  mode: 0o600,
  lockTimeoutMs: 0,
  sync: 'always',
  syncIntervalMs: 100,
  checkpoint: 'auto',
  checkpointBytes: 32 << 20,
  maxRetainedBytes: 256 << 20,
}
const updateDefaults: Defaults<UpdateOptions, 'retries'> = { retries: 10 }
const defragDefaults: Defaults<InternalDefragOptions, 'fillPercent' | 'bytesPerSecond'> = {
  fillPercent: 0.9,
  bytesPerSecond: 0,
}

export type ResolvedOpenOptions = Resolved<OpenOptions, keyof typeof openDefaults>
export type ResolvedUpdateOptions = Resolved<UpdateOptions, keyof typeof updateDefaults>
export type ResolvedDefragOptions = Resolved<InternalDefragOptions, keyof typeof defragDefaults>

export const resolveOpenOptions = (given?: OpenOptions): ResolvedOpenOptions =>
  withDefaults(openDefaults, checked(openRules, given))
export const resolveUpdateOptions = (given?: UpdateOptions): ResolvedUpdateOptions =>
  withDefaults(updateDefaults, checked(updateRules, given))
export const resolveDefragOptions = (given?: InternalDefragOptions): ResolvedDefragOptions =>
  withDefaults(defragDefaults, checked(defragRules, given))
export const checkBucketOptions = (given?: BucketOptions): BucketOptions =>
  checked(bucketRules, given)
export const checkNameOptions = (given?: NameOptions): NameOptions => checked(nameRules, given)
export const checkCountOptions = (given?: CountOptions): CountOptions => checked(countRules, given)
export const checkRangeOptions = (given?: RangeOptions): RangeOptions => checked(rangeRules, given)

function isBytes(value: unknown): value is Bytes {
  // Not instanceof, which a proxy and an heir without memory would pass.
  return typeof value === 'string' || types.isUint8Array(value)
}

function checked<Options extends object>(
  rules: Rules<Options>,
  given: Options | undefined,
): Options {
  if (given === undefined) return {} as Options
  if (given === null || typeof given !== 'object') throw invalid('options', 'an object', given)
  // Each is read once: a getter may give another value the next time.
  const options: Partial<Options> = {}
  for (const name of Object.keys(given) as (keyof Options & string)[]) {
    const value = given[name]
    const rule = Object.hasOwn(rules, name) ? rules[name] : undefined
    if (rule === undefined) throw unknownOption(name, Object.keys(rules))
    if (value !== undefined && !rule.accepts(value)) throw invalid(name, rule.expected, value)
    options[name] = value
  }
  return options as Options
}

/** Like a spread, except that an option given as undefined keeps its default. */
function withDefaults<Options extends object, Names extends keyof Options>(
  defaults: Defaults<Options, Names>,
  given: Options,
): Resolved<Options, Names> {
  const named = Object.entries(given).filter(([, value]) => value !== undefined)
  return { ...given, ...defaults, ...Object.fromEntries(named) }
}

function unknownOption(name: string, known: readonly string[]): HotboltError {
  const shown = known.filter((each) => each !== 'pausePoint')
  const names = shown.map((each) => `\`${each}\``).join(', ')
  return new HotboltError('ERR_INVALID_ARGUMENT', `Unknown option \`${name}\`, known are ${names}`)
}

/** The error for an argument or option: Expected `name` to be `expected`, got ... */
export function invalid(name: string, expected: string, value: unknown): HotboltError {
  const message = `Expected \`${name}\` to be ${expected}, got ${describe(value)}`
  return new HotboltError('ERR_INVALID_ARGUMENT', message)
}

/** A value for a person: `"x" (string)`, `-1 (number)`, `null`, `an object`. */
function describe(value: unknown): string {
  switch (typeof value) {
    case 'string':
      return `${JSON.stringify(value.length > 40 ? `${value.slice(0, 40)}...` : value)} (string)`
    case 'number':
    case 'bigint':
    case 'boolean':
      return `${value} (${typeof value})`
    case 'object':
      if (value === null) return 'null'
      return Array.isArray(value) ? 'an array' : 'an object'
    case 'undefined':
      return 'undefined'
    default:
      return `a ${typeof value}`
  }
}
