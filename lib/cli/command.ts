// What a command of the command line is made of, and how it is given its arguments.

import { parseArgs, type ParseArgsConfig } from 'node:util'
import type { Output } from './output.ts'

export type OptionSpecs = NonNullable<ParseArgsConfig['options']>
export type OptionValues = Readonly<Record<string, unknown>>

export interface Command {
  readonly name: string
  /** The arguments, as the help shows them; a line for each way to call it. */
  readonly usage: string
  readonly summary: string
  /** What else the help says, in whole lines. */
  readonly details?: string
  /** Besides --json and -h; each with its line of help. */
  readonly options: OptionSpecs
  readonly optionHelp: readonly (readonly [option: string, help: string])[]
  /** The number of positional arguments: least and most. */
  readonly positionals: readonly [number, number]
  /** Returns the exit code. */
  readonly run: (invocation: Invocation) => Promise<number>
}

/** Commands under a name of their own: `hotbolt backup list`. */
export interface CommandGroup {
  readonly name: string
  readonly summary: string
  readonly commands: readonly Command[]
  /** What the help says below the list of commands, in whole lines. */
  readonly details: string
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
  warnings: 3,
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

/** `name`: with that of its group. */
export function requirePositionals(
  command: Command,
  name: string,
  positionals: readonly string[],
): void {
  const [least, most] = command.positionals
  if (positionals.length >= least && positionals.length <= most) return
  throw new UsageError(`Expected: ${usageLines(command, name).join(', or: ')}`)
}

export function helpOf(command: Command, name: string): string {
  const lines = [...command.optionHelp, ['--json', 'machine-readable output'], ['-h', 'this help']]
  const width = Math.max(24, ...lines.map(([option = '']) => option.length)) + 2
  const options = lines.map(([option = '', help = '']) => `  ${option.padEnd(width)}${help}\n`)
  const usage = usageLines(command, name).join('\n       ')
  const details = command.details === undefined ? '' : `\n${command.details}`
  return `Usage: ${usage}\n\n${command.summary}.\n${details}\n${options.join('')}`
}

export function helpOfGroup({ name, summary, commands, details }: CommandGroup): string {
  const lines = commands.map((each) => `  ${each.name.padEnd(10)}${each.summary}\n`)
  const usage = `Usage: hotbolt ${name} <command> ...`
  const more = `hotbolt ${name} <command> -h says more.`
  return `${usage}\n\n${summary}.\n\n${lines.join('')}\n${details}\n${more}\n`
}

function usageLines(command: Command, name: string): string[] {
  return command.usage.split('\n').map((line) => `hotbolt ${name} ${line}`)
}

/** Text given as an option; undefined when it was not given. */
export function textOption(values: OptionValues, name: string): string | undefined {
  const text = values[name]
  if (text === '') throw new UsageError(`Expected --${name} not to be empty`)
  return typeof text === 'string' ? text : undefined
}

/** The texts of an option that may be given several times; undefined when it was not given. */
export function textsOption(values: OptionValues, name: string): string[] | undefined {
  const texts = values[name]
  return Array.isArray(texts) ? texts.map(String) : undefined
}

/** Text that is one of `choices`. */
export function choiceOption<Choice extends string>(
  values: OptionValues,
  name: string,
  choices: readonly Choice[],
): Choice | undefined {
  const text = textOption(values, name)
  const choice = choices.find((each) => each === text)
  if (text === undefined || choice !== undefined) return choice
  throw new UsageError(`Expected --${name} to be ${choices.join(', ')}, got "${text}"`)
}

/** Integers with commas between them, in one or several such options. */
export function integersOption(values: OptionValues, name: string): number[] | undefined {
  const given = textsOption(values, name)
  return given?.flatMap((text) => {
    if (/^\s*\d+\s*(,\s*\d+\s*)*$/.test(text)) return text.split(',').map(Number)
    const expected = 'numbers with commas between them'
    throw new UsageError(`Expected --${name} to be ${expected}, got "${text}"`)
  })
}

/** A number given as an option; undefined when it was not given. */
export function numberOption(values: OptionValues, name: string): number | undefined {
  const text = values[name]
  if (typeof text !== 'string') return undefined
  const value = Number(text)
  if (text.trim() !== '' && !Number.isNaN(value)) return value
  throw new UsageError(`Expected --${name} to be a number, got "${text}"`)
}
