#!/usr/bin/env node
// The command line: finds the command, runs it, and turns what happens into an exit code.
//
//   0 ok   1 failed   2 wrong usage   4 damage was found   5 the file is locked   130 interrupted

import { readFile } from 'node:fs/promises'
import { HotboltError } from '../index.ts'
import { exitCodes, helpOf, parseCommandLine, requirePositionals, UsageError } from './command.ts'
import type { Command } from './command.ts'
import { buckets } from './commands/buckets.ts'
import { check } from './commands/check.ts'
import { defrag } from './commands/defrag.ts'
import { remove } from './commands/delete.ts'
import { get } from './commands/get.ts'
import { info } from './commands/info.ts'
import { keys } from './commands/keys.ts'
import { put } from './commands/put.ts'
import { stats } from './commands/stats.ts'
import { createOutput, endQuietlyOnBrokenPipe } from './output.ts'

const commands: readonly Command[] = [info, stats, check, buckets, keys, get, put, remove, defrag]

const exitCodeHelp = `Exit codes: 0 ok, 1 failed, 2 wrong usage, 4 damage was found,
5 the file is locked, 130 interrupted.
`

async function version(): Promise<string> {
  const path = new URL(import.meta.resolve('hotbolt/package.json'))
  const { version } = JSON.parse(await readFile(path, 'utf8')) as { version: string }
  return version
}

function overview(): string {
  const lines = commands.map(({ name, summary }) => `  ${name.padEnd(10)}${summary}\n`)
  const usage = 'Usage: hotbolt <command> <file> ...'
  return `${usage}\n\n${lines.join('')}\n${exitCodeHelp}\nhotbolt <command> -h says more.\n`
}

async function run(args: readonly string[]): Promise<number> {
  const [name, ...rest] = args
  if (name === '-h' || name === '--help') {
    process.stdout.write(overview())
    return exitCodes.ok
  }
  if (name === '--version') {
    process.stdout.write(`${await version()}\n`)
    return exitCodes.ok
  }
  if (name === undefined) {
    process.stderr.write(overview())
    return exitCodes.usage
  }
  const command = commands.find((each) => each.name === name)
  if (command === undefined) throw new UsageError(`There is no command "${name}"`)
  const { positionals, values } = parseCommandLine(command, rest)
  const output = createOutput(values['json'] === true)
  if (values['help'] === true) {
    await output.write(helpOf(command))
    return exitCodes.ok
  }
  requirePositionals(command, positionals)
  return command.run({ positionals, values, output })
}

function report(error: unknown): number {
  const message = error instanceof Error ? error.message : String(error)
  const code = HotboltError.is(error) ? ` (${error.code})` : ''
  process.stderr.write(`hotbolt: ${message}${code}\n`)
  if (error instanceof UsageError) return exitCodes.usage
  if (HotboltError.is(error, 'ERR_INVALID_ARGUMENT')) return exitCodes.usage
  return HotboltError.is(error, 'ERR_LOCKED') ? exitCodes.locked : exitCodes.failed
}

endQuietlyOnBrokenPipe()
// Not process.exit(): what is still on its way to a pipe would be lost.
process.exitCode = await run(process.argv.slice(2)).catch(report)
