// What lies on the disk: who may read it, what is left in it of what was deleted, and pages at
// their limits.

import { chmod, mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { open, type Database } from '../../lib/index.ts'
import { pagesInUse } from '../support/pages.ts'
import {
  holdDefragAt,
  inDirectory,
  leftovers,
  smallPages,
  verifyFile,
  withDatabase,
} from '../support/with-database.ts'

describe('who may read the files', () => {
  /** Permission bits by kind of file, while a defragmentation has them all on the disk. */
  async function modesOf(db: Database): Promise<Record<string, number>> {
    for (let n = 0; n < 50; n++) await db.bucket('b').put(`k${n}`, 'v')
    const held = holdDefragAt(db, 'after-copy')
    await held.reached
    const folder = join(db.path, '..')
    const modes: Record<string, number> = {}
    for (const name of await readdir(folder)) {
      const kind = name.slice(basename(db.path).length).replaceAll(/[0-9a-f]{8,}$/g, '')
      modes[kind] = (await stat(join(folder, name))).mode & 0o777
    }
    held.release()
    await held.report
    modes['afterwards'] = (await stat(db.path)).mode & 0o777
    return modes
  }

  test.each([0o000, 0o022, 0o077, 0o777])('is decided by `mode`, not by a umask of %o', (umask) =>
    inDirectory(async (directory) => {
      const before = process.umask(umask)
      try {
        for (const mode of [undefined, 0o600, 0o640, 0o666]) {
          const path = join(directory, String(mode), 'data.db')
          await mkdir(join(path, '..'))
          await chmod(join(path, '..'), 0o700) // the umask takes bits of it away
          await using db = await open(path, { mode })
          const bits = mode ?? 0o600
          const expected = { '': bits, '-journal-': bits, '-defrag-': bits, afterwards: bits }
          expect(await modesOf(db)).toEqual(expected)
        }
      } finally {
        process.umask(before)
      }
    }),
  )

  test(
    'is what it was when the file is opened again: the journal and a copy are no wider',
    withDatabase(async (context) => {
      for (const mode of [0o400, 0o660, 0o600]) {
        await context.close()
        await chmod(context.path, mode)
        // What `mode` says is about new files.
        const db = await context.open({ mode: 0o644 })
        const expected = { '': mode, '-journal-': mode, '-defrag-': mode, afterwards: mode }
        expect(await modesOf(db)).toEqual(expected)
      }
    }),
  )
})

describe('what was deleted', () => {
  const canary = 'a deleted canary'
  const contains = async (path: string): Promise<boolean> => (await readFile(path)).includes(canary)

  test(
    'is in no file any more after a defragmentation and a close',
    withDatabase(async (context) => {
      const { db, path, directory } = context
      for (let n = 0; n < 400; n++) {
        void db.bucket(n % 2 === 0 ? 'b' : 'gone').put(`${canary} ${n}`, canary.repeat(n % 90))
        void db.bucket('b').put(`kept ${n}`, 'v')
      }
      await db.checkpoint()
      for (let n = 0; n < 400; n += 2) void db.bucket('b').delete(`${canary} ${n}`)
      await db.deleteBucket('gone')
      await db.checkpoint()
      expect(await contains(path)).toBe(true)
      await db.defrag()
      expect(await contains(path)).toBe(false)
      await context.close()
      expect(leftovers(path)).toEqual([])
      for (const name of await readdir(directory)) {
        expect(await contains(join(directory, name)), name).toBe(false)
      }
      await context.open()
      expect(context.db.bucket('b').count()).toBe(400)
    }, smallPages),
  )
})

describe('pages at their limits', () => {
  test.each([1024, 4096, 65_536])(
    'of %i bytes hold keys of every length up to 32,768, with no value and with one',
    (pageSize) =>
      withDatabase(
        async (context) => {
          const lengths = [1, 255, 256, pageSize / 4, pageSize - 33, pageSize - 32, pageSize - 31]
          lengths.push(pageSize, 32_766, 32_767, 32_768)
          const keys = [...new Set(lengths.filter((length) => length <= 32_768))].flatMap(
            (length) => ['a', 'b'].map((letter) => letter.repeat(length)),
          )
          for (const key of keys) {
            void context.db.bucket('b').put(key, '')
            void context.db.bucket('c').put(key, key)
          }
          for (const commit of [() => context.db.checkpoint(), () => context.db.defrag()]) {
            await commit()
            expect((await context.db.check()).issues).toEqual([])
            for (const key of keys) {
              expect(context.db.bucket('b').get(key)?.length).toBe(0)
              expect(String(context.db.bucket('c').get(key)) === key).toBe(true)
            }
            expect([...context.db.bucket('b', { key: 'utf8' }).keys()]).toEqual(keys.toSorted())
          }
          for (const key of keys) void context.db.bucket('b').delete(key)
          await context.reopen()
          expect([context.db.bucket('b').count(), context.db.bucket('c').count()]).toEqual([
            0,
            keys.length,
          ])
        },
        { pageSize },
      )(),
  )

  test('that were cut off behind the newest commit, at any byte, are not missed', () =>
    inDirectory(async (directory) => {
      const path = join(directory, 'data.db')
      const db = await open(path, smallPages)
      for (let n = 0; n < 100; n++) void db.bucket('b').put(`k${n}`, 'v'.repeat(50))
      await db.checkpoint()
      const hash = await db.hash()
      const grown = await readFile(path)
      await db.close()
      const used = Math.max(...pagesInUse(grown).map(({ offset, bytes }) => offset + bytes))
      expect(grown.length).toBeGreaterThan(used + 4096)
      const cut = join(directory, 'cut.db')
      for (const extra of [0, 1, 511, 512, 1023, 1024, 4095]) {
        await writeFile(cut, grown.subarray(0, used + extra))
        await verifyFile(cut, hash)
        await (await open(cut)).close()
        await verifyFile(cut, hash)
      }
    }))
})
