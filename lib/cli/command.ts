// What a command of the command line is made of, and how it is given its arguments.

import { parseArgs, type ParseArgsConfig } from 'node:util'
import type { Output } from './output.ts'

export type OptionSpecs = NonNullable<ParseArgsConfig['options']>
export type OptionValues = Readonly<Record<string, unknown>>

export interface Command {
  readonly name: string
  /** The arguments, as the help shows them. */
  readonly usage: string
  readonly summary: string
  /** Besides --json and -h; each with its line of help. */
  readonly options: OptionSpecs
  readonly optionHelp: readonly (readonly [option: string, help: string])[]
  /** The number of positional arguments: least and most. */
  readonly positionals: readonly [number, number]
  /** Returns the exit code. */
  readonly run: (invocation: Invocation) => Promise<number>
}

export interface Invocation {
  readonly positionals: readonly string[]
  readonly values: OptionValues
  readonly output: Output
}

export const exitCodes = {
  ok: 0,
  failed: 1,
  usage: 2,
  damaged: 4,
  locked: 5,
  interrupted: 130,
} as const

/** The command line makes no sense; the message says what was expected. */
export class UsageError extends Error {}

export interface ParsedArguments {
  readonly positionals: readonly string[]
  readonly values: OptionValues
}

const commonOptions: OptionSpecs = {
  json: { type: 'boolean' },
  help: { type: 'boolean', short: 'h' },
}

export function parseCommandLine(command: Command, args: readonly string[]): ParsedArguments {
  const options = { ...command.options, ...commonOptions }
  try {
    return parseArgs({ args: [...args], options, allowPositionals: true, strict: true })
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error))
  }
}

export function requirePositionals(command: Command, positionals: readonly string[]): void {
  const [least, most] = command.positionals
  if (positionals.length >= least && positionals.length <= most) return
  throw new UsageError(`Expected: hotbolt ${command.name} ${command.usage}`)
}

export function helpOf(command: Command): string {
  const lines = [...command.optionHelp, ['--json', 'machine-readable output'], ['-h', 'this help']]
  const options = lines.map(([option = '', help = '']) => `  ${option.padEnd(26)}${help}\n`)
  const usage = `Usage: hotbolt ${command.name} ${command.usage}`
  return `${usage}\n\n${command.summary}.\n\n${options.join('')}`
}

/** A number given as an option; undefined when it was not given. */
export function numberOption(values: OptionValues, name: string): number | undefined {
  const text = values[name]
  if (typeof text !== 'string') return undefined
  const value = Number(text)
  if (text.trim() !== '' && !Number.isNaN(value)) return value
  throw new UsageError(`Expected --${name} to be a number, got "${text}"`)
}
