// Copies of a database share its id and may go different ways. A journal goes on top of the history
// that it continues and of no other, in whatever way a file has come into its place.

import { copyFile, cp, link, mkdir, readdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { open, type Database } from '../../lib/index.ts'
import { copyAsCrashed } from '../support/crashed.ts'
import { expectOpenRefusal } from '../support/refusal.ts'
import { damagedOnPurpose, inDirectory, leftovers, untimed } from '../support/with-database.ts'

async function write(db: Database, name: string, count: number): Promise<void> {
  for (let n = 0; n < count; n++) await db.bucket('b').put(`${name} ${n}`, name)
}

/** Opens, writes, and leaves what a killed process leaves, in `directory`. */
async function killedAfter(
  path: string,
  name: string,
  count: number,
  into: string,
): Promise<string> {
  const db = await open(path, untimed)
  await write(db, name, count)
  const left = await copyAsCrashed(db, into)
  await db.close()
  return left
}

async function closedAfter(path: string, name: string, count: number): Promise<void> {
  const db = await open(path, untimed)
  await write(db, name, count)
  await db.close()
}

async function namesIn(path: string, readOnly = false): Promise<string[]> {
  const db = await open(path, { readOnly })
  const values = new Set([...db.bucket('b', { value: 'utf8' }).range()].map(([, value]) => value))
  await db.close()
  return [...values].toSorted()
}

/** What a killed process leaves: one part in the file, another in its journal. */
async function withKilled(
  run: (place: { directory: string; path: string; base: string }) => Promise<void>,
): Promise<void> {
  await inDirectory(async (directory) => {
    const base = join(directory, 'base.db')
    await closedAfter(base, 'base', 5)
    const first = join(directory, 'first.db')
    await copyFile(base, first)
    const path = await killedAfter(first, 'first', 10, join(directory, 'killed'))
    expect(leftovers(path).length).toBeGreaterThan(0)
    await run({ directory, path, base })
  })
}

async function expectStale(path: string): Promise<void> {
  const before = await readdir(join(path, '..'))
  for (const readOnly of [true, false]) {
    await expectOpenRefusal('ERR_JOURNAL_STALE', path, () => open(path, { readOnly }))
  }
  expect(await readdir(join(path, '..'))).toEqual(before)
  damagedOnPurpose(path)
}

test.for([1, 5, 9, 10, 11, 50])(
  'beside a copy that took %i other transactions it is refused',
  (count) =>
    withKilled(async ({ path, base }) => {
      await closedAfter(base, 'second', count)
      await rename(base, path)
      await expectStale(path)
    }),
)

test('beside a copy of the file that nobody wrote to it is replayed', () =>
  withKilled(async ({ path, base }) => {
    await (await open(base)).close()
    await rename(base, path)
    expect(await namesIn(path, true)).toEqual(['base', 'first'])
    expect(await namesIn(path)).toEqual(['base', 'first'])
  }))

test('beside a file that went on under another name it is refused', () =>
  withKilled(async ({ directory, path }) => {
    const other = join(directory, 'other name.db')
    await link(path, other)
    await closedAfter(other, 'second', 3)
    await rm(other)
    await expectStale(path)
  }))

test('beside a copy that went on from the same journal it is refused where it has more', () =>
  withKilled(async ({ directory, path }) => {
    const copy = join(directory, 'copy')
    await cp(join(path, '..'), copy, { recursive: true })
    await closedAfter(join(copy, 'first.db'), 'second', 20)
    const third = await killedAfter(path, 'third', 2, join(directory, 'third'))
    await copyFile(join(copy, 'first.db'), third)
    await expectStale(third)
  }))

test('beside a copy that went on from all of it, it is covered', () =>
  withKilled(async ({ directory, path }) => {
    const copy = join(directory, 'copy')
    await cp(join(path, '..'), copy, { recursive: true })
    await closedAfter(join(copy, 'first.db'), 'second', 20)
    await copyFile(join(copy, 'first.db'), path)
    expect(await namesIn(path)).toEqual(['base', 'first', 'second'])
    expect(leftovers(path)).toEqual([])
  }))

test('beside a copy that was taken while it was being written it is refused', () =>
  inDirectory(async (directory) => {
    const db = await open(join(directory, 'first.db'), untimed)
    await write(db, 'base', 5)
    const early = await copyAsCrashed(db, join(directory, 'early'))
    await write(db, 'first', 5)
    const late = await copyAsCrashed(db, join(directory, 'late'))
    await db.close()
    await closedAfter(early, 'second', 3)
    await copyFile(early, late)
    await expectStale(late)
  }))

test.for([0, 3])('a second killed process goes on from the first, after %i checkpoints', (count) =>
  withKilled(async ({ directory, path }) => {
    await mkdir(join(directory, 'second'))
    const db = await open(path, untimed)
    for (let n = 0; n < count; n++) {
      await write(db, `checkpoint ${n}`, 2)
      await db.checkpoint()
    }
    await write(db, 'second', 3)
    const left = await copyAsCrashed(db, join(directory, 'second'))
    await db.close()
    const names = Array.from({ length: count }, (_, n) => `checkpoint ${n}`)
    expect(await namesIn(left, true)).toEqual(['base', ...names, 'first', 'second'])
    const third = await killedAfter(left, 'third', 1, join(directory, 'third'))
    expect(await namesIn(third)).toEqual(['base', ...names, 'first', 'second', 'third'])
  }),
)

test('after a defragmentation the file and its journal still belong together', () =>
  withKilled(async ({ directory, path }) => {
    const db = await open(path, untimed)
    await db.defrag()
    const quiet = await copyAsCrashed(db, join(directory, 'quiet'))
    await write(db, 'second', 3)
    await db.defrag()
    await write(db, 'third', 3)
    const left = await copyAsCrashed(db, join(directory, 'second'))
    await db.close()
    expect(await namesIn(quiet)).toEqual(['base', 'first'])
    expect(await namesIn(left)).toEqual(['base', 'first', 'second', 'third'])
  }))
