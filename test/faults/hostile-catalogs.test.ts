// What somebody else has put beside a catalog or store that is restored, under the names that our
// own restores use: it is neither removed nor put in place.

import { existsSync } from 'node:fs'
import { lchown, mkdir, readdir, readFile, rename, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { catalogDestination } from '../../lib/catalog/catalog-destination.ts'
import { storeDestination } from '../../lib/catalog/store-destination.ts'
import { createBackup, openCatalog } from '../../lib/index.ts'
import { restoreBackup } from '../../lib/backup/restore.ts'
import { testIf } from '../support/tools.ts'
import { inDirectory } from '../support/with-database.ts'

const stranger = 65_534
const digits = '0123456789abcdef'.repeat(2)

interface Context {
  readonly directory: string
  readonly target: string
  /** A catalog of its own, which no backup has. */
  readonly other: string
}

const withBackup = (run: (context: Context) => Promise<void>) => () =>
  inDirectory(async (directory) => {
    const target = join(directory, 'backups')
    for (const name of ['catalog', 'other']) {
      const catalog = await openCatalog(join(directory, name))
      await catalog.create('users')
      if (name === 'catalog') await createBackup(catalog, { target, name: 'one' })
      await catalog.close()
    }
    await run({ directory, target, other: join(directory, 'other') })
  })

async function give(path: string): Promise<void> {
  for (const name of await readdir(path, { recursive: true })) {
    await lchown(join(path, name), stranger, stranger)
  }
  await lchown(path, stranger, stranger)
}

testIf(
  'root',
  "a stranger's catalog is not taken for the one that a restore has moved away",
  withBackup(async ({ directory, target, other }) => {
    const into = join(directory, 'restored')
    const planted = `${into}-replaced-${digits}`
    await rename(other, planted)
    await give(planted)
    await restoreBackup(catalogDestination(into), { target, name: 'one' })
    expect(existsSync(join(planted, '.catalog'))).toBe(true)
  }),
)

testIf(
  'root',
  "a stranger's directory is not taken for that of a killed restore",
  withBackup(async ({ directory, target, other }) => {
    for (const [into, destination] of [
      ['restored', catalogDestination],
      ['store.db', storeDestination],
    ] as const) {
      const path = join(directory, into)
      const planted = `${path}-restore-${digits}`
      await mkdir(planted)
      await symlink(other, join(planted, 'link'))
      await give(planted)
      await restoreBackup(destination(path), { target, name: 'one' })
      expect(await readdir(planted)).toEqual(['link'])
    }
  }),
)

test(
  'a link beside the destination is not followed, whatever it is called',
  withBackup(async ({ directory, target, other }) => {
    const into = join(directory, 'restored')
    const marker = await readFile(join(other, '.catalog'))
    for (const kind of ['restore', 'replaced']) await symlink(other, `${into}-${kind}-${digits}`)
    await restoreBackup(catalogDestination(into), { target, name: 'one' })
    expect(await readFile(join(other, '.catalog'))).toEqual(marker)
    expect(existsSync(join(other, 'users/store.db'))).toBe(true)
  }),
)
