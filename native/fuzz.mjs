// Builds the fuzz targets of test/fuzz with clang (libFuzzer, address and undefined behaviour
// sanitizers) and fuzzes them:
//   node native/fuzz.mjs [target...] [--seconds=60] [--jobs=1] [--merge]
// All targets, one after another, unless some are named. A target begins with the corpus of the
// repository and with what earlier runs found, in build/fuzz/<target>/corpus. An input that fails
// stays in build/fuzz/<target>: copy it to test/fuzz/corpus/<target>, under a name that says what
// it is, and mend what it found. --merge fuzzes nothing but adds to the repository's corpus what
// reaches code that its inputs do not, smallest first: keep of that what is worth its bytes.
import { spawnSync } from 'node:child_process'
import { mkdirSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import process from 'node:process'
import { buildWithCmake, runStep } from './cmake.mjs'
import { root } from './sources.mjs'

const args = process.argv.slice(2)
const option = (name, fallback) =>
  args.find((arg) => arg.startsWith(`--${name}=`))?.slice(name.length + 3) ?? fallback
const seconds = Number(option('seconds', '60'))
const jobs = option('jobs', '1')
const corpora = join(root, 'test/fuzz/corpus')
const named = args.filter((arg) => !arg.startsWith('--'))
const targets = named.length > 0 ? named : readdirSync(corpora).toSorted()
const buildFolder = join(root, 'build/cmake-fuzz')
const executable = join(buildFolder, 'hotbolt_fuzz')

// Stacks of allocations and a long quarantine cost more than half of the speed.
const env = { ...process.env, ASAN_OPTIONS: 'malloc_context_size=1:quarantine_size_mb=8' }
// Inputs are small, and so is what they may cost.
const inputMax = 32 << 10
const mergedMax = 21 << 10

/** Whether nothing was found. */
function fuzz(target) {
  const folder = join(root, 'build/fuzz', target)
  const found = join(folder, 'corpus')
  mkdirSync(found, { recursive: true })
  runStep(executable, [`--target=${target}`, `--seeds=${found}`])
  const corpus = join(corpora, target)
  const merges = args.includes('--merge')
  const limits = ['-timeout=10', '-rss_limit_mb=1024', '-malloc_limit_mb=256', '-detect_leaks=0']
  const work = merges
    ? ['-merge=1', `-max_len=${mergedMax}`, corpus, found]
    : [
        `-max_total_time=${seconds}`,
        `-max_len=${inputMax}`,
        `-fork=${jobs === '1' ? 0 : jobs}`,
        '-entropic=0', // its accounting would take most of the time
        '-print_final_stats=1',
        found,
        corpus,
      ]
  const argv = [`--target=${target}`, `-artifact_prefix=${folder}/`, ...limits, ...work]
  const run = spawnSync(executable, argv, { cwd: root, encoding: 'utf8', env, maxBuffer: 1 << 28 })
  const telling =
    /^(#\d+\s+(INITED|DONE)|stat::(number|average|peak)|MERGE-OUTER: \d+ new|SUMMARY|artifact_pre)/
  const lines = run.stderr.split('\n')
  process.stdout.write(`${target}:\n`)
  for (const line of lines.filter((each) => telling.test(each))) process.stdout.write(`  ${line}\n`)
  if (run.status === 0) return true
  process.stderr.write(`${lines.slice(-60).join('\n')}\n`)
  return false
}

buildWithCmake('hotbolt_fuzz', 'address,undefined', {
  folder: buildFolder,
  definitions: ['-DCMAKE_CXX_COMPILER=clang++', '-DHOTBOLT_FUZZ=ON'],
})
const results = targets.map((target) => fuzz(target))
process.exit(results.every(Boolean) ? 0 : 1)
