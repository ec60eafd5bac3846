// Small files that bbolt wrote, gzip-compressed, and what bbolt itself finds in them: golden.json.
// See make.ts.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'

import type { DumpSummary } from '../oracle/bbolt.ts'
import { repositoryRoot } from '../oracle/root.ts'

export type GoldenFile = {
  name: string
  /** The gzip-compressed file. */
  path: string
  pageSize: number
  /** Whether the file has a free list; without one its meta pages hold the sentinel. */
  freelist: boolean
  dump: DumpSummary
}

export const goldenDir: string = join(repositoryRoot, 'test/golden')

export function goldenFiles(): GoldenFile[] {
  const text = readFileSync(join(goldenDir, 'golden.json'), 'utf8')
  const entries = JSON.parse(text) as Omit<GoldenFile, 'path'>[]
  return entries.map((entry) => ({ ...entry, path: join(goldenDir, `${entry.name}.gz`) }))
}
