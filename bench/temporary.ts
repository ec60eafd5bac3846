// A directory for the files of one run, removed at its end, however that comes.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'

const interrupted = { SIGINT: 130, SIGTERM: 143 } as const

/** `parent`: where to make it; the system's directory for temporary files otherwise. */
export function temporaryDirectory(parent: string = tmpdir()): string {
  const directory = mkdtempSync(join(resolve(parent), 'hotbolt-bench-'))
  process.once('exit', () => rmSync(directory, { recursive: true, force: true }))
  for (const [signal, exitCode] of Object.entries(interrupted)) {
    process.once(signal, () => process.exit(exitCode))
  }
  return directory
}
