// Programs of the native tests that tests here start: built as test.mjs builds them, then run.

import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'

import { repositoryRoot } from '../oracle/root.ts'

const start = promisify(execFile)
const buildFolder = join(repositoryRoot, 'build/cmake-plain')

/** Builds a target of native/CMakeLists.txt; gives the program's path. */
export async function buildProgram(target: string): Promise<string> {
  const cwd = repositoryRoot
  await start('cmake', ['-S', 'native', '-B', buildFolder], { cwd })
  await start('cmake', ['--build', buildFolder, '--target', target, '-j', '2'], { cwd })
  return join(buildFolder, target)
}

interface Ended {
  readonly stdout: string
  readonly stderr: string
  readonly signal?: string
}

/** Runs a program that writes one line of JSON, whatever its status. */
export async function runProgram<Result>(path: string, args: readonly string[]): Promise<Result> {
  const run: Promise<Ended> = start(path, args)
  const { stdout, stderr, signal } = await run.catch((error: Ended) => error)
  if (stdout !== '') return JSON.parse(stdout) as Result
  throw new Error(`${path} '${args.join("' '")}' ended without a result: ${signal ?? ''} ${stderr}`)
}
