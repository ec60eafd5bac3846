// What a command that fails says: the error that happened, also when closing the database fails
// after it.

import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, readdir, statfs, writeFile } from 'node:fs/promises'
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
  expect(describeFailure(await failingTwice(full, poisoned))).toEqual([
    'hotbolt: no space is left (ERR_NO_SPACE)',
    'hotbolt: an earlier write failed (ERR_POISONED)',
  ])
  expect(
    describeFailure(await failingTwice(new Error('one'), poisoned, new Error('three'))),
  ).toEqual(['hotbolt: one', 'hotbolt: an earlier write failed (ERR_POISONED)', 'hotbolt: three'])
  expect(describeFailure(await failingTwice(full, full))).toHaveLength(1)
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

/** Runs the command by a shell, for its redirections. */
function inShell(line: string, ...args: string[]): { status: number | null; stderr: string } {
  const shell = ['-c', `"$0" "$@" ${line}`, process.execPath, script, ...args]
  return spawnSync('sh', shell, { encoding: 'utf8' })
}

test('output that cannot be written is a failure in one line', () =>
  inDirectory(async (directory) => {
    const path = join(directory, 'data.db')
    await (await open(path)).close()
    expect(inShell('> /dev/full', 'info', path)).toMatchObject({
      status: 1,
      stderr: expect.stringMatching(/^hotbolt: .*ENOSPC.*\n$/) as string,
    })
    expect(inShell('2> /dev/full', 'info', join(directory, 'none')).status).toBe(1)
  }))

test('a directory as standard input is not an empty value', () =>
  inDirectory(async (directory) => {
    const path = join(directory, 'data.db')
    {
      await using db = await open(path)
      await db.bucket('b').put('key', 'precious')
    }
    expect(inShell('< /', 'put', path, 'b', 'key', '-')).toMatchObject({
      status: 1,
      stderr: 'hotbolt: Standard input is a directory\n',
    })
    await using db = await open(path)
    expect(db.bucket('b', { value: 'utf8' }).get('key')).toBe('precious')
  }))

/** The exit code of a command whose output nobody reads. */
async function unread(...args: string[]): Promise<unknown> {
  const child = spawn(process.execPath, [script, ...args])
  child.stdout.destroy()
  child.stderr.destroy()
  return (await once(child, 'exit'))[0]
}

test('a reader that leaves changes neither the exit code nor how the database is left', () =>
  inDirectory(async (directory) => {
    const path = join(directory, 'data.db')
    await (await open(path)).close()
    expect(await unread('put', path, 'b', 'key', 'value', '--json')).toBe(0)
    expect(await readdir(directory), 'no journal is left').toEqual(['data.db'])
    expect(await unread('info', join(directory, 'none'))).toBe(1)
  }))
