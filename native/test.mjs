// Builds the core and its tests without Node and runs them:
//   node native/test.mjs [--sanitize=address,undefined | --sanitize=thread] [filter...]
// The last line of the output is `N passed, N failed, N skipped`; the counts also go to
// build/native-tests.json, from which the report at the end of `npm test` adds them to its own.
import { spawnSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import process from 'node:process'
import { buildFolder, buildWithCmake } from './cmake.mjs'
import { root } from './sources.mjs'

const args = process.argv.slice(2)
const sanitizer =
  args.find((arg) => arg.startsWith('--sanitize'))?.replace(/^--sanitize=?/, '') ?? ''
const filters = args.filter((arg) => !arg.startsWith('--'))
const folder = buildFolder(sanitizer)
const executable = join(folder, 'hotbolt_core_tests')

function finish({ passed, failed, skipped }, status) {
  const counts = { passed, failed, skipped }
  writeFileSync(join(root, 'build/native-tests.json'), JSON.stringify(counts))
  process.stdout.write(`${passed} passed, ${failed} failed, ${skipped} skipped\n`)
  process.exit(status)
}

function hasTool(command) {
  return spawnSync(command, ['--version'], { stdio: 'ignore' }).status === 0
}

mkdirSync(folder, { recursive: true })
try {
  if (!hasTool('cmake')) {
    process.stdout.write('skipped for want of a tool: 1 (cmake: 1)\n')
    finish({ passed: 0, failed: 0, skipped: 1 }, process.env.HOTBOLT_NO_SKIP === '1' ? 1 : 0)
  }
  buildWithCmake('hotbolt_core_tests', sanitizer)
} catch (error) {
  process.stderr.write(`native tests: ${error.message}\n`)
  finish({ passed: 0, failed: 1, skipped: 0 }, 1)
}

process.stdout.write(`native tests${sanitizer && ` with -fsanitize=${sanitizer}`}:\n`)
const run = spawnSync(executable, filters, {
  cwd: root,
  encoding: 'utf8',
  stdio: ['ignore', 'pipe', 'inherit'],
  maxBuffer: 1 << 28,
})
const summary = /^(\d+) passed, (\d+) failed$/m.exec(run.stdout)
process.stdout.write(summary ? run.stdout.replace(`${summary[0]}\n`, '') : run.stdout)
if (summary) {
  finish({ passed: Number(summary[1]), failed: Number(summary[2]), skipped: 0 }, run.status ?? 1)
} else {
  process.stderr.write(`native tests: ended by ${run.signal ?? `status ${run.status}`}\n`)
  finish({ passed: 0, failed: 1, skipped: 0 }, 1)
}
