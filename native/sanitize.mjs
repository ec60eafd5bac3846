// Builds the addon with sanitizers and runs tests of the library with it:
//   node native/sanitize.mjs [--sanitize=address,undefined | --sanitize=thread] [vitest arguments]
// Linux with gcc, whose runtime is loaded in front of every program that the tests start. Those
// that are not Node are not judged: bash, mount and the like keep their leaks to themselves.
//
// What a sanitizer finds goes into a report file and does not change an exit code, so that it is
// seen whatever becomes of the process. The run fails when a report is left that suppressions.txt
// does not forgive.
import { execFileSync, spawnSync } from 'node:child_process'
import { chmodSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import process from 'node:process'
import { buildFolder, buildWithCmake } from './cmake.mjs'
import { isForgiven, parseSuppressions, splitReports } from './sanitizer-reports.mjs'
import { nodePrefix, root } from './sources.mjs'

const args = process.argv.slice(2)
const option = args.find((arg) => arg.startsWith('--sanitize='))
const sanitizer = option?.replace('--sanitize=', '') ?? 'address,undefined'
const runtimeName = { 'address,undefined': 'libasan.so', thread: 'libtsan.so' }[sanitizer]
if (runtimeName === undefined) throw new Error(`no such sanitizer: ${sanitizer}`)
if (nodePrefix() === undefined) throw new Error("Node's headers do not lie beside it")

const build = buildFolder(sanitizer)
const reportFolder = join(build, 'reports')
const node = basename(process.execPath)

function environment() {
  const runtime = execFileSync('gcc', [`-print-file-name=${runtimeName}`], { encoding: 'utf8' })
  const findsLeaks = runtimeName === 'libasan.so'
  const options = [
    `log_path=${join(reportFolder, 'report')}`,
    'log_exe_name=1',
    'exitcode=0',
    'stack_trace_format="    #%n %f %S %M"',
  ]
  if (findsLeaks) {
    options.push('detect_leaks=0')
    // Read by a program of that name only.
    options.push(`include_if_exists=${join(reportFolder, '%b.options')}`)
    writeFileSync(join(reportFolder, `${node}.options`), 'detect_leaks=1\n')
  }
  return {
    ...process.env,
    HOTBOLT_SANITIZER_RUNTIME: runtime.trim(),
    HOTBOLT_ADDON: join(build, 'hotbolt.node'),
    HOTBOLT_LEAK_CHECK: findsLeaks ? join(build, 'leak_check.node') : '',
    ASAN_OPTIONS: options.join(':'),
    TSAN_OPTIONS: options.join(':'),
    UBSAN_OPTIONS: [...options, 'print_stacktrace=1'].join(':'),
  }
}

function runTests() {
  rmSync(reportFolder, { recursive: true, force: true })
  mkdirSync(reportFolder)
  chmodSync(reportFolder, 0o1777) // some children give up their privileges
  const vitest = join(root, 'node_modules/vitest/vitest.mjs')
  const config = ['--root', root, '--config', join(root, 'test/sanitize/vitest.config.mjs')]
  const given = args.filter((arg) => arg !== option)
  const run = spawnSync(process.execPath, [vitest, 'run', ...config, ...given], {
    cwd: root,
    stdio: 'inherit',
    env: environment(),
  })
  return run.status === 0
}

/** Prints what counts, each once; true when there is nothing. */
function judge() {
  const list = readFileSync(join(root, 'native/suppressions.txt'), 'utf8')
  const suppressions = parseSuppressions(list)
  const reports = readdirSync(reportFolder)
    .filter((name) => name.startsWith(`report.${node}.`))
    .flatMap((name) => splitReports(readFileSync(join(reportFolder, name), 'utf8')))
  const counted = reports.filter((report) => !isForgiven(report, suppressions))
  for (const report of new Set(counted)) process.stderr.write(`${report.trim()}\n\n`)
  const forgiven = reports.length - counted.length
  process.stdout.write(`sanitizers: ${counted.length} reports, ${forgiven} forgiven\n`)
  return counted.length === 0
}

buildWithCmake('hotbolt', sanitizer)
const passed = runTests()
const clean = judge()
process.exit(passed && clean ? 0 : 1)
