// Where the repository is: the same answer from the sources and from what the compiler made of
// them.

import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const repositoryRoot: string = rootAbove(dirname(fileURLToPath(import.meta.url)))

function rootAbove(directory: string): string {
  if (existsSync(join(directory, 'package.json'))) return directory
  const parent = dirname(directory)
  if (parent === directory) throw new Error('no package.json above the test support')
  return rootAbove(parent)
}
