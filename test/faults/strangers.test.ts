// Files beside a database that somebody else put there, under names of its own: nothing is removed
// that does not prove to be its own.

import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { open } from '../../lib/index.ts'
import { expectRefusal } from '../support/refusal.ts'
import { inDirectory, leftovers, verifyFile } from '../support/with-database.ts'

async function closedDatabase(path: string, value: string): Promise<void> {
  const db = await open(path)
  await db.bucket('b').put('k', value)
  await db.close()
}

describe('a file with the name of a segment', () => {
  const strangers: [string, (path: string) => Promise<unknown>][] = [
    ['another database', (path) => closedDatabase(path, 'theirs')],
    ['a text', (path) => writeFile(path, 'notes of somebody')],
    [
      'zeros, and something behind them',
      (path) => writeFile(path, Buffer.alloc(5000).fill('x', 4999)),
    ],
    ['a directory', (path) => mkdir(path)],
  ]
  test.each(strangers)('that is %s is refused by name, and left as it is', (_, make) =>
    inDirectory(async (directory) => {
      const path = join(directory, 'z.db')
      const stranger = `${path}-journal-00000002`
      await closedDatabase(path, 'ours')
      await make(stranger)
      const bytes = await readFile(stranger).catch(() => undefined)
      for (const readOnly of [false, true]) {
        const error = await expectRefusal('ERR_EXISTS', () => open(path, { readOnly }))
        expect(error.path).toBe(stranger)
        expect(error.message).toContain(stranger)
      }
      expect(await readFile(stranger).catch(() => undefined)).toEqual(bytes)
      await rm(stranger, { recursive: true })
      await verifyFile(path)
    }),
  )

  test('that appears while the database is open is passed by', () =>
    inDirectory(async (directory) => {
      const path = join(directory, 'z.db')
      const db = await open(path)
      for (let n = 1; n < 9; n++) await writeFile(`${path}-journal-0000000${n}`, 'somebody')
      await db.bucket('b').put('k', Buffer.alloc(1 << 20))
      await db.close()
      expect(leftovers(path)).toHaveLength(8)
      expect(await readFile(`${path}-journal-00000003`, 'utf8')).toBe('somebody')
      for (const name of leftovers(path)) await rm(join(directory, name))
    }))

  test.each([0, 1, 4096])('that holds %d zeros is what a crash left, and goes', (size) =>
    inDirectory(async (directory) => {
      const path = join(directory, 'z.db')
      await closedDatabase(path, 'ours')
      await writeFile(`${path}-journal-00000001`, Buffer.alloc(size))
      await (await open(path)).close()
      expect(await readdir(directory)).toEqual(['z.db'])
      await verifyFile(path)
    }),
  )
})
