// The targets that the library and its tests have, by the contract of the interface; and what the
// directory does besides.

import { existsSync, mkdirSync, readdirSync, symlinkSync } from 'node:fs'
import { lstat, mkdir, readdir, readFile, rename, stat, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { directoryTarget } from '../../lib/backup/directory-target.ts'
import { MemoryTarget } from '../support/memory-target.ts'
import type { Target } from '../../lib/backup/target.ts'
import { keysIn, objectsIn, targetContract } from '../support/target-contract.ts'
import { inDirectory } from '../support/with-database.ts'

const inNewFolder = (directory: string): Target => directoryTarget(join(directory, 'not/there/yet'))
const behindLink = (directory: string): Target => {
  symlinkSync('.', join(directory, 'link'))
  return directoryTarget(join(directory, 'link', 'backups'))
}

targetContract('a directory', inNewFolder, ['localFile', 'listFolders'])
targetContract('a directory behind a link', behindLink, ['localFile', 'listFolders'])
targetContract('memory', () => new MemoryTarget())

test('nothing is made before the first object', () =>
  inDirectory(async (directory) => {
    const target = directoryTarget(join(directory, 'backups'))
    expect(await keysIn(target)).toEqual([])
    await target.delete('a/b')
    expect(await readdir(directory)).toEqual([])
  }))

test('nobody else may read what is made', () =>
  inDirectory(async (directory) => {
    const target = directoryTarget(join(directory, 'backups'))
    await target.put('one/tables/a', Buffer.from('x'))
    for (const path of ['backups', 'backups/one', 'backups/one/tables', 'backups/one/tables/a']) {
      expect((await stat(join(directory, path))).mode & 0o077, path).toBe(0)
    }
  }))

test('a staged file is moved, another one is left where it is', () =>
  inDirectory(async (directory) => {
    const target = directoryTarget(join(directory, 'backups'))
    const staging = target.stagingDirectory!
    await mkdir(staging, { recursive: true })
    const mine = join(directory, 'mine')
    for (const path of [join(staging, 'made'), mine]) await writeFile(path, 'content')
    const { ino } = await stat(join(staging, 'made'))
    await target.put('one/a', { file: join(staging, 'made'), sizeBytes: 7 })
    await target.put('one/b', { file: mine, sizeBytes: 7 })
    expect((await stat(join(directory, 'backups/one/a'))).ino).toBe(ino)
    expect(await readdir(staging)).toEqual([])
    expect(await readFile(mine, 'utf8')).toBe('content')
    await writeFile(mine, 'changed')
    expect(await readFile(join(directory, 'backups/one/b'), 'utf8')).toBe('content')
  }))

test('a link in the staging directory is not taken for a file of it', () =>
  inDirectory(async (directory) => {
    const target = directoryTarget(join(directory, 'backups'))
    await mkdir(target.stagingDirectory!, { recursive: true })
    await writeFile(join(directory, 'secret'), 'secret')
    const link = join(target.stagingDirectory!, 'link')
    await symlink(join(directory, 'secret'), link)
    const put = target.put('one/a', { file: link, sizeBytes: 6 })
    await expect(put).rejects.toMatchObject({ code: 'ERR_NOT_A_FILE' })
    expect(await keysIn(target)).toEqual([])
    expect((await lstat(link)).isSymbolicLink()).toBe(true)
  }))

test('what is hidden at the root is no object', () =>
  inDirectory(async (directory) => {
    const target = directoryTarget(directory)
    for (const folder of ['.staging', '.state', '.git']) {
      await mkdir(join(directory, folder))
      await writeFile(join(directory, folder, 'file'), 'x')
      expect(await keysIn(target, `${folder}/`)).toEqual([])
      for (const call of [
        () => target.put(`${folder}/file`, Buffer.from('y')),
        () => target.get(`${folder}/file`),
        () => target.delete(`${folder}/file`),
        () => target.localFile?.(`${folder}/file`),
      ]) {
        await expect(async () => call()).rejects.toMatchObject({ code: 'ERR_INVALID_ARGUMENT' })
      }
    }
    expect(await keysIn(target)).toEqual([])
  }))

test('the last object takes the empty directories with it, and no others', () =>
  inDirectory(async (directory) => {
    const target = directoryTarget(directory)
    await target.put('one/tables/t/x/a', Buffer.from('x'))
    await target.put('one/tables/u/b', Buffer.from('x'))
    await target.delete('one/tables/t/x/a')
    expect(await readdir(join(directory, 'one/tables'))).toEqual(['u'])
    await target.delete('one/tables/u/b')
    expect(await readdir(directory)).toEqual([])
  }))

test('what a put left that was killed is no object, and goes with its directory', () =>
  inDirectory(async (directory) => {
    const target = directoryTarget(directory)
    await target.put('one/a', Buffer.from('x'))
    await writeFile(join(directory, 'one/.0123456789abcdef+put'), 'half')
    expect(await keysIn(target)).toEqual(['one/a'])
    await target.delete('one/a')
    expect(await readdir(directory)).toEqual([])
  }))

test('foreign names are shown, not touched', () =>
  inDirectory(async (directory) => {
    const target = directoryTarget(directory)
    await target.put('one/a', Buffer.from('x'))
    await mkdir(join(directory, 'one/a folder'))
    await writeFile(join(directory, 'one/a folder/file'), 'x')
    await writeFile(join(directory, 'one/\u00e9'), 'x')
    const problem = 'a name that no object has'
    expect(await objectsIn(target)).toEqual([
      { key: 'one/a', sizeBytes: 1 },
      { key: 'one/a folder', sizeBytes: 0, problem },
      { key: 'one/\u00e9', sizeBytes: 0, problem },
    ])
  }))

test('a directory that was removed under it is made again', () =>
  inDirectory(async (directory) => {
    const target = directoryTarget(join(directory, 'backups'))
    await target.put('one/a', Buffer.from('x'))
    await rename(join(directory, 'backups'), join(directory, 'away'))
    await target.put('one/b', Buffer.from('y'))
    expect(await keysIn(target)).toEqual(['one/b'])
  }))

test('a directory without objects, as a killed put leaves it, goes with the last object', () =>
  inDirectory(async (directory) => {
    const root = join(directory, 'backups')
    const target = directoryTarget(root)
    for (const object of ['one/tables/a/data', undefined]) {
      if (object !== undefined) await target.put(object, Buffer.from('x'))
      mkdirSync(join(root, 'one/tables/b/part/1'), { recursive: true })
      await target.delete(object ?? 'one/manifest.json')
      expect(readdirSync(root)).toEqual([])
    }
    await target.put('one/tables/a/data', Buffer.from('x'))
    mkdirSync(join(root, 'one/tables/b'))
    await target.put('one/tables/c/data', Buffer.from('x'))
    await target.delete('one/tables/a/data')
    expect(existsSync(join(root, 'one/tables/c/data'))).toBe(true)
  }))
