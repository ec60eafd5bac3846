// The command line, as a person or a script uses it: output, JSON and exit codes, on a real etcd
// database and on files of our own. Runs what `npm run build:ts` has compiled.

import { execFile } from 'node:child_process'
import { copyFile, open as openFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeAll, expect, test } from 'vitest'
import { open } from '../../lib/index.ts'
import { extractEtcdDatabase } from '../fixtures/etcd.ts'
import { repositoryRoot } from '../oracle/root.ts'
import { damagedOnPurpose, inDirectory } from '../support/with-database.ts'

interface Run {
  readonly code: number
  readonly out: string
  readonly errors: string
}

function hotbolt(...args: string[]): Promise<Run> {
  const script = join(repositoryRoot, 'dist/lib/cli/main.js')
  return new Promise((resolve) => {
    execFile(process.execPath, [script, ...args], (error, out, errors) => {
      resolve({ code: error === null ? 0 : Number(error.code), out, errors })
    })
  })
}

const lines = (text: string): string[] => text.split('\n').filter((line) => line !== '')

function withEtcd(run: (path: string) => Promise<void>): Promise<void> {
  return inDirectory(async (directory) => {
    const path = join(directory, 'etcd.db')
    await extractEtcdDatabase(path)
    await run(path)
  })
}

beforeAll(async () => {
  expect((await hotbolt('--version')).out).toMatch(/^\d+\.\d+\.\d+\n$/)
})

test('a real etcd database is described, checked and defragmented', () =>
  withEtcd(async (path) => {
    const info = await hotbolt('info', path, '--json')
    expect(JSON.parse(info.out)).toMatchObject({ pageSize: 4096, sizeBytes: 6_819_840 })
    const before = JSON.parse((await hotbolt('stats', path, '--json')).out) as { keyCount: number }
    expect(await hotbolt('check', path)).toMatchObject({ code: 0 })
    expect(lines((await hotbolt('buckets', path)).out)).toContain('members_removed')
    const defrag = await hotbolt('defrag', path, '--json')
    expect(defrag.code).toBe(0)
    expect(JSON.parse(defrag.out)).toMatchObject({ sizeBeforeBytes: 6_819_840 })
    const after = JSON.parse((await hotbolt('stats', path, '--json')).out) as { keyCount: number }
    expect(after.keyCount).toBe(before.keyCount)
    expect(await hotbolt('check', path)).toMatchObject({ code: 0 })
  }))

test('every key that is listed can be given back to get', () =>
  withEtcd(async (path) => {
    const keys = lines((await hotbolt('keys', path, 'key', '--limit', '3')).out)
    expect(keys).toHaveLength(3)
    for (const key of keys)
      expect(await hotbolt('get', path, 'key', key)).toMatchObject({ code: 0 })
  }))

test('what is put can be got, listed and deleted, in nested buckets too', () =>
  inDirectory(async (directory) => {
    const path = join(directory, 'data.db')
    expect(await hotbolt('put', path, 'a', 'key', 'v'), 'a mistyped path').toMatchObject({
      code: 1,
    })
    await (await open(path)).close()
    expect(await hotbolt('put', path, 'a/b', 'key', 'value')).toMatchObject({ code: 0 })
    expect(await hotbolt('get', path, 'a/b', 'key')).toMatchObject({ code: 0, out: 'value' })
    expect(lines((await hotbolt('keys', path, 'a/b', '--values')).out)).toEqual(['key\tvalue'])
    // A value is what it is; only keys and names are read as they are printed.
    expect(await hotbolt('put', path, 'a/b', '0x00ff', '0x6162')).toMatchObject({ code: 0 })
    expect(await hotbolt('get', path, 'a/b', '0x00ff')).toMatchObject({ code: 0, out: '0x6162' })
    expect(await hotbolt('delete', path, 'a/b', '0x00ff')).toMatchObject({ code: 0 })
    expect(await hotbolt('delete', path, 'a/b', 'key')).toMatchObject({ code: 0 })
    expect(await hotbolt('get', path, 'a/b', 'key')).toMatchObject({ code: 1, out: '' })
  }))

test('a bucket that does not exist is an error, for every command that reads one', () =>
  inDirectory(async (directory) => {
    const path = join(directory, 'data.db')
    await (await open(path)).close()
    const errors = expect.stringMatching(/bucket a\/b does not exist \(ERR_BUCKET_NOT_FOUND\)/)
    for (const command of [['buckets'], ['buckets', '--recursive'], ['keys'], ['get', 'key']]) {
      const [name = '', ...rest] = command
      const run = await hotbolt(name, path, 'a/b', ...rest)
      expect(run, command.join(' ')).toMatchObject({ code: 1, out: '', errors })
    }
  }))

test('put makes a database of an empty file when it may make one', () =>
  inDirectory(async (directory) => {
    const path = join(directory, 'data.db')
    await writeFile(path, '')
    const refused = await hotbolt('put', path, 'b', 'key', 'value')
    expect(refused).toMatchObject({ code: 1, errors: expect.stringContaining('empty') })
    const put = ['put', path, 'b', 'key', 'value', '--create']
    expect(await hotbolt(...put)).toMatchObject({ code: 0 })
    expect(await hotbolt('get', path, 'b', 'key')).toMatchObject({ code: 0, out: 'value' })
  }))

test('damage is exit code 4, and the pages are named', () =>
  withEtcd(async (path) => {
    const file = await openFile(damagedOnPurpose(path), 'r+')
    const { size } = await file.stat()
    // A page's header says which page it is: another number for every tenth page.
    for (let page = 4; page * 4096 < size; page += 10) {
      await file.write(Buffer.from([0xff, 0xff, 0xff]), 0, 3, page * 4096)
    }
    await file.close()
    const check = await hotbolt('check', path)
    expect(check.code).toBe(4)
    expect(check.out).toMatch(/^page \d+: /m)
  }))

test('a locked file is exit code 5, wrong usage 2, a missing file 1', () =>
  inDirectory(async (directory) => {
    const path = join(directory, 'data.db')
    await using database = await open(path)
    await database.bucket('b').put('k', 'v')
    expect(await hotbolt('info', path)).toMatchObject({ code: 5 })
    expect(await hotbolt('info')).toMatchObject({ code: 2 })
    expect(await hotbolt('explode', path)).toMatchObject({ code: 2 })
    expect(await hotbolt('keys', path, 'b', '--limit', 'many')).toMatchObject({ code: 2 })
    expect(await hotbolt('info', join(directory, 'none.db'))).toMatchObject({ code: 1 })
  }))

test('what only a leftover journal holds is said', () =>
  inDirectory(async (directory) => {
    const path = join(directory, 'data.db')
    const copy = join(directory, 'copy.db')
    await using database = await open(path)
    await database.bucket('b').put('k', 'v')
    // What a crash at this moment would leave.
    await copyFile(path, copy)
    await copyFile(`${path}-journal-00000001`, `${copy}-journal-00000001`)
    expect((await hotbolt('check', copy)).out).toContain('1 transactions more')
    expect(await hotbolt('get', copy, 'b', 'k')).toMatchObject({ code: 0, out: 'v' })
  }))
