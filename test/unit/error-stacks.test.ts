// Errors that a thread has met have the stack of the call that they end.

import { truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { HotboltError, open, type Database } from '../../lib/index.ts'
import { inDirectory } from '../support/with-database.ts'

/** Who calls: the name that the stack must show. */
async function somebody(calls: () => Promise<unknown>): Promise<unknown> {
  return await calls()
}

async function expectCaller(calls: () => Promise<unknown>): Promise<void> {
  const error: unknown = await somebody(calls).then(
    () => undefined,
    (reason: unknown) => reason,
  )
  expect(error).toBeInstanceOf(HotboltError)
  const { stack, code, message } = error as HotboltError
  expect(stack).toMatch(/at async somebody .*error-stacks/)
  expect(stack).toContain(message)
  expect(code).toMatch(/^ERR_/)
}

/** A database whose file somebody cuts short while it is open: whatever reads its pages fails. */
async function withBrokenDatabase(use: (db: Database, path: string) => Promise<void>) {
  await inDirectory(async (directory) => {
    const path = join(directory, 'a.db')
    const db = await open(path)
    for (let n = 0; n < 2000; n++) void db.bucket('b').put(`key${n}`, 'v'.repeat(100))
    await db.checkpoint()
    truncateSync(path, 3 * db.stats().pageSize)
    try {
      await use(db, path)
    } finally {
      await db.close().catch(() => undefined)
    }
  })
}

test('of open', async () => {
  await inDirectory(async (directory) => {
    const path = join(directory, 'a.db')
    writeFileSync(path, 'no database'.repeat(1000))
    await expectCaller(async () => await open(path))
  })
})

const calls: [string, (db: Database, path: string) => Promise<unknown>][] = [
  ['check', async (db) => await db.check()],
  ['hash', async (db) => await db.hash()],
  ['backup', async (db, path) => await db.backup(`${path}.copy`)],
  ['defrag', async (db) => await db.defrag()],
]

for (const [name, call] of calls) {
  test(`of ${name}`, async () => {
    await withBrokenDatabase(async (db, path) => await expectCaller(() => call(db, path)))
  })
}

test('of checkpoint and close', async () => {
  await withBrokenDatabase(async (db) => {
    await db.bucket('b').put('key1000', 'changed')
    await expectCaller(async () => await db.checkpoint())
    await expectCaller(async () => await db.close())
  })
})
