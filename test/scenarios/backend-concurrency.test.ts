// What etcd's backend asks of several that meet: who may write, who takes over from a process that
// dies in a defragmentation, who reads while files are switched. Each is named after its
// counterpart there.

import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { open, type Database } from '../../lib/index.ts'
import { Child } from '../support/child.ts'
import {
  codeOf,
  defragWith,
  inDirectory,
  leftovers,
  pausePoints,
  refusalOf,
  smallPages,
  verifyFile,
  withDatabase,
} from '../support/with-database.ts'

describe('TestLockVerify: nobody writes who may not', () => {
  test(
    'a transaction that has ended, in any way, takes no write',
    withDatabase(async ({ db }) => {
      const ended: Parameters<Parameters<Database['update']>[0]>[0][] = []
      await db.update((tx) => void ended.push(tx))
      await db.update(async (tx) => void ended.push(tx))
      const failure = db.update((tx) => {
        ended.push(tx)
        throw new Error('rolled back')
      })
      await expect(failure).rejects.toThrow('rolled back')
      for (const tx of ended)
        expect(refusalOf(() => tx.bucket('b').put('k', 'v'))).toBe('ERR_TX_CLOSED')
      expect(ended.length).toBe(3)
      expect(db.bucket('b').exists).toBe(false)
    }),
  )

  test(
    'updates have the right to write one after the other',
    withDatabase(async ({ db }) => {
      const log: string[] = []
      const write = (name: string): Promise<void> =>
        db.update(async (tx) => {
          log.push(`${name} begins`)
          await db.flush()
          tx.bucket('b').put('last', name)
          log.push(`${name} ends`)
        })
      await Promise.all(['a', 'b', 'c'].map(write))
      expect(log).toEqual(['a', 'b', 'c'].flatMap((name) => [`${name} begins`, `${name} ends`]))
      expect(String(db.bucket('b').get('last'))).toBe('c')
    }),
  )

  test(
    'another process, a second open and a reader have not got it',
    withDatabase(async (context) => {
      await context.db.bucket('b').put('k', 'v')
      expect(await codeOf(() => open(context.path))).toBe('ERR_LOCKED')
      await using child = new Child('hold', [context.path, JSON.stringify({ lockTimeoutMs: 1 })])
      expect(await child.line()).toContain('ERR_LOCKED')
      const reader = await context.reopen({ readOnly: true })
      expect(refusalOf(() => reader.bucket('b').put('k', 'w'))).toBe('ERR_READ_ONLY')
      expect(await codeOf(() => reader.update(() => {}))).toBe('ERR_READ_ONLY')
      expect(String(reader.bucket('b').get('k'))).toBe('v')
    }),
  )
})

describe('TestFailoverOnDefrag: the process dies in the middle, the next one takes over', () => {
  test.concurrent.for(pausePoints)('at %s', (point, { expect }) =>
    inDirectory(async (directory) => {
      const path = join(directory, 'data.db')
      await using child = new Child('exits', [path, `held ${point}`, 'SIGKILL'])
      child.release()
      const lines = await child.rest()
      expect(await child.exit(), child.errors).toEqual({ code: null, signal: 'SIGKILL' })
      const acknowledged = lines.flatMap((line) => /^ack (.*)$/.exec(line)?.slice(1) ?? [])
      expect(acknowledged.length).toBeGreaterThanOrEqual(20)
      const takeOver = async (run: (db: Database) => Promise<unknown>): Promise<string> => {
        await using db = await open(path)
        expect(db.bucket('b').getMany(acknowledged).map(String)).toEqual(acknowledged)
        await run(db)
        return await db.hash()
      }
      const taken = await takeOver((db) => db.bucket('b').put('taken over', 'v'))
      const hash = await takeOver((db) => db.defrag())
      expect(hash).toBe(taken)
      expect(leftovers(path)).toEqual([])
      await verifyFile(path, hash)
    }),
  )
})

describe('five readers during the switch', () => {
  const accounts = 100
  const opening = 1000
  const points = pausePoints.slice(pausePoints.indexOf('before-publish'))

  /** Reads all accounts, a few at a time. */
  class Reader {
    entries = 0
    sum = 0
    readonly #iterator: Iterator<readonly [string, string]>

    constructor(db: Database) {
      const bucket = db.bucket('accounts', { key: 'utf8', value: 'utf8' })
      this.#iterator = bucket.range()[Symbol.iterator]()
    }

    /** False: there are no more. */
    step(): boolean {
      const next = this.#iterator.next()
      if (next.done === true) return false
      this.entries++
      this.sum += Number(next.value[1])
      return true
    }
  }

  test(
    'each sees one state, whole, wherever in it it begins',
    withDatabase(async ({ db }) => {
      const bucket = db.bucket('accounts', { value: 'utf8' })
      for (let n = 0; n < accounts; n++) void bucket.put(`${n}`.padStart(3, '0'), `${opening}`)
      await db.checkpoint()
      const readers: Reader[] = []
      const met: string[] = []
      const transfer = (): Promise<void> =>
        db.update((tx) => {
          const inside = tx.bucket('accounts', { value: 'utf8' })
          inside.put('000', `${Number(inside.get('000')) - met.length}`)
          inside.put('099', `${Number(inside.get('099')) + met.length}`)
        })
      const pausePoint = async (at: (typeof pausePoints)[number]): Promise<void> => {
        if (!points.includes(at)) return
        met.push(at)
        for (let n = 0; n < 5; n++) readers.push(new Reader(db))
        for (const reader of readers) reader.step()
        await transfer()
        for (const reader of readers) reader.step()
      }
      await defragWith(db, { pausePoint })
      expect(met).toEqual(points)
      expect(readers.length).toBe(5 * points.length)
      for (const reader of readers) while (reader.step());
      for (const { entries, sum } of readers) {
        expect({ entries, sum }).toEqual({ entries: accounts, sum: accounts * opening })
      }
    }, smallPages),
  )
})
