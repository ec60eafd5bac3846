// What the addon is built from. Prints its sources for this operating system, one per line,
// relative to the package root: binding.gyp and build.mjs both ask here, so that none is listed by
// hand.
import { existsSync, readdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import process from 'node:process'
import { fileURLToPath } from 'node:url'

export const root = dirname(dirname(fileURLToPath(import.meta.url)))

const folders = ['native/core', 'native/platform', 'native/binding']

/** A platform source says in its name where it belongs: `posix_file.cc`, `windows_file.cc`. */
export function belongsTo(platform, name) {
  if (name.startsWith('windows_')) return platform === 'win32'
  if (name.startsWith('posix_')) return platform !== 'win32'
  if (name.startsWith('linux_')) return platform === 'linux'
  if (name.startsWith('mac_')) return platform === 'darwin'
  return true
}

function namesIn(folder) {
  try {
    return readdirSync(join(root, folder)).toSorted()
  } catch (error) {
    if (error.code === 'ENOENT') return []
    throw error
  }
}

export function nativeSources(platform = process.platform) {
  return folders.flatMap((folder) =>
    namesIn(folder)
      .filter((name) => name.endsWith('.cc') && belongsTo(platform, name))
      .map((name) => `${folder}/${name}`),
  )
}

/** Node's headers lie beside the binary in a full install: then nothing has to be downloaded. */
export function nodePrefix() {
  const prefix = dirname(dirname(process.execPath))
  return existsSync(join(prefix, 'include/node/node_api.h')) ? prefix : undefined
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  process.stdout.write(`${nativeSources().join('\n')}\n`)
}
