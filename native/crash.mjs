// Builds the long form of the crash enumerator and runs it:
//   node native/crash.mjs [argument of test/native/crash/main.cc...]
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import process from 'node:process'
import { buildFolder, buildWithCmake } from './cmake.mjs'

buildWithCmake('hotbolt_crash', '')
const executable = join(buildFolder(''), 'hotbolt_crash')
const { status } = spawnSync(executable, process.argv.slice(2), { stdio: 'inherit' })
process.exit(status ?? 1)
