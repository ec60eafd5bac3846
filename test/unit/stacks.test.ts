// The stack of an error leads to the call, also when a thread has failed.

import { join } from 'node:path'
import { expect, test } from 'vitest'
import { open, readJournal, verifyEtcdSnapshot, type HotboltError } from '../../lib/index.ts'
import { errorOf } from '../support/refusal.ts'
import { inDirectory, withDatabase } from '../support/with-database.ts'

/** What `call` rejects with names the place of the call. */
async function expectStack(call: () => Promise<unknown>): Promise<void> {
  const error = (await errorOf(async function caller() {
    await call()
  })) as HotboltError
  expect(error.stack).toContain(`${error.name}: ${error.message}`)
  expect(error.stack).toMatch(/\n +at (async )?caller .*stacks\.test\.ts/)
}

test('of what cannot be opened or read', () =>
  inDirectory(async (directory) => {
    const missing = join(directory, 'none')
    await expectStack(() => open(missing, { create: false }))
    await expectStack(() => verifyEtcdSnapshot(missing))
    await expectStack(() => readJournal(directory))
  }))

test(
  'of a backup that fails on its thread',
  withDatabase(async ({ db, directory }) => {
    await expectStack(() => db.backup(directory))
    await expectStack(() => db.backup(join(directory, 'missing', 'copy.db')))
  }),
)
