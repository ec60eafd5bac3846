// What a command that fails says: the error that happened, also when closing the database fails
// after it.

import { execFileSync } from 'node:child_process'
import { mkdir, statfs, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { UsageError } from '../../lib/cli/command.ts'
import { describeFailure, exitCodeOf, wasAborted } from '../../lib/cli/failure.ts'
import { HotboltError, open } from '../../lib/index.ts'
import { repositoryRoot } from '../oracle/root.ts'
import { runCommand } from '../support/installed.ts'
import { testIf } from '../support/tools.ts'
import { inDirectory } from '../support/with-database.ts'

const script = join(repositoryRoot, 'dist/lib/cli/main.js')

/** What `await using` throws when the block and the disposals, the innermost first, fail. */
async function failingTwice(first: Error, ...disposals: readonly Error[]): Promise<unknown> {
  const [last = first, ...earlier] = disposals.toReversed()
  try {
    await using _ = { [Symbol.asyncDispose]: () => Promise.reject(last) }
    throw earlier.length === 0 ? first : await failingTwice(first, ...earlier.toReversed())
  } catch (error) {
    return error
  }
}

const full = new HotboltError('ERR_NO_SPACE', 'no space is left')
const poisoned = new HotboltError('ERR_POISONED', 'an earlier write failed')

test('both failures are told, the first one first', async () => {
  expect(describeFailure(await failingTwice(full, poisoned))).toBe(
    'hotbolt: no space is left (ERR_NO_SPACE)\nhotbolt: an earlier write failed (ERR_POISONED)\n',
  )
  expect(describeFailure(await failingTwice(new Error('one'), poisoned, new Error('three')))).toBe(
    'hotbolt: one\nhotbolt: an earlier write failed (ERR_POISONED)\nhotbolt: three\n',
  )
  expect(describeFailure(await failingTwice(full, full))).toMatch(/^hotbolt: no space.*\n$/)
})

test('the first failure decides the exit code', async () => {
  expect(exitCodeOf(await failingTwice(new HotboltError('ERR_LOCKED', ''), full))).toBe(5)
  expect(exitCodeOf(await failingTwice(new UsageError('what?'), full))).toBe(2)
  expect(exitCodeOf(await failingTwice(full, new HotboltError('ERR_LOCKED', '')))).toBe(1)
  expect(wasAborted(await failingTwice(new HotboltError('ERR_ABORTED', ''), full))).toBe(true)
})

/** A disk of its own with nothing left on it. */
async function withFullDisk(run: (database: string) => Promise<void>): Promise<void> {
  await inDirectory(async (directory) => {
    const disk = join(directory, 'disk')
    await mkdir(disk)
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', disk])
    try {
      const path = join(disk, 'data.db')
      await (await open(path)).close()
      const { bavail, bsize } = await statfs(disk)
      await writeFile(join(disk, 'ballast'), Buffer.alloc(bavail * bsize))
      await run(path)
    } finally {
      execFileSync('umount', ['-l', disk])
    }
  })
}

testIf('mount', 'a write on a full disk says that the disk is full', () =>
  withFullDisk(async (path) => {
    const { code, errors } = await runCommand(script, ['put', path, 'bucket', 'key', 'value'])
    expect(errors).toMatch(/^hotbolt: .*\(ERR_NO_SPACE\)$/m)
    expect(errors).not.toMatch(/suppressed/)
    expect(code).toBe(1)
  }),
)
