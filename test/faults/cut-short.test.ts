// A file that somebody cuts short, or writes over, while it is open and mapped: every call gives an
// error or an answer, and the process lives.

import { copyFile, truncate } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { open, type Database } from '../../lib/index.ts'
import { runChild } from '../support/child.ts'
import { seed } from '../support/property.ts'
import { countOf } from '../support/tiers.ts'
import { codeOf, damagedOnPurpose, inDirectory, verifyFile } from '../support/with-database.ts'

const large = 'x'.repeat(300_000)

async function makeDatabase(path: string): Promise<void> {
  const db = await open(path)
  const bucket = db.bucket('b')
  void bucket.put('large', large)
  for (let n = 0; n < 5000; n++) void bucket.put(`k${n}`, `value ${n}`.repeat(5))
  for (let n = 0; n < 500; n++) void bucket.bucket('nested').put(`n${n}`, `value ${n}`)
  await db.close()
}

const walk = (db: Database): number => [...db.bucket('b').range()].length

/** What reads or writes the page file, each of which has to notice. */
const calls: Readonly<Record<string, (db: Database) => unknown>> = {
  get: (db) => db.bucket('b').get('k4999'),
  'get of a large value': (db) => db.bucket('b').get('large'),
  getInto: (db) => db.bucket('b').getInto('k4999', Buffer.alloc(100)),
  getMany: (db) => db.bucket('b').getMany(['k1', 'k4999']),
  has: (db) => db.bucket('b').has('k4999'),
  count: (db) => db.bucket('b').count(),
  'a range': walk,
  'a range backwards': (db) => [...db.bucket('b').range({ reverse: true })],
  'a nested bucket': (db) => db.bucket('b').bucket('nested').get('n1'),
  hash: (db) => db.hash(),
  check: (db) => db.check(),
  view: (db) => db.view((snapshot) => snapshot.bucket('b').get('k4999')),
  update: (db) => db.update((tx) => tx.bucket('b').get('k4999')),
  put: (db) => db.bucket('b').put('k1', 'v'),
  delete: (db) => db.bucket('b').delete('k1'),
  defrag: (db) => db.defrag(),
}

describe('a file that is cut short while it is open', () => {
  test.each(Object.entries(calls))('%s gives an error', (_, call) =>
    inDirectory(async (directory) => {
      const path = join(directory, 'data.db')
      await makeDatabase(path)
      const db = await open(path)
      try {
        await truncate(damagedOnPurpose(path), 8192)
        expect(await codeOf(() => call(db))).toBe('ERR_TRUNCATED')
        // From then on, whatever is asked.
        expect(await codeOf(() => db.bucket('b').get('k1'))).toBe('ERR_TRUNCATED')
        expect(await codeOf(() => db.bucket('b').put('k1', 'v'))).toMatch(
          /^ERR_(TRUNCATED|POISONED)$/,
        )
        expect(await codeOf(() => db.bucket('b').put('k1', 'v'))).toBe('ERR_POISONED')
      } finally {
        await db.close().catch(() => {})
      }
      expect(await codeOf(() => open(path))).toBe('ERR_TRUNCATED')
    }),
  )

  test('what was written before in the journal is not merged into what is left', () =>
    inDirectory(async (directory) => {
      const path = join(directory, 'data.db')
      await makeDatabase(path)
      const db = await open(path)
      await db.bucket('b').put('k1', 'written before')
      await truncate(damagedOnPurpose(path), 8192)
      expect(await codeOf(() => db.checkpoint())).toBe('ERR_TRUNCATED')
      expect(await codeOf(() => db.close())).toBe('ERR_POISONED')
    }))

  test('a cut that nobody has read is found by the next checkpoint, not filled with zeros', () =>
    inDirectory(async (directory) => {
      const path = join(directory, 'data.db')
      // The large value lies at the end, and what a put looks at in the pages before it.
      for (const bucket of ['small', 'small', 'large', 'small', 'small', 'small']) {
        const db = await open(path)
        await db.bucket(bucket).put('k', Buffer.alloc(bucket === 'large' ? 3_000_000 : 10, 'x'))
        await db.close()
      }
      const db = await open(path)
      await truncate(damagedOnPurpose(path), 1_000_000)
      // More than was cut: the file would grow over the hole.
      for (let n = 0; n < 20; n++) void db.bucket('large').put(`y${n}`, Buffer.alloc(400_000, 'y'))
      expect(await codeOf(() => db.checkpoint())).toBe('ERR_TRUNCATED')
      expect(await codeOf(() => db.close())).toBe('ERR_POISONED')
    }))

  test('a snapshot of a file that a defragmentation replaced is not touched by it', () =>
    inDirectory(async (directory) => {
      const path = join(directory, 'data.db')
      await makeDatabase(path)
      const db = await open(path)
      const snapshot = db.snapshot()
      await db.defrag()
      await truncate(damagedOnPurpose(path), 8192)
      expect(snapshot.bucket('b').count()).toBe(5001)
      expect(await codeOf(() => walk(db))).toBe('ERR_TRUNCATED')
      snapshot.close()
      await db.close().catch(() => {})
    }))
})

test('a program that listens to SIGBUS, or does no more, still gets an error', () =>
  inDirectory(async (directory) => {
    const path = join(directory, 'data.db')
    await makeDatabase(path)
    for (const number of [1, 2, 3]) damagedOnPurpose(`${path}.${number}`)
    const { codes, signals } = JSON.parse((await runChild('bus-error', [path])).join('')) as {
      codes: string[]
      signals: number
    }
    expect(codes).toEqual(['ERR_TRUNCATED', 'ERR_TRUNCATED', 'ERR_TRUNCATED'])
    expect(signals).toBe(1)
  }))

test('a file that is written over while it is open gives errors or answers', () =>
  inDirectory(async (directory) => {
    const path = join(directory, 'data.db')
    const other = join(directory, 'other.db')
    await makeDatabase(path)
    const db = await open(other, { pageSize: 1024 })
    for (let n = 0; n < 20_000; n++) void db.bucket('c').put(`other ${n}`, `value ${n}`.repeat(9))
    await db.close()
    const victim = await open(path, { readOnly: true })
    await copyFile(other, path)
    const codes = new Set<string | undefined>()
    for (const call of Object.values(calls)) codes.add(await codeOf(() => call(victim)))
    await victim.close()
    codes.delete(undefined)
    expect(codes).toEqual(new Set(['ERR_CORRUPT', 'ERR_READ_ONLY']))
    await verifyFile(path)
  }))

const events = countOf({ short: 60, ci: 300, long: 10_000 }, 'HOTBOLT_CUTS_SHORT')

test(`${events} times cut short under four threads that scan it`, () =>
  inDirectory(async (directory) => {
    const path = join(directory, 'data.db')
    await makeDatabase(damagedOnPurpose(path))
    const args = [path, String(events), String(seed)]
    const { codes, scans } = JSON.parse((await runChild('cut-short', args)).join('')) as {
      codes: Record<string, number>
      scans: number
    }
    console.info(`${scans} scans to the end, seed ${seed}; ${JSON.stringify(codes)}`)
    expect(codes['ERR_TRUNCATED']).toBeGreaterThan(0)
    const known = ['ERR_TRUNCATED', 'ERR_IO', 'ERR_CORRUPT', 'ERR_NOT_A_DATABASE', 'ERR_CHECKSUM']
    expect(Object.keys(codes).filter((code) => !known.includes(code))).toEqual([])
  }))
