// Builds the addon in release mode with node-gyp, doing as little as possible: nothing at all when
// the binary is newer than everything it is made of, and `configure` only when the list of sources,
// binding.gyp or the running Node changed. `--force` starts from scratch.
import { spawnSync } from 'node:child_process'
import {
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import process from 'node:process'
import { nativeSources, nodePrefix, root } from './sources.mjs'

const binary = join(root, 'build/Release/hotbolt.node')
const stampFile = join(root, 'build/hotbolt-configured.json')
const started = performance.now()

/** What the generated makefiles depend on. A change of any of it asks for a new `configure`. */
function configuration() {
  return JSON.stringify({
    gyp: readFileSync(join(root, 'binding.gyp'), 'utf8'),
    node: [process.version, process.arch, process.execPath],
    sources: nativeSources(),
  })
}

function newestSourceMs() {
  const names = readdirSync(join(root, 'native'), { recursive: true, encoding: 'utf8' })
  const sources = names.filter((name) => /\.(cc|h)$/.test(name))
  return Math.max(0, ...sources.map((name) => statSync(join(root, 'native', name)).mtimeMs))
}

function readOr(file, fallback) {
  return existsSync(file) ? readFileSync(file, 'utf8') : fallback
}

/** The lines of make that only say that it is working. */
const noise = /^\s*(CXX|CC|SOLINK|SOLINK_MODULE|COPY|TOUCH|ACTION|make(\[\d+\])?:|gyp info)/

function nodeGyp(...args) {
  const gyp = createRequire(import.meta.url).resolve('node-gyp/bin/node-gyp.js')
  const prefix = nodePrefix()
  const headers = prefix === undefined ? [] : [`--nodedir=${prefix}`]
  const argv = [gyp, ...args, ...headers, '--loglevel=error']
  const run = spawnSync(process.execPath, argv, { cwd: root, encoding: 'utf8', maxBuffer: 1 << 28 })
  const lines = `${run.stdout}${run.stderr}`.split('\n').filter((line) => line && !noise.test(line))
  if (lines.length > 0) process.stderr.write(`${lines.join('\n')}\n`)
  if (run.status !== 0) {
    process.stderr.write(`native: node-gyp ${args[0]} failed\n`)
    process.exit(1)
  }
}

const wanted = configuration()
const force = process.argv.includes('--force')
const configured =
  !force && existsSync(join(root, 'build/config.gypi')) && readOr(stampFile, '') === wanted

if (configured && existsSync(binary) && statSync(binary).mtimeMs > newestSourceMs()) {
  process.stdout.write('native: up to date\n')
} else {
  if (force) rmSync(join(root, 'build/Release'), { recursive: true, force: true })
  if (!configured) {
    nodeGyp('configure')
    mkdirSync(dirname(stampFile), { recursive: true })
    writeFileSync(stampFile, wanted)
  }
  nodeGyp('build', '-j', '2')
  const seconds = ((performance.now() - started) / 1000).toFixed(1)
  process.stdout.write(`native: built build/Release/hotbolt.node in ${seconds} s\n`)
}
