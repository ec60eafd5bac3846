// A journal that a crash left behind: replayed when it belongs to the file, whole up to its torn
// end; refused when it belongs to another state of the file or is damaged before its end.

import {
  copyFile,
  mkdir,
  readdir,
  readFile,
  rename,
  stat,
  truncate,
  writeFile,
} from 'node:fs/promises'
import { basename, join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { open, type Database } from '../../lib/index.ts'
import { flipByte } from '../support/page-file.ts'
import { expectOpenRefusal } from '../support/refusal.ts'
import { describeIf } from '../support/tools.ts'
import {
  inDirectory,
  leftovers,
  openFilesIn,
  sharedJudge,
  smallPages,
  untimed,
  verifyFile,
} from '../support/with-database.ts'

const frameMagic = Buffer.from('HFRM')
const frameHeaderBytes = 40

/** What a crash at this moment would leave, copied to `target`; the journal's newest segment. */
async function crash(db: Database, target: string): Promise<string> {
  await mkdir(target, { recursive: true })
  const folder = join(db.path, '..')
  const names = (await readdir(folder)).filter((name) => name.startsWith(basename(db.path)))
  for (const name of names) await copyFile(join(folder, name), join(target, name))
  const segments = names.filter((name) => name.includes('-journal-')).toSorted()
  return join(target, segments.at(-1) ?? 'there is no journal')
}

interface Crashed {
  readonly directory: string
  readonly path: string
  readonly segment: string
  /** Another copy of the same state. */
  readonly again: (name: string) => Promise<Omit<Crashed, 'again'>>
}

const keyCount = 20
const keyOf = (n: number): string => `k${String(n).padStart(2, '0')}`

/** A database with a part in the page file and `keyCount` acknowledged writes in the journal. */
async function withCrashed(run: (crashed: Crashed) => Promise<void>): Promise<void> {
  await inDirectory(async (directory) => {
    const live = join(directory, 'live')
    await mkdir(live)
    const db = await open(join(live, 'data.db'), {
      ...smallPages,
      ...untimed,
      checkpointBytes: 1 << 20,
    })
    for (let n = 0; n < 100; n++) void db.bucket('file').put(`f${n}`, 'v'.repeat(30))
    await db.checkpoint()
    for (let n = 0; n < keyCount; n++) await db.bucket('b').put(keyOf(n), `value ${n} `.repeat(9))
    const again: Crashed['again'] = async (name) => {
      const target = join(directory, name)
      const segment = await crash(db, target)
      return { path: join(target, 'data.db'), segment, directory: target }
    }
    const first = await again('crashed')
    try {
      await run({ ...first, again })
    } finally {
      await db.close()
    }
    expect(openFilesIn(directory)).toEqual([])
  })
}

async function keysOf(path: string, readOnly: boolean): Promise<string[]> {
  const db = await open(path, { readOnly })
  try {
    expect(db.bucket('file').count()).toBe(100)
    expect((await db.check()).issues).toEqual([])
    return [...db.bucket('b', { key: 'utf8' }).keys()]
  } finally {
    await db.close()
  }
}

const allKeys = Array.from({ length: keyCount }, (_, n) => keyOf(n))

async function frameOffsets(segment: string): Promise<number[]> {
  const bytes = await readFile(segment)
  const offsets: number[] = []
  for (let at = bytes.indexOf(frameMagic); at !== -1; at = bytes.indexOf(frameMagic, at + 1)) {
    offsets.push(at)
  }
  return offsets
}

describe('a journal that belongs to the file', () => {
  test('is replayed into the file and removed', () =>
    withCrashed(async ({ path }) => {
      expect(await keysOf(path, false)).toEqual(allKeys)
      expect(leftovers(path)).toEqual([])
      await verifyFile(path)
    }))

  test('is replayed in memory by a reader, who changes nothing', () =>
    withCrashed(async ({ path, directory }) => {
      const read = async (): Promise<string[]> => {
        const files = (await readdir(directory)).map((name) => readFile(join(directory, name)))
        return (await Promise.all(files)).map((bytes) => bytes.toString('base64'))
      }
      const before = await read()
      expect(await keysOf(path, true)).toEqual(allKeys)
      expect(await keysOf(path, true)).toEqual(allKeys)
      expect(await read()).toEqual(before)
      expect(await keysOf(path, false)).toEqual(allKeys)
    }))

  test('goes with its file to another directory', () =>
    withCrashed(async ({ path, directory }) => {
      const moved = `${directory}-moved`
      await rename(directory, moved)
      expect(await keysOf(join(moved, basename(path)), false)).toEqual(allKeys)
    }))

  test('is not needed after a close: a clean file has none', () =>
    withCrashed(async ({ path }) => {
      await (await open(path)).close()
      await verifyFile(path)
      expect(await keysOf(path, true)).toEqual(allKeys)
    }))
})

describe('a torn end', () => {
  test('at every offset of the last frame costs that frame alone, which nobody had been told', () =>
    withCrashed(async ({ segment, again }) => {
      const last = (await frameOffsets(segment)).at(-1)!
      const bytes = await readFile(segment)
      const bodyBytes = Number(bytes.readBigUInt64LE(last + 24))
      const end = last + frameHeaderBytes + bodyBytes
      const cuts = [last, last + 1, last + 4, last + 20, last + frameHeaderBytes - 1]
      cuts.push(last + frameHeaderBytes, last + frameHeaderBytes + 1, end - 10, end - 1)
      for (const [index, cut] of cuts.entries()) {
        const zeroed = await again(`zeroed-${index}`)
        await writeFile(
          zeroed.segment,
          Buffer.concat([bytes.subarray(0, cut), Buffer.alloc(bytes.length - cut)]),
        )
        expect(await keysOf(zeroed.path, true), `zeros from ${cut}`).toEqual(allKeys.slice(0, -1))
        expect(await keysOf(zeroed.path, false), `zeros from ${cut}`).toEqual(allKeys.slice(0, -1))
        const short = await again(`short-${index}`)
        await truncate(short.segment, cut)
        expect(await keysOf(short.path, false), `cut at ${cut}`).toEqual(allKeys.slice(0, -1))
        await verifyFile(short.path)
      }
      const whole = await again('whole')
      await truncate(whole.segment, Math.ceil(end / 8) * 8)
      expect(await keysOf(whole.path, false)).toEqual(allKeys)
    }))

  test('that is noise instead of zeros is an end as well', () =>
    withCrashed(async ({ segment, path }) => {
      const bytes = await readFile(segment)
      const last = (await frameOffsets(segment)).at(-1)!
      const end = last + frameHeaderBytes + Number(bytes.readBigUInt64LE(last + 24))
      for (let at = Math.ceil(end / 8) * 8; at < bytes.length; at++) bytes[at] = (at * 131) & 0xff
      await writeFile(segment, bytes)
      expect(await keysOf(path, false)).toEqual(allKeys)
    }))
})

describe('damage before the end', () => {
  test('is ERR_JOURNAL_CORRUPT, naming file and offset, and nothing is thrown away', () =>
    withCrashed(async ({ segment, again }) => {
      const frames = await frameOffsets(segment)
      expect(frames.length).toBeGreaterThanOrEqual(keyCount)
      const places = [
        frames.at(-10)!,
        frames.at(-10)! + 9,
        frames.at(-10)! + frameHeaderBytes + 3,
        frames.at(-5)! + frameHeaderBytes,
      ]
      for (const [index, place] of places.entries()) {
        const copy = await again(`damaged-${index}`)
        await flipByte(copy.segment, place)
        const before = await readdir(copy.directory)
        for (const readOnly of [false, true]) {
          const error = await expectOpenRefusal('ERR_JOURNAL_CORRUPT', copy.directory, () =>
            open(copy.path, { readOnly }),
          )
          expect(error.message).toContain(basename(copy.segment))
          expect(error.message).toMatch(/\b\d{3,}\b/)
        }
        expect(await readdir(copy.directory)).toEqual(before)
        await flipByte(copy.segment, place)
        expect(await keysOf(copy.path, false)).toEqual(allKeys)
      }
    }))
})

describe('a journal that belongs to something else', () => {
  test('to another database is ERR_JOURNAL_STALE, and moved away it is no hindrance', () =>
    withCrashed(async ({ segment, directory }) => {
      const other = join(directory, 'other.db')
      await (await open(other)).close()
      const misplaced = `${other}-journal-${segment.slice(-8)}`
      await copyFile(segment, misplaced)
      for (const readOnly of [false, true]) {
        const error = await expectOpenRefusal('ERR_JOURNAL_STALE', directory, () =>
          open(other, { readOnly }),
        )
        expect(error.message).toContain(misplaced)
        expect(error.message).toContain(`hotbolt recover ${other} --list`)
        expect(error.message).toContain('--apply-stale')
      }
      await rename(misplaced, join(directory, 'moved away'))
      await verifyFile(other)
    }))

  describeIf('go', 'after a commit by bbolt', () => {
    test('is ERR_JOURNAL_STALE: what bbolt wrote is never overwritten', () =>
      withCrashed(async ({ path, segment, directory }) => {
        const bbolt = await sharedJudge()
        const put = { kind: 'put', path: ['foreign'], key: 'k', value: 'v' } as const
        expect(await bbolt.script(path, [{ ops: [put] }])).toEqual([])
        for (const readOnly of [false, true]) {
          const error = await expectOpenRefusal('ERR_JOURNAL_STALE', directory, () =>
            open(path, { readOnly }),
          )
          expect(error.message).toContain(basename(segment))
        }
        expect(leftovers(path).length).toBeGreaterThan(0)
        for (const name of leftovers(path)) {
          await rename(join(directory, name), join(directory, `away ${name}`))
        }
        const db = await open(path)
        expect(db.buckets({ key: 'utf8' })).toEqual(['file', 'foreign'])
        await db.close()
        await verifyFile(path)
      }))

    test('of nothing that is replaced by our next one changes nothing for us', () =>
      withCrashed(async ({ path }) => {
        await (await open(path)).close()
        const bbolt = await sharedJudge()
        const put = { kind: 'put', path: ['b'], key: 'k99', value: 'v' } as const
        await bbolt.script(path, [{ ops: [put] }])
        expect(await keysOf(path, false)).toEqual([...allKeys, 'k99'])
      }))
  })
})

describe('files that a killed defragmentation left', () => {
  test('are removed by the next open for writing and never taken for the database', () =>
    withCrashed(async ({ path, directory }) => {
      const stale = `${path}-defrag-${'0123456789abcdef'.repeat(2)}`
      const db = await open(path)
      const hash = await db.hash()
      await db.close()
      // A complete database with other content: still nothing but a leftover.
      const other = await open(join(directory, 'other.db'))
      await other.bucket('wrong').put('k', 'v')
      await other.close()
      await copyFile(join(directory, 'other.db'), stale)
      const reader = await open(path, { readOnly: true })
      expect(await reader.hash()).toBe(hash)
      await reader.close()
      expect(leftovers(path)).toEqual([basename(stale)])
      const writer = await open(path)
      expect(leftovers(path)).toEqual([])
      expect(await writer.hash()).toBe(hash)
      await writer.close()
      await verifyFile(path, hash)
    }))

  test('are told by their whole name: what only looks similar is left alone', () =>
    withCrashed(async ({ path, directory }) => {
      const digits = '0123456789abcdef'.repeat(2)
      const similar = [
        `${path}-defrag-${digits.slice(1)}`,
        `${path}-defrag-${digits}0`,
        `${path}-defrag-${digits.toUpperCase()}`,
        `${path}-defrag-${digits}.bak`,
        join(directory, `other.db-defrag-${digits}`),
      ]
      for (const name of similar) await writeFile(name, 'mine')
      const folder = `${path}-defrag-${digits}`
      await mkdir(folder)
      await (await open(path)).close()
      expect((await stat(folder)).isDirectory()).toBe(true)
      for (const name of similar) expect(String(await readFile(name))).toBe('mine')
    }))
})
