// Builds the addon with address and undefined behaviour sanitizers (through cmake-js, from
// native/CMakeLists.txt) and runs tests of the library with it:
//   node native/sanitize.mjs [vitest arguments]
// Linux with gcc: its runtime is loaded in front of Node. Leaks are not looked for, since Node
// itself leaves some.
import { execFileSync, spawnSync } from 'node:child_process'
import { join } from 'node:path'
import process from 'node:process'
import { root } from './sources.mjs'

const folder = join(root, 'build/cmake-js-address')
const build = ['cmake-js', 'build', '-d', 'native', '-O', folder]
build.push('--CDHOTBOLT_SANITIZE=address,undefined')
execFileSync('npx', build, { cwd: root, stdio: ['ignore', 'ignore', 'inherit'] })

const runtime = execFileSync('gcc', ['-print-file-name=libasan.so'], { encoding: 'utf8' }).trim()
const given = process.argv.slice(2)
const tests =
  given.length > 0 ? given : ['test/unit', 'test/scenarios', 'test/crash/threads.test.ts']
const { status } = spawnSync('npx', ['vitest', 'run', ...tests], {
  cwd: root,
  stdio: 'inherit',
  env: {
    ...process.env,
    LD_PRELOAD: runtime,
    ASAN_OPTIONS: 'detect_leaks=0',
    HOTBOLT_ADDON: join(folder, 'Release/hotbolt.node'),
  },
})
process.exit(status ?? 1)
