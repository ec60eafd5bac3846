// The ledger, rows 18 to 32: what went wrong in LMDB and its bindings for Node. See README.md in
// this folder.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { copyFile, readdir, readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { turnOfEventLoop } from '../../lib/database/range.ts'
import { HotboltError, open } from '../../lib/index.ts'
import type { Binding } from '../../lib/native.ts'
import { Child, runChild, startThread } from '../support/child.ts'
import { copyAsCrashed } from '../support/crashed.ts'
import { endOfContent, pagesInUse } from '../support/pages.ts'
import { randomFrom } from '../support/random.ts'
import { expectRefusal } from '../support/refusal.ts'
import { root } from '../support/sources.ts'
import { testIf } from '../support/tools.ts'
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

interface Limited {
  readonly acknowledged: number
  readonly codes: readonly string[]
}

describe('a disk that is nearly full', () => {
  const limits = [40, 64, 150, 400]
  testIf('linux', 'lmdb-js #40: running out of space at any point ends no process', () =>
    inDirectory(async (directory) => {
      for (const phase of ['checkpoint', 'backlog']) {
        for (const limit of limits) {
          const path = join(directory, `${phase} ${limit}.db`)
          const [line] = await runChild('limited', [path, phase], { before: `ulimit -f ${limit}` })
          const { acknowledged, codes } = JSON.parse(line!) as Limited
          expect(codes[0], `${phase} at ${limit} KiB`).toBe('ERR_NO_SPACE')
          const db = await open(path)
          for (let n = 0; n < acknowledged; n++) expect(db.bucket('b').has(`k${n}`)).toBe(true)
          await db.close()
          await verifyFile(path)
        }
      }
    }),
  )
})

describe('threads', () => {
  test('lmdb-js #48: batches on several threads at once free nothing twice', () =>
    inDirectory(async (directory) => {
      const main = await open(join(directory, 'main.db'), { checkpointBytes: 16 << 10 })
      const threads = [1, 2, 3].map((n) => {
        const path = join(directory, `${n}.db`)
        return { path, thread: startThread('ledger-thread', { path, activity: 'writing' }) }
      })
      const busy = Promise.all(threads.map(({ thread }) => once(thread, 'message')))
      let rounds = 0
      let waiting = true
      void busy.finally(() => (waiting = false))
      for (; waiting || rounds < 100; rounds++) {
        for (let n = 0; n < 50; n++) void main.bucket('b').put(`k${n}`, `${rounds}`)
        await main.flush()
      }
      await Promise.all(threads.map(({ thread }) => thread.terminate()))
      await busy
      for (const { path } of threads) {
        const db = await open(path)
        expect(db.bucket('b').count()).toBeGreaterThanOrEqual(50)
        await db.close()
        await verifyFile(path)
      }
      expect(String(main.bucket('b').get('k0'))).toBe(`${rounds - 1}`)
      await main.close()
      await verifyFile(main.path)
    }))

  test('parcel #7702: a thread that is terminated with flushes pending ends cleanly', () =>
    inDirectory(async (directory) => {
      const path = join(directory, 'data.db')
      await endThreads(path, 'writing', 15, 'terminate')
      const db = await open(path)
      expect(db.bucket('b').count()).toBeGreaterThanOrEqual(50)
      await db.close()
      await verifyFile(path)
    }))

  test('lmdb-js #200: an error thrown while its thread is terminated ends no process', () =>
    inDirectory(async (directory) => {
      const path = join(directory, 'data.db')
      await endThreads(path, 'throwing', 15, 'terminate')
      await verifyFile(path)
    }))

  test('lmdb-js #67: the addon loads again, in threads and as a second copy, and locks hold', () =>
    inDirectory(async (directory) => {
      const path = join(directory, 'data.db')
      await endThreads(path, 'exiting', 5)
      const db = await open(path)
      const addon = join(root, 'build/Release/hotbolt.node')
      const copy = join(directory, 'copy.node')
      await copyFile(process.env['HOTBOLT_ADDON'] ?? addon, copy)
      const require = createRequire(import.meta.url)
      for (let n = 0; n < 2; n++) {
        delete require.cache[copy]
        const second = require(copy) as Binding
        second.setup(HotboltError)
        const options = {
          readOnly: false,
          create: true,
          mode: 0o600,
          pageSize: 0,
          lockTimeoutMs: 0,
          sync: 'always' as const,
          syncIntervalMs: 100,
          checkpointBytes: 1 << 20,
          maxRetainedBytes: 1 << 20,
        }
        const events = { onDurable: () => {}, onFailure: () => {}, onRefusal: () => {} }
        await expectRefusal('ERR_LOCKED', () => second.open(path, options, events))
        const other = await second.open(join(directory, 'other.db'), options, events)
        second.put(other, second.bucket(undefined, 'b'), 'k', 'v')
        await second.close(other)
      }
      await db.close()
      await verifyFile(join(directory, 'other.db'))
    }))
})

