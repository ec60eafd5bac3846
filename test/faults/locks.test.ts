// Who may have a file open at the same time: one for writing, or any number for reading.

import { readdirSync, readlinkSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { open } from '../../lib/index.ts'
import { Child } from '../support/child.ts'
import { expectRefusal } from '../support/refusal.ts'
import { patienceMs } from '../support/tiers.ts'
import { describeIf } from '../support/tools.ts'
import {
  holdDefragAt,
  inDirectory,
  sharedJudge,
  smallPages,
  withDatabase,
} from '../support/with-database.ts'

/** Whether another process has this file open, that it may still be waiting for. */
function isOpenElsewhere(path: string): boolean {
  const others = readdirSync('/proc').filter((pid) => /^\d+$/.test(pid) && pid !== `${process.pid}`)
  return others.some((pid) => {
    try {
      const folder = `/proc/${pid}/fd`
      return readdirSync(folder).some((name) => readlinkSync(`${folder}/${name}`) === path)
    } catch {
      return false // it has ended, or is not ours
    }
  })
}

describe('in one process', () => {
  test(
    'a file opens for writing once',
    withDatabase(async (context) => {
      const error = await expectRefusal('ERR_LOCKED', () => open(context.path))
      expect(error.message).toContain(context.path)
      await expectRefusal('ERR_LOCKED', () => open(context.path, { readOnly: true }))
      await expectRefusal('ERR_LOCKED', () => open(context.path, { lockTimeoutMs: 30 }))
      await context.reopen()
    }),
  )

  test(
    'a file opens for reading any number of times, and then not for writing',
    withDatabase(async (context) => {
      await context.db.bucket('b').put('k', 'v')
      const one = await context.reopen({ readOnly: true })
      const two = await open(context.path, { readOnly: true })
      expect([one, two].map((db) => String(db.bucket('b').get('k')))).toEqual(['v', 'v'])
      await expectRefusal('ERR_LOCKED', () => open(context.path))
      await one.close()
      await expectRefusal('ERR_LOCKED', () => open(context.path))
      expect(String(two.bucket('b').get('k'))).toBe('v')
      await two.close()
      await context.reopen()
    }),
  )

  test(
    'whoever waits gets it when it is released',
    withDatabase(async (context) => {
      const waiting = open(context.path, { lockTimeoutMs: patienceMs })
      await context.db.bucket('b').put('k', 'v')
      await context.close()
      const db = await waiting
      expect(String(db.bucket('b').get('k'))).toBe('v')
      await db.close()
      await context.open()
    }),
  )

  test(
    'whoever waits through a defragmentation gets the new file',
    withDatabase(async (context) => {
      const { db } = context
      for (let n = 0; n < 500; n++) void db.bucket('b').put(`k${n}`, 'v')
      const waiting = open(context.path, { lockTimeoutMs: patienceMs })
      await db.defrag()
      await db.bucket('b').put('after', 'v')
      const hash = await db.hash()
      await context.close()
      const next = await waiting
      expect(await next.hash()).toBe(hash)
      await next.close()
      await context.open()
    }, smallPages),
  )
})

describe('between processes', () => {
  test(
    'a file that another process writes is ERR_LOCKED, and free when that has ended',
    withDatabase(async (context) => {
      await context.close()
      await using child = new Child('hold', [context.path])
      expect(await child.line()).toBe('open')
      await expectRefusal('ERR_LOCKED', () => open(context.path))
      await expectRefusal('ERR_LOCKED', () => open(context.path, { readOnly: true }))
      const waiting = open(context.path, { lockTimeoutMs: patienceMs })
      child.release()
      await (await waiting).close()
      expect((await child.exit()).code).toBe(0)
      await context.open()
    }),
  )

  test(
    'a file that another process only reads can be read, not written',
    withDatabase(async (context) => {
      await context.db.bucket('b').put('k', 'v')
      await context.reopen({ readOnly: true })
      await using child = new Child('hold', [context.path, '{"readOnly":true}'])
      expect(await child.line()).toBe('open')
      await context.close()
      await expectRefusal('ERR_LOCKED', () => open(context.path))
      await (await open(context.path, { readOnly: true })).close()
      child.release()
      await child.exit()
      await context.open()
    }),
  )

  test(
    'a process that is killed holds nothing any more',
    withDatabase(async (context) => {
      await context.close()
      await using child = new Child('hold', [context.path])
      expect(await child.line()).toBe('open')
      child.kill()
      await child.exit()
      await context.open()
    }),
  )
})

describeIf(['go', 'linux'], 'between us and bbolt', () => {
  test(
    'a file that bbolt writes is ERR_LOCKED, one that it reads can be read',
    withDatabase(async (context) => {
      await context.db.bucket('b').put('k', 'v')
      await context.close()
      const bbolt = await sharedJudge()
      {
        await using _ = await bbolt.lock(context.path)
        await expectRefusal('ERR_LOCKED', () => open(context.path))
        await expectRefusal('ERR_LOCKED', () => open(context.path, { readOnly: true }))
      }
      {
        await using _ = await bbolt.lock(context.path, 'ro')
        await expectRefusal('ERR_LOCKED', () => open(context.path))
        await (await open(context.path, { readOnly: true })).close()
      }
      await context.open()
    }),
  )

  test(
    'a file that we write is locked for bbolt, one that we read is not',
    withDatabase(async (context) => {
      const bbolt = await sharedJudge()
      await context.db.bucket('b').put('k', 'v')
      expect((await bbolt.waitOpen(context.path, 10)).error?.name).toBe('ErrTimeout')
      await context.reopen({ readOnly: true })
      expect((await bbolt.check(context.path)).ok).toBe(true)
      expect((await bbolt.waitOpen(context.path, 10)).error?.name).toBe('ErrTimeout')
    }),
  )

  test(
    'a file is locked for bbolt at every moment of a defragmentation',
    withDatabase(async ({ db, path }) => {
      const bbolt = await sharedJudge()
      for (let n = 0; n < 500; n++) void db.bucket('b').put(`k${n}`, 'v')
      const points = ['before-publish', 'after-publish', 'before-install', 'after-install'] as const
      for (const point of [...points, 'before-clean'] as const) {
        const held = holdDefragAt(db, point)
        await held.reached
        expect((await bbolt.waitOpen(path, 10)).error?.name, point).toBe('ErrTimeout')
        held.release()
        await held.report
      }
      expect((await bbolt.waitOpen(path, 10)).error?.name).toBe('ErrTimeout')
    }, smallPages),
  )

  test(
    'a bbolt that waits for the old file fails instead of writing into what has no name',
    withDatabase(async (context) => {
      const { db, path } = context
      const bbolt = await sharedJudge()
      for (let n = 0; n < 500; n++) void db.bucket('b').put(`k${n}`, 'v')
      await db.checkpoint()
      const waiting = bbolt.waitOpen(path, patienceMs)
      while (!isOpenElsewhere(path)) await db.flush()
      await db.defrag()
      await db.bucket('b').put('after', 'v')
      const hash = await db.hash()
      await context.close()
      const { opened, error } = await waiting
      expect(opened, 'it opened what has no name any more').toBe(false)
      expect(error?.name).not.toBe('ErrTimeout')
      expect((await bbolt.dump(path)).sha256).toBe(hash)
      await context.open()
    }, smallPages),
  )
})

test(
  'a new file is never seen half made: everybody who opens it at once gets a database or a lock',
  withDatabase(async ({ directory }) => {
    const path = join(directory, 'raced.db')
    const results = await Promise.allSettled(Array.from({ length: 8 }, () => open(path)))
    const opened = results.filter((result) => result.status === 'fulfilled')
    expect(opened.length).toBe(1)
    for (const result of results) {
      if (result.status === 'rejected') expect(result.reason).toMatchObject({ code: 'ERR_LOCKED' })
      else await result.value.close()
    }
  }),
)

test('opening leaves no threads behind', () =>
  inDirectory(async (directory) => {
    const threads = async (): Promise<number> => (await readdir('/proc/self/task')).length
    const path = join(directory, 'data.db')
    await (await open(path)).close()
    const before = await threads()
    for (let n = 0; n < 40; n++) await (await open(path)).close()
    for (let n = 0; n < 40; n++) await open(directory).catch(() => {})
    expect(await threads()).toBeLessThan(before + 10)
  }))
