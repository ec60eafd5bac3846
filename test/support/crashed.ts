// What a crash of the process at this moment would leave.

import { copyFile, mkdir, readdir, rm } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import type { Database } from '../../lib/index.ts'

/**
 * Copies the file with what lies beside it into `directory`, which is emptied first; gives the
 * copy's path. Begins again when a segment of the journal gets another name meanwhile.
 */
export async function copyAsCrashed(db: Database, directory: string): Promise<string> {
  for (;;) {
    await rm(directory, { recursive: true, force: true })
    await mkdir(directory, { recursive: true })
    try {
      return await copyAll(db, directory)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    }
  }
}

async function copyAll(db: Database, directory: string): Promise<string> {
  const [folder, name] = [dirname(db.path), basename(db.path)]
  for (const file of await readdir(folder)) {
    const belongs = file === name || file.startsWith(`${name}-`)
    if (belongs) await copyFile(join(folder, file), join(directory, file))
  }
  return join(directory, name)
}
