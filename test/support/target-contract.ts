// What every target has to do: the tests of the interface in lib/backup/target.ts.
//
//   const make = (directory: string): Target => directoryTarget(join(directory, 'backups'))
//   targetContract('a directory', make, ['localFile', 'listFolders'])

import { randomBytes } from 'node:crypto'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { describe, expect, test } from 'vitest'
import type { Target, TargetObject } from '../../lib/backup/target.ts'
import { expectRefusal } from './refusal.ts'
import { inDirectory } from './with-database.ts'

/** `directory` is new and removed after the test. The target is empty. */
export type MakeTarget = (directory: string) => Target | Promise<Target>

export async function objectsIn(target: Target, prefix = ''): Promise<TargetObject[]> {
  const objects: TargetObject[] = []
  for await (const object of target.list(prefix)) objects.push(object)
  return objects.toSorted((one, other) => (one.key < other.key ? -1 : 1))
}

export async function keysIn(target: Target, prefix = ''): Promise<string[]> {
  return (await objectsIn(target, prefix)).map(({ key }) => key)
}

export async function bytesOf(target: Target, key: string): Promise<Buffer> {
  return buffer(await target.get(key))
}

const optional = ['localFile', 'listFolders'] as const

/** `skills`: what the target has of that which it may leave out. */
export function targetContract(
  name: string,
  makeTarget: MakeTarget,
  skills: readonly (typeof optional)[number][] = [],
): void {
  const withTarget = (
    run: (target: Target, directory: string) => Promise<void>,
  ): (() => Promise<void>) => {
    return () => inDirectory(async (directory) => run(await makeTarget(directory), directory))
  }

  describe(`${name} as a target`, () => {
    bytesContract(withTarget)
    fileContract(withTarget)
    listContract(withTarget)
    refusalContract(withTarget)
    test(
      `can do this beyond what it must: ${skills.join(', ')}`,
      withTarget(async (target) => {
        expect(optional.filter((skill) => target[skill] !== undefined)).toEqual(skills)
      }),
    )
    if (skills.includes('localFile')) localFileContract(withTarget)
    if (skills.includes('listFolders')) listFoldersContract(withTarget)
  })
}

type WithTarget = (run: (target: Target, directory: string) => Promise<void>) => () => Promise<void>

function bytesContract(withTarget: WithTarget): void {
  test(
    'says where it is',
    withTarget(async (target) => {
      expect(target.location).toMatch(/\S/)
    }),
  )

  test.each([0, 1, 4096, (1 << 20) + 7])('gives back an object of %i bytes', (size) =>
    withTarget(async (target) => {
      const bytes = randomBytes(size)
      await target.put('one/manifest.json', bytes)
      expect((await bytesOf(target, 'one/manifest.json')).equals(bytes)).toBe(true)
      expect(await objectsIn(target)).toEqual([{ key: 'one/manifest.json', sizeBytes: size }])
    })(),
  )

  test(
    'does not keep the bytes that it was given, but a copy',
    withTarget(async (target) => {
      const bytes = Buffer.from('before')
      await target.put('one/a', bytes)
      bytes.write('change')
      expect(String(await bytesOf(target, 'one/a'))).toBe('before')
    }),
  )

  test(
    'replaces an object as a whole',
    withTarget(async (target) => {
      await target.put('one/a', Buffer.from('a long first content'))
      await target.put('one/a', Buffer.from('short'))
      expect(String(await bytesOf(target, 'one/a'))).toBe('short')
      expect(await objectsIn(target)).toEqual([{ key: 'one/a', sizeBytes: 5 }])
    }),
  )

  test(
    'takes every character that keys have, and 200 of them in a segment',
    withTarget(async (target) => {
      const keys = ['a/%~-_.%41/Z.09', `a/${'x'.repeat(200)}/b`, 'a/..b/c..', 'a/.hidden']
      for (const key of keys) await target.put(key, Buffer.from(key))
      expect(await keysIn(target)).toEqual(keys.toSorted())
      for (const key of keys) expect(String(await bytesOf(target, key))).toBe(key)
    }),
  )

  test(
    'stores many objects at a time',
    withTarget(async (target) => {
      const keys = Array.from({ length: 60 }, (_, n) => `one/tables/t${n % 7}/part${n % 3}/f${n}`)
      await Promise.all(keys.map((key) => target.put(key, Buffer.from(key))))
      expect(await keysIn(target)).toEqual(keys.toSorted())
      await Promise.all(keys.map((key) => target.delete(key)))
      expect(await keysIn(target)).toEqual([])
    }),
  )
}

function fileContract(withTarget: WithTarget): void {
  const staged = async (target: Target, directory: string, bytes: Buffer): Promise<string> => {
    const folder = target.stagingDirectory ?? directory
    await mkdir(folder, { recursive: true })
    await writeFile(join(folder, 'body'), bytes)
    return join(folder, 'body')
  }

  test.each([0, 100, 300_000])('takes a file of %i bytes from where they are best made', (size) =>
    withTarget(async (target, directory) => {
      const bytes = randomBytes(size)
      const file = await staged(target, directory, bytes)
      await target.put('one/tables/t/data.db', { file, sizeBytes: size })
      expect((await bytesOf(target, 'one/tables/t/data.db')).equals(bytes)).toBe(true)
      expect(await keysIn(target)).toEqual(['one/tables/t/data.db'])
    })(),
  )

  test(
    'does not take a file whose size is not the one it was told',
    withTarget(async (target, directory) => {
      const file = await staged(target, directory, Buffer.from('four'))
      await expectRefusal('ERR_INVALID_ARGUMENT', () =>
        target.put('one/tables/t/a', { file, sizeBytes: 5 }),
      )
      expect(await keysIn(target)).toEqual([])
    }),
  )

  test(
    'does not take a file that is not there',
    withTarget(async (target, directory) => {
      const file = join(target.stagingDirectory ?? directory, 'none')
      const put = target.put('one/tables/t/a', { file, sizeBytes: 5 })
      await expect(put).rejects.toMatchObject({ code: expect.stringMatching(/^E(NOENT|RR_NOT_F)/) })
      expect(await keysIn(target)).toEqual([])
    }),
  )
}

