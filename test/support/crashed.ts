// What a crash of the process at this moment would leave.

import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import type { Database } from '../../lib/index.ts'

type Contents = ReadonlyMap<string, Buffer>

/** What is there now, file by file; undefined if one of them went away meanwhile. */
async function readOnce(folder: string, name: string): Promise<Contents | undefined> {
  const contents = new Map<string, Buffer>()
  for (const file of await readdir(folder)) {
    if (file !== name && !file.startsWith(`${name}-`)) continue
    try {
      contents.set(file, await readFile(join(folder, file)))
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
      throw error
    }
  }
  return contents
}

function isSame(a: Contents, b: Contents): boolean {
  return a.size === b.size && [...a].every(([file, bytes]) => b.get(file)?.equals(bytes) === true)
}

/**
 * The database's thread and its background work go on while files are read one after another. Two
 * readings that are the same were the state of all files in between.
 */
async function readAtOneMoment(folder: string, name: string): Promise<Contents> {
  let before = await readOnce(folder, name)
  for (;;) {
    const after = await readOnce(folder, name)
    if (before !== undefined && after !== undefined && isSame(before, after)) return after
    before = after
  }
}

/**
 * Copies the file with what lies beside it into `directory`, which is emptied first; gives the
 * copy's path.
 */
export async function copyAsCrashed(db: Database, directory: string): Promise<string> {
  const [folder, name] = [dirname(db.path), basename(db.path)]
  const contents = await readAtOneMoment(folder, name)
  await rm(directory, { recursive: true, force: true })
  await mkdir(directory, { recursive: true })
  for (const [file, bytes] of contents) await writeFile(join(directory, file), bytes)
  return join(directory, name)
}