describe('processes', () => {
  testIf(
    'linux',
    'lmdb-js #164: a child that outlives the database keeps no lock and no file',
    () =>
      inDirectory(async (directory) => {
        const path = join(directory, 'data.db')
        const db = await open(path, smallPages)
        await db.bucket('b').put('k', 'v')
        await db.checkpoint()
        const held = holdDefragAt(db, 'after-copy') // with both files and the journal open
        await held.reached
        const child = spawn('cat', { stdio: ['pipe', 'pipe', 'ignore'] })
        child.stdin.write('alive')
        await once(child.stdout, 'data')
        const names = await readdir(`/proc/${child.pid}/fd`)
        expect(names.length).toBeLessThan(10)
        held.release()
        await held.report
        await db.close()
        const again = await open(path)
        await again.bucket('b').put('k', 'again')
        await again.close()
        child.stdin.end()
        await once(child, 'close')
        await verifyFile(path)
      }),
  )

  test.each(['sync', 'async'])(
    'lmdb-js #336: process.exit() inside a transaction (%s) ends at once, and without it',
    (kind) =>
      inDirectory(async (directory) => {
        const path = join(directory, 'data.db')
        await using child = new Child('ledger', ['exit', path, kind])
        expect(await child.exit()).toEqual({ code: 7, signal: null })
        const db = await open(path)
        expect([...db.bucket('b', { key: 'utf8' }).keys()]).toEqual(['before'])
        await db.close()
        await verifyFile(path)
      }),
  )

  test(
    'lmdb-js #14: a reader that was killed holds no slot: writers, pages and space are free',
    withDatabase(async (context) => {
      await context.db.bucket('b').put('k', 'v')
      await context.close()
      for (let n = 0; n < 3; n++) {
        await using child = new Child('hold', [context.path, '{"readOnly":true}'])
        expect(await child.line()).toBe('open')
        child.kill()
        await child.exit()
        const db = await context.open()
        await db.bucket('b').put('k', Buffer.alloc(20_000, n))
        await db.checkpoint()
        expect(db.stats().openSnapshots).toBe(0)
        await context.close()
      }
      await context.open()
    }),
  )
})

describe('readers', () => {
  testIf(
    'gc',
    'lmdb-js #14: readers that are dropped without an end run out of nothing, and are collected',
    withDatabase(async ({ db }) => {
      for (let n = 0; n < 200; n++) void db.bucket('b').put(`k${n}`, 'v'.repeat(50))
      await db.checkpoint()
      const leak = (): void => {
        for (let n = 0; n < 2000; n++) {
          const snapshot = db.snapshot()
          snapshot.bucket('b').range()[Symbol.iterator]().next()
          db.bucket('b').range()[Symbol.iterator]().next()
        }
      }
      leak()
      expect(db.stats().openSnapshots).toBeGreaterThan(1000)
      for (let n = 0; n < 200; n++) void db.bucket('b').put(`k${n}`, 'w'.repeat(50))
      await db.checkpoint()
      while (db.stats().openSnapshots > 0) {
        globalThis.gc!()
        await turnOfEventLoop()
      }
      for (let n = 0; n < 3; n++) {
        await db.bucket('b').put('k', `${n}`)
        await db.checkpoint()
      }
      expect(db.stats().pendingPages).toBeLessThan(20)
    }, smallPages),
  )

  test(
    'lmdb-js #173: two reads of one value share no memory, and none with what comes next',
    withDatabase(async ({ db }) => {
      const value = Buffer.alloc(200_000, 'value ')
      await db.bucket('b').put('large', value)
      await db.bucket('b').put('small', 'v')
      await db.checkpoint()
      const read = (): Buffer => db.bucket('b').get('large')!
      const [one, two] = [read(), read()]
      structuredClone(one.buffer, { transfer: [one.buffer as ArrayBuffer] })
      globalThis.gc?.()
      expect(one.length).toBe(0)
      expect(two.equals(value)).toBe(true)
      expect(read().equals(value)).toBe(true)
      expect(String(db.bucket('b').get('small'))).toBe('v')
    }),
  )

  test(
    'lmdb-js #173: giving away an entry of a range takes nothing from those that follow',
    withDatabase(async ({ db }) => {
      for (let n = 0; n < 3000; n++) void db.bucket('b').put(`k${n}`, `value ${n}`)
      for (const value of ['buffer', 'utf8'] as const) {
        let entries = 0
        for (const [key, found] of db.bucket('b', { value }).range()) {
          expect(String(found)).toBe(`value ${String(key).slice(1)}`)
          try {
            structuredClone(key.buffer, { transfer: [key.buffer as ArrayBuffer] })
          } catch (error) {
            expect((error as Error).name).toBe('DataCloneError')
          }
          entries++
        }
        expect(entries).toBe(3000)
      }
    }),
  )
})

