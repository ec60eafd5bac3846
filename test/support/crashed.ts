// What a crash of the process at this moment would leave.

import { copyFile, mkdir, readdir } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import type { Database } from '../../lib/index.ts'

/** Copies the file with what lies beside it into `directory`; gives the copy's path. */
export async function copyAsCrashed(db: Database, directory: string): Promise<string> {
  await mkdir(directory, { recursive: true })
  const [folder, name] = [dirname(db.path), basename(db.path)]
  for (const file of await readdir(folder)) {
    const belongs = file === name || file.startsWith(`${name}-`)
    if (belongs) await copyFile(join(folder, file), join(directory, file))
  }
  return join(directory, name)
}
