#!/usr/bin/env node
// The command line: finds the command, runs it, and turns what happens into an exit code.
//
//   0 ok   1 failed   2 wrong usage   3 done, with warnings   4 damage was found   5 locked
//   130 interrupted

import { readFile } from 'node:fs/promises'
import {
  exitCodes,
  helpOf,
  helpOfGroup,
  parseCommandLine,
  requirePositionals,
  UsageError,
  type Command,
  type CommandGroup,
} from './command.ts'
import { backup } from './commands/backup.ts'
import { buckets } from './commands/buckets.ts'
import { check } from './commands/check.ts'
import { defrag } from './commands/defrag.ts'
import { remove } from './commands/delete.ts'
import { get } from './commands/get.ts'
import { info } from './commands/info.ts'
import { keys } from './commands/keys.ts'
import { put } from './commands/put.ts'
import { recover } from './commands/recover.ts'
import { stats } from './commands/stats.ts'
import { describeFailure, exitCodeOf } from './failure.ts'
import { complain, createOutput, keepStreamErrors, linesOf, ReaderLeft } from './output.ts'

const commands: readonly Command[] = [
  info,
  stats,
  check,
  buckets,
  keys,
  get,
  put,
  remove,
  defrag,
  recover,
]
const groups: readonly CommandGroup[] = [backup]

const exitCodeHelp = `Exit codes: 0 ok, 1 failed, 2 wrong usage, 3 done with warnings,
4 damage was found, 5 locked, 130 interrupted.
`

async function version(): Promise<string> {
  const path = new URL(import.meta.resolve('hotbolt/package.json'))
  const { version } = JSON.parse(await readFile(path, 'utf8')) as { version: string }
  return version
}

function overview(): string {
  const all = [...commands, ...groups]
  const lines = all.map(({ name, summary }) => `  ${name.padEnd(10)}${summary}\n`)
  const usage = 'Usage: hotbolt <command> <file> ...'
  return `${usage}\n\n${lines.join('')}\n${exitCodeHelp}\nhotbolt <command> -h says more.\n`
}

async function run(args: readonly string[]): Promise<number> {
  const [name, ...rest] = args
  if (name === '--version') {
    await createOutput(false).lines([await version()])
    return exitCodes.ok
  }
  if (isHelp(name)) return showList(overview(), name)
  const group = groups.find((each) => each.name === name)
  if (group === undefined) return runOne(commands, '', name, rest)
  const [subname, ...subrest] = rest
  if (isHelp(subname)) return showList(helpOfGroup(group), subname)
  return runOne(group.commands, `${group.name} `, subname, subrest)
}

const isHelp = (name: string | undefined): boolean =>
  name === undefined || name === '-h' || name === '--help'

/** Asked for, or because nothing was. */
async function showList(text: string, name: string | undefined): Promise<number> {
  if (name !== undefined) {
    await createOutput(false).lines(linesOf(text))
    return exitCodes.ok
  }
  complain(...linesOf(text))
  return exitCodes.usage
}

async function runOne(
  among: readonly Command[],
  prefix: string,
  name: string | undefined,
  args: readonly string[],
): Promise<number> {
  const fullName = `${prefix}${name}`
  const command = among.find((each) => each.name === name)
  if (command === undefined) throw new UsageError(`There is no command "${fullName}"`)
  const { positionals, values } = parseCommandLine(command, args)
  const output = createOutput(values['json'] === true)
  if (values['help'] === true) {
    await output.lines(linesOf(helpOf(command, fullName)))
    return exitCodes.ok
  }
  requirePositionals(command, fullName, positionals)
  return command.run({ positionals, values, output })
}

function report(error: unknown): number {
  if (error instanceof ReaderLeft) return exitCodes.ok
  complain(...describeFailure(error))
  return exitCodeOf(error)
}

keepStreamErrors()
// Not process.exit(): what is still on its way to a pipe would be lost.
process.exitCode = await run(process.argv.slice(2)).catch(report)