describe('closing and clearing', () => {
  test('lmdb-js #116: what was written just before the close is read back whole', () =>
    inDirectory(async (directory) => {
      const path = join(directory, 'data.db')
      const random = randomFrom(116)
      for (let life = 0; life < 15; life++) {
        const db = await open(path)
        const values = Array.from({ length: 20 }, (_, n) =>
          Buffer.alloc(random(n % 5 === 0 ? 200_000 : 2000), `${life} ${n} `),
        )
        for (const [n, value] of values.entries()) void db.bucket('b').put(`k${n}`, value)
        const read = db.bucket('b').get('k1')
        await db.close()
        expect(read?.equals(values[1]!)).toBe(true)
        const again = await open(path, { readOnly: true })
        for (const [n, value] of values.entries()) {
          expect(again.bucket('b').get(`k${n}`)?.equals(value), `k${n}`).toBe(true)
        }
        await again.close()
      }
      await verifyFile(path)
    }))

  test('lmdb-js #317: a database that is emptied and filled in every life stays small', () =>
    inDirectory(async (directory) => {
      const path = join(directory, 'data.db')
      const sizes: number[] = []
      for (let life = 0; life < 6; life++) {
        const db = await open(path)
        for (const name of db.buckets()) void db.deleteBucket(name)
        if (life % 2 === 0) await db.checkpoint()
        for (let n = 0; n < 10_000; n++) void db.bucket('b').put(`${n}`, `${n}`)
        await db.close()
        await verifyFile(path)
        sizes.push((await readFile(path)).length)
      }
      expect(sizes.at(-1)! / sizes[1]!).toBeLessThan(2.1)
    }))

  test(
    'lmdb-js #283: the only key, put and removed at once, leaves free pages that can be stored',
    withDatabase(async (context) => {
      for (let n = 0; n < 20; n++) {
        const db = n % 4 === 3 ? await context.reopen() : context.db
        void db.bucket('b').put('0', Buffer.alloc(n * 700))
        void db.bucket('b').delete('0')
        if (n % 3 === 0) await db.checkpoint()
        if (n % 5 === 0) await db.deleteBucket('b')
        expect((await db.check()).issues).toEqual([])
      }
    }, smallPages),
  )
})

describe('bytes of other memory', () => {
  // A page that was not zeroed would show what lay there before: a secret of this process.
  const secret = 'the secret of another database, freed'

  test('LMDB before 0.9.10: no byte that nobody wrote reaches any file', () =>
    inDirectory(async (directory) => {
      const elsewhere = await open(join(directory, 'elsewhere.db'), smallPages)
      const spread = async (): Promise<void> => {
        for (let n = 0; n < 300; n++) void elsewhere.bucket('b').put(`${n}`, secret.repeat(n % 40))
        await elsewhere.defrag()
        await elsewhere.deleteBucket('b')
        await elsewhere.checkpoint()
      }
      const db = await open(join(directory, 'data.db'), { ...smallPages, checkpointBytes: 4096 })
      const random = randomFrom(910)
      for (let round = 0; round < 4; round++) {
        await spread()
        for (let n = 0; n < 200; n++) {
          const size = random(30) === 0 ? random(9000) : random(200)
          void db.bucket(`b${n % 5}`).put(`k${random(500)}`, Buffer.alloc(size, 'x'))
        }
        await db.checkpoint()
      }
      const held = holdDefragAt(db, 'after-copy')
      await held.reached
      await db.bucket('b').put('in the journal', 'v')
      const crashed = join(directory, 'crashed')
      const path = await copyAsCrashed(db, crashed)
      expect(leftovers(path).length).toBeGreaterThan(1)
      held.release()
      await held.report
      await Promise.all([db.close(), elsewhere.close()])
      await copyFile(join(directory, 'data.db'), join(crashed, 'closed.db'))
      for (const name of await readdir(crashed)) {
        const bytes = await readFile(join(crashed, name))
        expect(bytes.includes(secret.slice(0, 12)), name).toBe(false)
      }
      for (const name of [path, join(crashed, 'closed.db')]) {
        const bytes = await readFile(name)
        for (const page of pagesInUse(bytes)) {
          const slack = bytes.subarray(endOfContent(bytes, page), page.offset + page.bytes)
          expect(
            slack.every((byte) => byte === 0),
            `the slack of page ${page.id}`,
          ).toBe(true)
        }
      }
      expect(await codeOf(() => db.flush())).toBe('ERR_CLOSED')
      expect(openFilesIn(directory)).toEqual([])
    }))
})
