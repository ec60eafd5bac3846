// Sizes and copies of files.

import {
  copyFileSync,
  fsyncSync,
  closeSync,
  openSync,
  readdirSync,
  rmSync,
  statSync,
} from 'node:fs'
import { join } from 'node:path'

export function directoryBytes(directory: string): number {
  const files = readdirSync(directory, { withFileTypes: true }).filter((entry) => entry.isFile())
  return files.reduce((sum, { name }) => sum + statSync(join(directory, name)).size, 0)
}

/** Copies a file and syncs the copy. */
export function copySynced(source: string, target: string): void {
  rmSync(target, { force: true })
  copyFileSync(source, target)
  const descriptor = openSync(target, 'r+')
  fsyncSync(descriptor)
  closeSync(descriptor)
}
