// Whose what a restore makes is, and who may read it: the restorer's alone, whatever the objects of
// the backup have, wherever it goes.

import { chmod, chown, readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import {
  catalogDestination,
  filesDestination,
  open,
  openCatalog,
  restoreBackup,
  storeDestination,
  type RestoreDestination,
} from '../../lib/index.ts'
import { directoryTarget } from '../../lib/backup/directory-target.ts'
import type { Target } from '../../lib/backup/target.ts'
import { putBackup, storeBytes } from '../support/backups.ts'
import { hasTool } from '../support/tools.ts'
import { inDirectory } from '../support/with-database.ts'

const kind = (name: string) => ({ source: { kind: name, id: 'somewhere' } })

/** Everything below the path, and itself: [mode, user, group]. */
async function ownersOf(path: string): Promise<Map<string, readonly number[]>> {
  const found = new Map<string, readonly number[]>()
  const below = await readdir(path, { recursive: true }).catch(() => [])
  for (const name of ['', ...below]) {
    const { mode, uid, gid } = await stat(join(path, name))
    found.set(name, [mode & 0o7777, uid, gid])
  }
  return found
}

/** Any mode and, as root, any owner: what somebody may have done who keeps the backups. */
async function spoil(directory: string): Promise<void> {
  for (const name of await readdir(directory, { recursive: true })) {
    const path = join(directory, name)
    const isFile = (await stat(path)).isFile()
    if (isFile && hasTool('root')) await chown(path, 2001, 2001)
    await chmod(path, isFile ? 0o6777 : 0o777)
  }
}

/** Without localFile(), as an object store: streamed. */
const streamed = (target: Target): Target => ({
  location: target.location,
  put: (key, body) => target.put(key, body),
  get: (key) => target.get(key),
  list: (prefix) => target.list(prefix),
  delete: (key) => target.delete(key),
})

const destinations: Record<string, (path: string) => RestoreDestination> = {
  catalog: catalogDestination,
  files: filesDestination,
  store: storeDestination,
}

describe.each(Object.keys(destinations))('restored to a %s', (place) => {
  const sourceKind = place === 'files' ? 'files' : 'catalog'

  test.each(['copied', 'streamed'])('and %s: the restorer alone may read it', (way) =>
    inDirectory(async (directory) => {
      const backups = directoryTarget(join(directory, 'backups'))
      const contents = { 'store.db': await storeBytes(10) }
      await putBackup(backups, 'one', [{ name: 'a', contents }], kind(sourceKind))
      await spoil(join(directory, 'backups'))
      const umask = process.umask(0)
      try {
        const into = destinations[place]!(join(directory, 'out'))
        const target = way === 'copied' ? backups : streamed(backups)
        await restoreBackup({ into, target, name: 'one' })
      } finally {
        process.umask(umask)
      }
      const ours = [process.getuid?.(), process.getgid?.()]
      for (const [name, [mode = 0, ...owner]] of await ownersOf(join(directory, 'out'))) {
        const isFile = (await stat(join(directory, 'out', name))).isFile()
        expect([name, mode, ...owner]).toEqual([name, isFile ? 0o600 : 0o700, ...ours])
      }
    }),
  )
})

test('a restored store does not take the mode of the one that it replaces', () =>
  inDirectory(async (directory) => {
    const target = directoryTarget(join(directory, 'backups'))
    const contents = { 'store.db': await storeBytes(10) }
    await putBackup(target, 'one', [{ name: 'a', contents }], kind('catalog'))
    const path = join(directory, 'out.db')
    await (await open(path, { mode: 0o666 })).close()
    await restoreBackup({ into: storeDestination(path), target, name: 'one', overwrite: true })
    expect((await stat(path)).mode & 0o7777).toBe(0o600)
  }))

test.each([0, 0o077])('directories of a catalog have its mode under a umask of %o', (mask) =>
  inDirectory(async (directory) => {
    const umask = process.umask(mask)
    try {
      const catalog = await openCatalog(join(directory, 'x/y'), { mode: 0o640 })
      await catalog.create('a')
      await catalog.close()
    } finally {
      process.umask(umask)
    }
    for (const name of ['x', 'x/y', 'x/y/a']) {
      expect((await stat(join(directory, name))).mode & 0o7777, name).toBe(0o750)
    }
  }),
)
