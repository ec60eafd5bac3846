// The machine behind all option lists: rules for what a value has to be, defaults, and the error
// for what is not.
//
// An option list is an interface for the reader and a table of rules for the machine; the type of
// the table makes sure that neither has an option the other lacks. An unknown option is an error,
// because a misspelled one would silently do nothing.

import { types } from 'node:util'
import { HotboltError } from './errors.ts'

/** Keys and values as they are given; strings mean their UTF-8 bytes. */
export type Bytes = string | Uint8Array

export interface Rule {
  /** Completes "Expected `name` to be ...". */
  readonly expected: string
  readonly accepts: (value: unknown) => boolean
}

export type Rules<Options> = { readonly [Name in keyof Options]-?: Rule }

const isInteger = (value: unknown, min: number, max: number): boolean =>
  typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max

const integer = (min: number, max: number, expected: string): Rule => ({
  expected,
  accepts: (value) => isInteger(value, min, max),
})

type RuleName =
  | 'boolean'
  | 'positiveInteger'
  | 'nonNegativeInteger'
  | 'permissions'
  | 'pageSize'
  | 'fraction'
  | 'bytes'
  | 'text'
  | 'path'
  | 'callback'
  | 'signal'

/** The rules that several lists share. */
export const rule: Readonly<Record<RuleName, Rule>> = {
  boolean: { expected: 'a boolean', accepts: (value) => typeof value === 'boolean' },
  positiveInteger: integer(1, Number.MAX_SAFE_INTEGER, 'a positive integer'),
  nonNegativeInteger: integer(0, Number.MAX_SAFE_INTEGER, 'an integer of 0 or more'),
  permissions: integer(0, 0o777, 'an integer from 0 to 0o777'),
  pageSize: {
    expected: 'a power of two from 1024 to 65536',
    accepts: (value) => isInteger(value, 1024, 65536) && Number.isInteger(Math.log2(Number(value))),
  },
  fraction: {
    expected: 'a number from 0.1 to 1',
    accepts: (value) => typeof value === 'number' && value >= 0.1 && value <= 1,
  },
  bytes: { expected: 'a string or a Uint8Array', accepts: isBytes },
  text: {
    expected: 'a non-empty string without NUL and lone surrogates',
    accepts: (value) =>
      typeof value === 'string' && value !== '' && !value.includes('\0') && value.isWellFormed(),
  },
  path: {
    expected: 'a path or a file: URL',
    accepts: (value) => value instanceof URL || rule.text.accepts(value),
  },
  callback: { expected: 'a function', accepts: (value) => typeof value === 'function' },
  signal: { expected: 'an AbortSignal', accepts: (value) => value instanceof AbortSignal },
}

/** For what native keeps in 32 bits. */
export const milliseconds = (min: number): Rule =>
  integer(min, 0xffff_ffff, `an integer from ${min} to 4294967295`)

export function oneOf(...names: readonly string[]): Rule {
  const quoted = names.map((name) => `'${name}'`)
  return {
    expected: `${quoted.slice(0, -1).join(', ')} or ${quoted.at(-1)}`,
    accepts: (value) => typeof value === 'string' && names.includes(value),
  }
}

export type Defaults<Options, Names extends keyof Options> = {
  readonly [Name in Names]-?: NonNullable<Options[Name]>
}
/** Options of which those with a default always have a value. */
export type Resolved<Options, Names extends keyof Options> = Omit<Options, Names> &
  Defaults<Options, Names>

/** Text that is not well-formed has no UTF-8: two different keys would become one. */
function isBytes(value: unknown): value is Bytes {
  if (typeof value === 'string') return value.isWellFormed()
  // Not instanceof, which a proxy and an heir without memory would pass.
  return types.isUint8Array(value) && (value.length > 0 || isAttached(value.buffer))
}

/** Memory that was transferred away looks empty. */
function isAttached(memory: ArrayBufferLike): boolean {
  try {
    return new Uint8Array(memory).length >= 0
  } catch {
    return false
  }
}

export function checked<Options extends object>(
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
export function withDefaults<Options extends object, Names extends keyof Options>(
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
      if (!value.isWellFormed()) return 'a string with a lone surrogate'
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

/** Throws for the options among `names` that were not given. */
export function required<Options extends object>(
  options: Options,
  ...names: readonly (keyof Options & string)[]
): Options {
  for (const name of names) {
    if (options[name] === undefined) throw invalid(name, 'given', undefined)
  }
  return options
}
