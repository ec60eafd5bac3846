// Whose the files beside a database are, and the database itself after a defragmentation, when
// somebody else has opened it: another member of its group, a stranger, root.

import { chmod, chown, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect } from 'vitest'
import { open } from '../../lib/index.ts'
import { Child } from '../support/child.ts'
import { testIf } from '../support/tools.ts'
import { inDirectory } from '../support/with-database.ts'

const owner = 2001
const group = 2000
const alice = { uid: owner, gid: owner, groups: [group] }
const bob = { uid: 2002, gid: 100, groups: [group] }
const stranger = { uid: 2003, gid: 100, groups: [] }
const root = { uid: 0, gid: 0, groups: [] }

type Who = typeof alice

/** A database of this mode, 2001's and 2000's, in a directory that everybody may use. */
const withStore = (mode: number, run: (path: string) => Promise<void>): Promise<void> =>
  inDirectory(async (directory) => {
    await chmod(directory, 0o755) // it is below a directory that others may enter
    const folder = join(directory, 'shared')
    await mkdir(folder)
    await chmod(folder, 0o777)
    const path = join(folder, 'data.db')
    await (await open(path)).close()
    await chown(path, owner, group)
    await chmod(path, mode)
    await run(path)
  })

const child = (path: string, who: Who, ...verbs: string[]): Child =>
  new Child('owned', [path, JSON.stringify(who), ...verbs])

/** What it says after the last verb; the child has closed the database then, or was killed. */
async function done(path: string, who: Who, verbs: string[], end: 'close' | 'kill' = 'close') {
  await using running = child(path, who, ...verbs)
  let last: string | undefined
  for (const _ of verbs) last = await running.line()
  if (end === 'kill') running.kill()
  else running.release()
  await running.exit()
  if (last === undefined) throw new Error(running.errors)
  return JSON.parse(last) as unknown
}

testIf('root', 'a member of the group makes the journal, a copy and a backup for the group', () =>
  withStore(0o660, async (path) => {
    const ours = [0o660, bob.uid, group]
    const written = await done(path, bob, ['put'])
    expect(written).toEqual({ '': [0o660, owner, group], '-journal-': ours })
    const after = await done(path, bob, ['put', 'defrag', 'backup'])
    expect(after).toMatchObject({ '': ours, '.copy': ours })
  }),
)

testIf(
  'root',
  'who is not in the group opens what he makes to nobody but who had both rights',
  () =>
    withStore(0o646, async (path) => {
      const ours = [0o644, stranger.uid, stranger.gid]
      expect(await done(path, stranger, ['put'])).toMatchObject({ '-journal-': ours })
      expect(await done(path, stranger, ['defrag'])).toMatchObject({ '': ours })
    }),
)

testIf('root', 'what root leaves when it is killed, the owner recovers', () =>
  withStore(0o600, async (path) => {
    const theirs = [0o600, owner, group]
    const left = await done(path, root, ['put'], 'kill')
    expect(left).toEqual({ '': theirs, '-journal-': theirs })
    // As when root is killed between making a segment and giving it away.
    await writeFile(`${path}-journal-00000099`, '', { mode: 0o600 })
    expect(await done(path, alice, ['read'])).toBe('of 0')
    expect(await done(path, root, ['put', 'defrag'])).toMatchObject({ '': theirs })
    expect(await done(path, alice, ['read'])).toBe('of 0')
  }),
)

testIf('root', 'bits that are no permissions are not handed on', () =>
  withStore(0o600, async (path) => {
    await chmod(path, 0o6755)
    const plain = [0o755, owner, group]
    expect(await done(path, root, ['put'])).toMatchObject({ '-journal-': plain })
    expect(await done(path, root, ['defrag'])).toMatchObject({ '': plain })
  }),
)
