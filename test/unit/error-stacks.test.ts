// Errors that a thread has met have the stack of the call that they end.

import { readFileSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { HotboltError, open, type Database } from '../../lib/index.ts'
import { damagedOnPurpose, inDirectory } from '../support/with-database.ts'

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
  expect(stack).toMatch(/at (async )?somebody .*error-stacks/)
  expect(stack).toContain(message)
  expect(code).toMatch(/^ERR_/)
}

/** What `harm` has been done to the file while it is open is met by whoever reads its pages. */
async function withHarmedDatabase(
  harm: (path: string) => void,
  use: (db: Database, path: string) => Promise<void>,
): Promise<void> {
  await inDirectory(async (directory) => {
    const path = join(directory, 'a.db')
    const db = await open(path)
    for (let n = 0; n < 2000; n++) void db.bucket('b').put(`key${n}`, 'v'.repeat(100))
    await db.checkpoint()
    harm(damagedOnPurpose(path))
    try {
      await use(db, path)
    } finally {
      await db.close().catch(() => undefined)
    }
  })
}

const pageSize = 4096

function cutShort(path: string): void {
  truncateSync(path, 3 * pageSize)
}

/** Leaves of many keys become pages of no kind. */
function damageLeaves(path: string): void {
  const bytes = readFileSync(path)
  for (let page = 0; page < bytes.length; page += pageSize) {
    const isLeaf = bytes.readUInt16LE(page + 8) === 2 && bytes.readUInt16LE(page + 10) > 5
    if (isLeaf) bytes.writeUInt16LE(0xff, page + 8)
  }
  writeFileSync(path, bytes)
}

test('of open', async () => {
  await inDirectory(async (directory) => {
    const path = join(directory, 'a.db')
    writeFileSync(path, 'no database'.repeat(1000))
    await expectCaller(async () => await open(path))
  })
})

test('of check', async () => {
  await withHarmedDatabase(cutShort, async (db) => {
    await expectCaller(async () => await db.check())
  })
})

const calls: [string, (db: Database, path: string) => Promise<unknown>][] = [
  ['hash', async (db) => await db.hash()],
  ['countAsync', async (db) => await db.bucket('b').countAsync()],
  ['backup', async (db, path) => await db.backup(`${path}.copy`)],
  ['defrag', async (db) => await db.defrag()],
]

for (const [name, call] of calls) {
  test(`of ${name}`, async () => {
    await withHarmedDatabase(damageLeaves, async (db, path) => {
      await expectCaller(() => call(db, path))
    })
  })
}

test('of checkpoint, and of the close after it', async () => {
  await withHarmedDatabase(damageLeaves, async (db) => {
    await db.bucket('b').put('key1000', 'changed')
    await expectCaller(async () => await db.checkpoint())
    await expectCaller(async () => await db.close())
  })
})
