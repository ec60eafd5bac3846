// Plants each bug of bugs.ts in a copy of the repository and shows which test catches it:
//
//   npm run test:planted [-- words of a name]
//
// Fails if one is not caught, if the tests fail without any bug, or if a bug does not compile.

import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import process from 'node:process'
import { repositoryRoot } from '../oracle/root.ts'
import { plantedBugs, type PlantedBug } from './bugs.ts'

/** A copy keeps what it has built: only what a bug touches is compiled again. */
const copy = join(repositoryRoot, 'build/planted')

function run(
  command: string,
  argv: readonly string[],
  environment: NodeJS.ProcessEnv = {},
): { text: string; ok: boolean } {
  const { stdout, stderr, status } = spawnSync(command, argv, {
    cwd: copy,
    encoding: 'utf8',
    maxBuffer: 1 << 28,
    timeout: 3_600_000,
    env: { ...process.env, ...environment },
  })
  return { text: `${stdout}${stderr}`, ok: status === 0 }
}

function updateCopy(): void {
  const list = ['ls-files', '-z', '--cached', '--others', '--exclude-standard']
  const listed = spawnSync('git', list, { cwd: repositoryRoot, encoding: 'utf8' }).stdout
  for (const file of listed.split('\0').filter((name) => name !== '')) {
    const source = join(repositoryRoot, file)
    if (existsSync(source)) write(file, readFileSync(source))
  }
  const modules = join(copy, 'node_modules')
  if (!existsSync(modules)) symlinkSync(join(repositoryRoot, 'node_modules'), modules)
}

/** Only if it differs, so that builds see what has changed. */
function write(file: string, content: Buffer): void {
  const target = join(copy, file)
  if (existsSync(target) && readFileSync(target).equals(content)) return
  mkdirSync(dirname(target), { recursive: true })
  writeFileSync(target, content)
}

function plant({ file, find, replace }: PlantedBug): void {
  const source = readFileSync(join(repositoryRoot, file), 'utf8')
  write(file, Buffer.from(source.replace(find, () => replace)))
}

function build(): void {
  for (const argv of [['native/build.mjs'], ['node_modules/typescript/bin/tsc']]) {
    const { ok, text } = run(process.execPath, argv)
    if (!ok) throw new Error(`it does not compile:\n${text}`)
  }
}

/** The names of the core's tests that fail. */
function nativeFailures(filter: string): string[] {
  // Every call that may fail, not a sample of them.
  const environment = { HOTBOLT_TIER: 'long' }
  const { ok, text } = run(process.execPath, ['native/test.mjs', filter], environment)
  if (/^native tests: \S+ failed$/m.test(text)) throw new Error(`it does not compile:\n${text}`)
  if (ok && !/^0 passed/m.test(text)) return []
  const named = [...text.matchAll(/^FAILED (.*)$/gm)].map((match) => match[1]!)
  return named.length > 0 ? named : [/native tests: .*/.exec(text.slice(15))?.[0] ?? text]
}

interface Report {
  readonly testResults: {
    readonly assertionResults: { readonly status: string; readonly title: string }[]
  }[]
}

/** The names of the library's tests that fail. */
function vitestFailures(file: string): string[] {
  build()
  const report = join(copy, 'build/vitest.json')
  rmSync(report, { force: true })
  const argv = ['node_modules/vitest/vitest.mjs', 'run', file]
  const { ok } = run(process.execPath, [...argv, '--reporter=json', `--outputFile=${report}`])
  if (ok) return []
  const { testResults } = JSON.parse(readFileSync(report, 'utf8')) as Report
  const results = testResults.flatMap((tests) => tests.assertionResults)
  const named = results.filter((result) => result.status === 'failed')
  return named.length > 0 ? named.map((result) => result.title) : ['the tests were ended']
}

function failures(check: PlantedBug['caughtBy']): string[] {
  return 'native' in check ? nativeFailures(check.native) : vitestFailures(check.vitest)
}

const words = process.argv.slice(2).join(' ')
const bugs = plantedBugs.filter((bug) => bug.name.includes(words))
updateCopy()

// A test that fails anyway would catch everything.
const checks = new Map(bugs.map((bug) => [JSON.stringify(bug.caughtBy), bug.caughtBy]))
for (const check of checks.values()) {
  const failed = failures(check)
  if (failed.length > 0) throw new Error(`without any bug: ${failed.join('; ')}`)
}

let caught = 0
for (const bug of bugs) {
  plant(bug)
  const failed = failures(bug.caughtBy)
  write(bug.file, readFileSync(join(repositoryRoot, bug.file)))
  if (failed.length > 0) caught++
  const by = failed.length === 0 ? 'NOT CAUGHT' : failed.slice(0, 3).join('\n    ')
  process.stdout.write(`${bug.name}\n    ${by}\n`)
}
process.stdout.write(`${caught} of ${bugs.length} planted bugs caught\n`)
process.exit(caught === bugs.length ? 0 : 1)
