// The builds of CMakeLists.txt: a folder for each sanitizer, in which the core is compiled once for
// its tests and for the addon.
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import process from 'node:process'
import { nodePrefix, root } from './sources.mjs'

export function buildFolder(sanitizer) {
  return join(root, 'build', `cmake-${sanitizer.replaceAll(',', '-') || 'plain'}`)
}

/** Runs a build step quietly: its output matters when it fails or warns. */
export function runStep(command, argv) {
  const run = spawnSync(command, argv, { cwd: root, encoding: 'utf8', maxBuffer: 1 << 28 })
  const failed = run.status !== 0
  if (failed) process.stderr.write(run.stdout ?? '')
  if (failed || /\bwarning:/.test(run.stderr)) process.stderr.write(run.stderr ?? '')
  if (failed) throw run.error ?? new Error(`${command} failed`)
}

/** `definitions` other than the usual ones need a `folder` of their own. */
export function buildWithCmake(
  target,
  sanitizer,
  { folder = buildFolder(sanitizer), definitions = [] } = {},
) {
  const prefix = nodePrefix()
  const usual = [
    `-DHOTBOLT_SANITIZE=${sanitizer}`,
    `-DHOTBOLT_NODE_HEADERS=${prefix === undefined ? '' : join(prefix, 'include/node')}`,
  ]
  runStep('cmake', ['-S', 'native', '-B', folder, ...usual, ...definitions])
  runStep('cmake', ['--build', folder, '--target', target, '-j', '2'])
}
