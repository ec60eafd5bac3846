// Files and directories that somebody else may have prepared: what is refused, with which code, and
// that whatever a link leads to is as it was.

import { execFileSync } from 'node:child_process'
import { chmod, link, lchown, mkdir, readdir, stat, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { toHotboltError } from '../../lib/errors.ts'
import {
  createFile,
  lookAt,
  makeDirectory,
  makeDirectoryOfMode,
  openDirectory,
  openFile,
  removeOwnFile,
  removeOwnTree,
  requireOwnDirectory,
  requireOwnFile,
  requirePrivateDirectory,
} from '../../lib/safe-files.ts'
import { expectRefusal } from '../support/refusal.ts'
import { testIf } from '../support/tools.ts'
import { codeOf, inDirectory, openFilesIn } from '../support/with-database.ts'

const other = 65_534

/** A refusal by the operating system counts as its code. */
const coded = (run: () => Promise<unknown>) => () =>
  run().catch((error: unknown) => Promise.reject(toHotboltError(error)))

testIf('linux', 'only a regular file is opened, and nothing is waited for', () =>
  inDirectory(async (directory) => {
    const at = (name: string): string => join(directory, name)
    await writeFile(at('file'), 'content')
    await symlink(at('file'), at('link'))
    await symlink(at('nothing'), at('dangling'))
    execFileSync('mkfifo', [at('pipe')])
    for (const name of ['link', 'dangling', 'pipe', '.']) {
      await expectRefusal('ERR_NOT_A_FILE', () => openFile(at(name)))
      if (name !== '.')
        await expectRefusal(
          'ERR_NOT_A_FILE',
          coded(() => openDirectory(at(name))),
        )
    }
    for (const name of ['link', 'dangling', 'pipe', 'file']) {
      expect(await codeOf(() => createFile(at(name)))).toBe('EEXIST')
    }
    expect(await lookAt(at('nothing'))).toBeUndefined()
    const file = await openFile(at('file'))
    expect(await file.readFile('utf8')).toBe('content')
    await file.close()
    expect(openFilesIn(directory)).toEqual([])
  }),
)

test('a directory has its mode at once, whatever the umask is', () =>
  inDirectory(async (directory) => {
    const umask = process.umask(0)
    try {
      await makeDirectory(join(directory, 'private'))
      await makeDirectoryOfMode(join(directory, 'exact'), 0o750)
      process.umask(0o077)
      await makeDirectoryOfMode(join(directory, 'shared'), 0o775)
    } finally {
      process.umask(umask)
    }
    const modeOf = async (name: string): Promise<number> =>
      (await stat(join(directory, name))).mode & 0o777
    expect(await modeOf('private')).toBe(0o700)
    expect(await modeOf('exact')).toBe(0o750)
    expect(await modeOf('shared')).toBe(0o775)
    expect(await makeDirectory(join(directory, 'private'))).toBe(false)
  }))

test('a file with a second name is not our own, nor is a link', () =>
  inDirectory(async (directory) => {
    const path = join(directory, 'file')
    await writeFile(path, '')
    await requireOwnFile(path, (await lookAt(path))!)
    await link(path, join(directory, 'second'))
    await symlink(path, join(directory, 'link'))
    for (const name of ['file', 'second', 'link']) {
      const named = join(directory, name)
      await expectRefusal('ERR_NOT_A_FILE', async () =>
        requireOwnFile(named, (await lookAt(named))!),
      )
    }
    await requireOwnFile(path, (await lookAt(path))!, 2)
  }))

test('a directory that is a link, or open to others, is not our own', () =>
  inDirectory(async (directory) => {
    const path = join(directory, 'own')
    await makeDirectory(path)
    await symlink(path, join(directory, 'link'))
    await expectRefusal('ERR_NOT_A_FILE', () => requireOwnDirectory(join(directory, 'link')))
    await requirePrivateDirectory(path)
    await chmod(path, 0o775)
    await requireOwnDirectory(path)
    await expectRefusal('ERR_PERMISSION', () => requirePrivateDirectory(path))
    await chmod(path, 0o777)
    await expectRefusal('ERR_PERMISSION', () => requireOwnDirectory(path))
    await chmod(path, 0o1777)
    await requireOwnDirectory(path)
    await expectRefusal('ERR_PERMISSION', () => requirePrivateDirectory(path))
  }))

testIf('root', 'what belongs to a stranger is not used; what the directory owner has, is', () =>
  inDirectory(async (directory) => {
    const path = join(directory, 'file')
    await writeFile(path, '')
    await mkdir(join(directory, 'tree'))
    await lchown(path, other, other)
    await lchown(join(directory, 'tree'), other, other)
    const prove = async (): Promise<void> => requireOwnFile(path, (await lookAt(path))!)
    await expectRefusal('ERR_PERMISSION', prove)
    await expectRefusal('ERR_PERMISSION', () => requireOwnDirectory(join(directory, 'tree')))
    await expectRefusal('ERR_PERMISSION', () => removeOwnFile(directory, 'file'))
    await expectRefusal('ERR_PERMISSION', () => removeOwnTree(directory, 'tree'))
    await lchown(directory, other, other)
    await prove()
    await requireOwnDirectory(join(directory, 'tree'))
  }),
)

test('what is removed lies in the directory, and no link is followed', () =>
  inDirectory(async (directory) => {
    await mkdir(join(directory, 'outside'))
    await writeFile(join(directory, 'outside/kept'), '')
    const place = join(directory, 'place')
    await mkdir(join(place, 'tree/deep'), { recursive: true })
    await symlink(join(directory, 'outside'), join(place, 'tree/deep/link'))
    await symlink(join(directory, 'outside'), join(place, 'link'))
    await writeFile(join(place, 'file'), '')
    for (const name of ['', '.', '..', '../outside', '/etc', 'a/b', 'a\0b']) {
      await expectRefusal('ERR_CORRUPT', () => removeOwnFile(place, name))
      await expectRefusal('ERR_CORRUPT', () => removeOwnTree(place, name))
    }
    await expectRefusal('ERR_NOT_A_FILE', () => removeOwnFile(place, 'link'))
    await expectRefusal('ERR_NOT_A_FILE', () => removeOwnTree(place, 'link'))
    await expectRefusal('ERR_NOT_A_FILE', () => removeOwnTree(place, 'file'))
    await expectRefusal('ERR_NOT_A_FILE', () => removeOwnFile(place, 'tree'))
    for (const name of ['tree', 'none']) await removeOwnTree(place, name)
    for (const name of ['file', 'none']) await removeOwnFile(place, name)
    expect(await readdir(place)).toEqual(['link'])
    expect(await readdir(join(directory, 'outside'))).toEqual(['kept'])
  }))