function localFileContract(withTarget: WithTarget): void {
  test(
    'gives a file of this machine',
    withTarget(async (target) => {
      await target.put('one/a', Buffer.from('content'))
      expect(await readFile(await target.localFile!('one/a'), 'utf8')).toBe('content')
      await expectRefusal('ERR_NOT_FOUND', () => target.localFile!('one/b'))
    }),
  )
}

function listFoldersContract(withTarget: WithTarget): void {
  test(
    'names the first segments',
    withTarget(async (target) => {
      for (const key of ['a/1', 'a/2/x', 'b/1']) await target.put(key, Buffer.from('x'))
      const folders: string[] = []
      for await (const folder of target.listFolders!()) folders.push(folder)
      expect(folders.toSorted()).toEqual(['a', 'b'])
    }),
  )
}

function listContract(withTarget: WithTarget): void {
  test(
    'lists by the beginning of keys, whole segments or not',
    withTarget(async (target) => {
      const keys = ['a/1', 'a/2/x', 'ab/1', 'b/tables/t/f', 'b/tables/t2/f']
      for (const key of keys) await target.put(key, Buffer.from('x'))
      expect(await keysIn(target)).toEqual(keys)
      expect(await keysIn(target, 'a')).toEqual(['a/1', 'a/2/x', 'ab/1'])
      expect(await keysIn(target, 'a/')).toEqual(['a/1', 'a/2/x'])
      expect(await keysIn(target, 'b/tables/t')).toEqual(['b/tables/t/f', 'b/tables/t2/f'])
      expect(await keysIn(target, 'b/tables/t/')).toEqual(['b/tables/t/f'])
      expect(await keysIn(target, 'none/')).toEqual([])
    }),
  )

  test(
    'lists nothing where nothing was stored, and what was deleted no more',
    withTarget(async (target) => {
      expect(await keysIn(target)).toEqual([])
      await target.put('a/b/c', Buffer.from('x'))
      await target.put('a/d', Buffer.from('x'))
      await target.delete('a/b/c')
      expect(await keysIn(target)).toEqual(['a/d'])
      await target.delete('a/d')
      expect(await keysIn(target)).toEqual([])
      await target.put('a/b/c', Buffer.from('again'))
      expect(await keysIn(target)).toEqual(['a/b/c'])
    }),
  )

  test(
    'may be deleted from while it lists',
    withTarget(async (target) => {
      for (let n = 0; n < 30; n++) await target.put(`a/b${n % 4}/${n}`, Buffer.from('x'))
      for await (const { key } of target.list('a/')) await target.delete(key)
      expect(await keysIn(target)).toEqual([])
    }),
  )
}

function refusalContract(withTarget: WithTarget): void {
  test(
    'has nothing under a key that was not stored, and deletes it without a word',
    withTarget(async (target) => {
      await expectRefusal('ERR_NOT_FOUND', () => target.get('one/a'))
      await target.delete('one/a')
      await target.put('one/a', Buffer.from('x'))
      await expectRefusal('ERR_NOT_FOUND', () => target.get('one/b'))
      await target.delete('one/b')
      expect(await keysIn(target)).toEqual(['one/a'])
    }),
  )

  const noKeys = ['', '/', '/a', 'a/', 'a//b', '.', '..', '../a', 'a/../b', 'a/./b', 'a\\b']
  const moreNoKeys = ['a\0b', 'C:/a', 'a b', 'a/\u00e9', 'a\n', `a/${'b'.repeat(2000)}`]
  test.each([...noKeys, ...moreNoKeys])('refuses the key %.20j', (key) =>
    withTarget(async (target) => {
      const body = Buffer.from('x')
      for (const call of [
        () => target.put(key, body),
        () => target.get(key),
        () => target.delete(key),
      ]) {
        await expectRefusal('ERR_INVALID_ARGUMENT', call)
      }
      expect(await keysIn(target)).toEqual([])
    })(),
  )

  test(
    'does nothing for a signal that is aborted',
    withTarget(async (target) => {
      await target.put('one/a', Buffer.from('x'))
      const signal = AbortSignal.abort(new Error('no more'))
      await expectRefusal('ERR_ABORTED', () => target.put('one/b', Buffer.from('x'), signal))
      await expectRefusal('ERR_ABORTED', () => target.get('one/a', signal))
      await expectRefusal('ERR_ABORTED', () => target.delete('one/a', signal))
      await expectRefusal('ERR_ABORTED', async () => {
        for await (const object of target.list('one/', signal)) expect(object).toBeUndefined()
      })
      expect(await keysIn(target)).toEqual(['one/a'])
    }),
  )
}
