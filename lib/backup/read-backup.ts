// What a backup consists of, for those who want to know before they restore it.

import { targetFrom } from './directory-target.ts'
import { readManifest, type Manifest } from './manifest.ts'
import type { Target } from './target.ts'

export interface ReadBackupOptions {
  readonly target: string | URL | Target
  readonly name: string
  readonly signal?: AbortSignal | undefined
}

/** The manifest, proven. ERR_NOT_FOUND, ERR_BACKUP_CORRUPT; ERR_VERSION: of a later hotbolt. */
export async function readBackup(options: ReadBackupOptions): Promise<Manifest> {
  const { target, name, signal } = options
  return readManifest(targetFrom(target), name, signal)
}
