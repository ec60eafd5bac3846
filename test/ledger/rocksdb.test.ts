// The ledger, rows 33 to 38: what went wrong in rocksdb-js and what is built on it. See README.md
// in this folder.

import { once } from 'node:events'
import { copyFile, mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { turnOfEventLoop } from '../../lib/database/range.ts'
import { open } from '../../lib/index.ts'
import { startThread } from '../support/child.ts'
import { copyAsCrashed } from '../support/crashed.ts'
import { hashOf } from '../support/model.ts'
import { expectRefusal } from '../support/refusal.ts'
import {
  codeOf,
  holdDefragAt,
  inDirectory,
  leftovers,
  openFilesIn,
  smallPages,
  verifyFile,
  withDatabase,
} from '../support/with-database.ts'
import { endThreads } from './threads.ts'

describe('threads that end', () => {
  test(
    "rocksdb-js #741: a thread's end takes nothing from others that have the same file open",
    withDatabase(async (context) => {
      for (let n = 0; n < 500; n++) void context.db.bucket('b').put(`k${n}`, `value ${n}`)
      const hash = await context.db.hash()
      const db = await context.reopen({ readOnly: true })
      const snapshot = db.snapshot()
      for (let n = 0; n < 6; n++) {
        const iterator = db.bucket('b', { key: 'utf8' }).keys()[Symbol.iterator]()
        iterator.next()
        const data = { path: context.path, activity: 'reading', readOnly: true }
        const thread = startThread('ledger-thread', data)
        const ended = once(thread, 'exit')
        await once(thread, 'message')
        if (n % 2 === 0) await thread.terminate() // half-way; otherwise it ends by itself
        await ended
        let rest = 1
        while (iterator.next().done !== true) rest++
        expect(rest).toBe(500)
        expect([await db.hash(), hashOf(snapshot)]).toEqual([hash, hash])
      }
      snapshot.close()
      await context.reopen()
    }),
  )

  test(
    "rocksdb-js #741: a thread's end takes nothing from the transactions of others",
    withDatabase(async ({ db, directory }) => {
      let go = (): void => {}
      const gone = new Promise<void>((resolve) => (go = resolve))
      await db.bucket('b').put('k', 'v')
      const held = holdDefragAt(db, 'copy-started')
      await held.reached
      const update = db.update(async (tx) => {
        tx.bucket('b').put('inside', 'v')
        await gone
        expect(String(tx.bucket('b').get('k'))).toBe('v')
      })
      const path = join(directory, 'theirs', 'data.db')
      await mkdir(join(directory, 'theirs'))
      for (const activity of ['writing', 'leaking', 'exiting']) {
        const thread = startThread('ledger-thread', { path, activity })
        const ended = once(thread, 'exit')
        await once(thread, 'message')
        await thread.terminate()
        await ended
      }
      go()
      held.release()
      await Promise.all([update, held.report])
      expect(String(db.bucket('b').get('inside'))).toBe('v')
      await (await open(path)).close()
      await verifyFile(path)
    }),
  )

  test('rocksdb-js #672: a thread that never closes its database leaves no file or lock', () =>
    inDirectory(async (directory) => {
      const path = join(directory, 'data.db')
      for (let n = 0; n < 5; n++) {
        const thread = startThread('ledger-thread', { path, activity: 'leaking' })
        await once(thread, 'exit')
        expect(openFilesIn(directory)).toEqual([])
      }
      const db = await open(path)
      expect(db.bucket('b').get('k')?.length).toBe(100_000)
      await db.close()
      await verifyFile(path)
    }))

  test('rocksdb-js #665: a thread may end inside an event of its own database', () =>
    inDirectory(async (directory) => {
      const path = join(directory, 'data.db')
      await endThreads(path, 'defragmenting', 10)
      const db = await open(path)
      expect(leftovers(path).filter((name) => name.includes('-defrag-'))).toEqual([])
      expect(db.bucket('b').count()).toBeLessThanOrEqual(500)
      await db.close()
      await verifyFile(path)
    }))
})

describe('closing in the middle', () => {
  test('rocksdb-js #91: a close amid everything asynchronous waits for it, once', () =>
    inDirectory(async (directory) => {
      const path = join(directory, 'data.db')
      for (let round = 0; round < 5; round++) {
        const db = await open(path, { checkpointBytes: 4096 })
        for (let n = 0; n < 500; n++) void db.bucket('b').put(`k${n}`, Buffer.alloc(200, 'x'))
        const buffers = [...db.bucket('b').range({ prefix: 'k' })]
        const iteration = async (): Promise<void> => {
          for await (const _ of db.bucket('b').range()) void _
        }
        let release = (): void => {}
        const released = new Promise<void>((resolve) => (release = resolve))
        const kept = [
          db.flush(),
          db.checkpoint(),
          db.check(),
          db.hash(),
          db.update(async (tx) => {
            await released
            tx.bucket('b').put('updated', `${round}`)
          }),
        ]
        const ended = Promise.allSettled([db.defrag(), iteration()])
        const closes = [db.close(), db.close()]
        expect(closes[0]).toBe(closes[1])
        let isClosed = false
        const closed = Promise.all(closes).then(() => (isClosed = true))
        await ended
        for (let n = 0; n < 200; n++) await turnOfEventLoop()
        expect(isClosed, 'it waits for the update').toBe(false)
        release()
        await Promise.all([closed, ...kept])
        for (const outcome of await ended) {
          if (outcome.status === 'fulfilled') continue
          expect(['ERR_CLOSED', 'ERR_ABORTED']).toContain(outcome.reason.code)
        }
        // Memory that was handed out is the reader's own, whatever has been freed since.
        globalThis.gc?.()
        expect(buffers.every(([, value]) => value.equals(Buffer.alloc(200, 'x')))).toBe(true)
        expect(await codeOf(() => db.bucket('b').get('k'))).toBe('ERR_CLOSED')
        expect(leftovers(path)).toEqual([])
        expect(openFilesIn(directory)).toEqual([])
        const again = await open(path)
        expect(String(again.bucket('b').get('updated'))).toBe(`${round}`)
        await again.close()
      }
      await verifyFile(path)
    }))
})

describe('the journal', () => {
  test('harper #2016: a break before acknowledged writes is told, and nothing cut there', () =>
    inDirectory(async (directory) => {
      const live = await open(join(directory, 'data.db'), smallPages)
      for (let n = 0; n < 100; n++) await live.bucket('b').put(`k${n}`, 'v'.repeat(50))
      const path = await copyAsCrashed(live, join(directory, 'crashed'))
      const hash = await live.hash()
      await live.close()
      const [name] = leftovers(path)
      const journal = join(directory, 'crashed', name!)
      const [good, page] = [await readFile(journal), await readFile(path)]
      const at = good.indexOf('k50')
      const broken = Buffer.from(good)
      broken.fill(0, at - 40, at + 40)
      await writeFile(journal, broken)
      for (let attempt = 0; attempt < 3; attempt++) {
        const error = await expectRefusal('ERR_JOURNAL_CORRUPT', () => open(path))
        expect(error.message).toContain(basename(journal))
        // Neither the watermark nor the journal have moved to the break.
        expect((await readFile(journal)).equals(broken)).toBe(true)
        await expectRefusal('ERR_JOURNAL_CORRUPT', () => open(path, { readOnly: true }))
      }
      expect((await readFile(path)).subarray(0, 4096).equals(page.subarray(0, 4096))).toBe(true)
      await writeFile(journal, good)
      const db = await open(path)
      expect(await db.hash()).toBe(hash)
      await db.close()
      await verifyFile(path, hash)
    }))

  test('harper #2063: a segment that is missing is told, and the one after it kept', () =>
    inDirectory(async (directory) => {
      const live = await open(join(directory, 'data.db'), {
        checkpointBytes: 1 << 30,
        checkpointIdleMs: 0,
        checkpointIntervalMs: 0,
      })
      const value = Buffer.alloc(100_000, 'x')
      for (let n = 0; n < 30; n++) await live.bucket('b').put(`k${n}`, value)
      const path = await copyAsCrashed(live, join(directory, 'crashed'))
      const hash = await live.hash()
      await live.close()
      const names = leftovers(path).toSorted()
      expect(names.length).toBeGreaterThan(2)
      const missing = join(directory, 'crashed', names[1]!)
      await copyFile(missing, join(directory, 'kept'))
      await rm(missing)
      await expectRefusal('ERR_JOURNAL_CORRUPT', () => open(path))
      expect(leftovers(path).length).toBe(names.length - 1)
      await copyFile(join(directory, 'kept'), missing)
      const db = await open(path)
      expect(await db.hash()).toBe(hash)
      await db.close()
      await verifyFile(path, hash)
    }))
})
