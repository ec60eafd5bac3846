// Paths as they are given: a file: URL is one wherever a path is, and what is no path is refused
// before anything is touched.

import { mkdir, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { expect, test } from 'vitest'
import {
  catalogDestination,
  cleanFreezes,
  createBackup,
  deleteBackup,
  directoryTarget,
  filesDestination,
  listBackups,
  open,
  openCatalog,
  pruneBackups,
  readBackup,
  readJournal,
  recoverDatabase,
  restoreBackup,
  storeDestination,
  verifyBackup,
  verifyEtcdSnapshot,
} from '../../lib/index.ts'
import { expectRefusal } from '../support/refusal.ts'
import {
  inDirectory,
  leftovers,
  openFilesIn,
  verifyFile,
  withDatabase,
} from '../support/with-database.ts'

test('a file: URL is accepted everywhere a path is', () =>
  inDirectory(async (directory) => {
    // Characters that a URL has to encode.
    const url = (name: string): URL => pathToFileURL(join(directory, `\u00fc ${name} %41#?`))
    const path = (name: string): string => join(directory, `\u00fc ${name} %41#?`)
    const db = await open(url('db'))
    expect(db.path).toBe(path('db'))
    await db.bucket('b').put('k', 'v')
    expect((await db.backup(url('copy'))).path).toBe(path('copy'))
    await verifyFile(path('copy'))
    await db.backup(url('snapshot'), { format: 'etcd-snapshot' })
    expect((await verifyEtcdSnapshot(url('snapshot'))).sizeBytes).toBeGreaterThan(0)
    const given = { target: url('backups'), stateDirectory: url('state') }
    await createBackup(db, { ...given, name: 'one' })
    expect((await cleanFreezes(db, given)).leftover).toEqual([])
    await db.close()
    const one = { target: url('backups'), name: 'one' }
    expect(await listBackups(url('backups'))).toHaveLength(1)
    expect(await verifyBackup(one)).toMatchObject({ ok: true })
    expect(await readBackup(one)).toMatchObject({ name: 'one' })
    expect(await pruneBackups({ target: url('backups'), keepLast: 1 })).toMatchObject({
      deleted: [],
    })
    for (const [name, into] of [
      ['restored', url('restored')],
      ['by destination', storeDestination(url('by destination'))],
    ] as const) {
      await restoreBackup({ ...one, into })
      await verifyFile(path(name))
    }
    await restoreBackup({ ...one, into: filesDestination(url('files')) })
    const catalog = await openCatalog(url('catalog'))
    await catalog.create('store')
    await createBackup(catalog, { target: directoryTarget(url('backups')), name: 'two' })
    await catalog.close()
    const two = { target: url('backups'), name: 'two' }
    await restoreBackup({ ...two, into: catalogDestination(url('another')) })
    await (await openCatalog(url('another'), { create: false })).close()
    await deleteBackup(two)
    expect(await readJournal(url('db'))).toMatchObject({ state: 'none', path: path('db') })
    expect(await recoverDatabase(url('db'))).toMatchObject({ outcome: 'nothing' })
    expect(openFilesIn(directory)).toEqual([])
  }))

const calls: Readonly<Record<string, (path: never) => unknown>> = {
  open,
  openCatalog,
  readJournal,
  recoverDatabase,
  verifyEtcdSnapshot,
  catalogDestination,
  storeDestination,
  filesDestination,
  listBackups,
  'restoreBackup, into': (into) => restoreBackup({ target: '/none', name: 'one', into }),
  'verifyBackup, target': (target) => verifyBackup({ target, name: 'one' }),
  'createBackup, stateDirectory': async (stateDirectory) => {
    const reached = (): never => {
      throw new Error('the source was asked')
    }
    const verbs = { listTables: reached, freeze: reached, unfreeze: reached, isFrozen: reached }
    const source = { kind: 'test', id: 'test', ...verbs }
    const target = { location: 'none', put: reached, get: reached, list: reached, delete: reached }
    await createBackup(source, { target, stateDirectory })
  },
}

const wrong: readonly unknown[] = [
  '',
  'a\0b',
  'a\ud800',
  undefined,
  null,
  5,
  ['a'],
  new URL('https://example.org/data.db'),
  new URL('file://host/data.db'),
  new URL('file:///a%00b'),
  new URL('file:///a%2Fb'),
]

test.each(Object.entries(calls))('%s refuses what is no path', async (_, call) => {
  for (const path of wrong) {
    await expectRefusal('ERR_INVALID_ARGUMENT', async () => call(path as never))
  }
})

test(
  'a backup refuses what is no path, and says what it got',
  withDatabase(async ({ db }) => {
    for (const path of wrong) {
      await expectRefusal('ERR_INVALID_ARGUMENT', () => db.backup(path as string))
    }
    const lone = await expectRefusal('ERR_INVALID_ARGUMENT', () => open('a\ud800'))
    expect(lone.message).toContain('a string with a lone surrogate')
    const remote = await expectRefusal('ERR_INVALID_ARGUMENT', () => open(new URL('http://x/y')))
    expect(remote.message).toBe('Expected `path` to be a path or a file: URL, got http://x/y')
  }),
)

test('what is in the way of a database is named', () =>
  inDirectory(async (directory) => {
    await writeFile(join(directory, 'text'), 'a text')
    await mkdir(join(directory, 'folder'))
    await symlink('nowhere', join(directory, 'link'))
    const cases = [
      ['text/x.db', 'ERR_NOT_A_FILE', /text is a file, not a directory/],
      ['folder', 'ERR_NOT_A_FILE', /folder is not a regular file/],
      ['link', 'ERR_NOT_FOUND', /link is a symbolic link to nothing/],
      ['missing/x.db', 'ERR_NOT_FOUND', /the directory .*missing does not exist/],
      ['x.db/', 'ERR_INVALID_ARGUMENT', /without a slash at its end/],
    ] as const
    for (const [name, code, message] of cases) {
      // Not join(), which would tidy it up.
      const error = await expectRefusal(code, () => open(`${directory}/${name}`))
      expect(error.message).toMatch(message)
    }
    expect(leftovers(join(directory, 'x.db'))).toEqual([])
  }))
