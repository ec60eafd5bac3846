// One file under several names, in several threads, through several copies of the library: it is
// one file, which one handle has open for writing.
//
// What Node cannot do is not tried: fork() without exec, after which two processes would share a
// lock.

import { execFileSync, spawnSync } from 'node:child_process'
import { copyFile, link, mkdir, readFile, stat, symlink } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { open, type Database } from '../../lib/index.ts'
import type { PausePoint } from '../../lib/options.ts'
import { repositoryRoot } from '../oracle/root.ts'
import { Child, startThread } from '../support/child.ts'
import { expectRefusal } from '../support/refusal.ts'
import { patienceMs } from '../support/tiers.ts'
import { testIf } from '../support/tools.ts'
import {
  codeOf,
  holdDefragAt,
  inDirectory,
  leftovers,
  smallPages,
  verifyFile,
  withDatabase,
} from '../support/with-database.ts'

const addon = process.env['HOTBOLT_ADDON'] ?? join(repositoryRoot, 'build/Release/hotbolt.node')

async function fill(db: Database): Promise<void> {
  for (let n = 0; n < 500; n++) void db.bucket('b').put(`k${n}`, 'v')
  await db.checkpoint()
}

describe('an alias of the path', () => {
  const aliases: Record<string, (path: string, directory: string) => Promise<string>> = {
    'a symbolic link': async (path, directory) => {
      await symlink(path, join(directory, 'alias.db'))
      return join(directory, 'alias.db')
    },
    'a symbolic link to its folder': async (_path, directory) => {
      await symlink(directory, join(directory, 'folder'))
      return join(directory, 'folder/data.db')
    },
    'a hard link': async (path, directory) => {
      await link(path, join(directory, 'alias.db'))
      return join(directory, 'alias.db')
    },
    'a path with detours': async (_path, directory) => {
      await mkdir(join(directory, 'folder'))
      return `${directory}/folder/.././data.db`
    },
  }
  test.each(Object.keys(aliases))('%s is locked with it', (name) =>
    inDirectory(async (directory) => {
      const path = join(directory, 'data.db')
      const db = await open(path)
      const alias = await aliases[name]!(path, directory)
      await expectRefusal('ERR_LOCKED', () => open(alias))
      await expectRefusal('ERR_LOCKED', () => open(alias, { readOnly: true }))
      await using child = new Child('hold', [alias])
      expect(await child.line()).toContain('ERR_LOCKED')
      await db.close()
      await (await open(alias)).close()
    }),
  )

  test('that is a symbolic link stays one, and its target is what is replaced', () =>
    inDirectory(async (directory) => {
      const path = join(directory, 'data.db')
      const alias = join(directory, 'alias.db')
      await symlink(path, alias)
      await (await open(path)).close()
      const before = await stat(path)
      const db = await open(alias)
      await fill(db)
      expect(db.path).toBe(path)
      await db.defrag()
      await db.close()
      expect((await stat(alias)).ino).toBe((await stat(path)).ino)
      expect((await stat(path)).ino).not.toBe(before.ino)
      expect(leftovers(path).concat(leftovers(alias))).toEqual([])
      await verifyFile(path)
    }))

  test('that is a hard link keeps the file as it was when the other is replaced', () =>
    inDirectory(async (directory) => {
      const path = join(directory, 'data.db')
      const alias = join(directory, 'alias.db')
      const db = await open(path)
      await fill(db)
      await link(path, alias)
      const before = await readFile(alias)
      await db.defrag()
      await db.bucket('b').put('later', 'v')
      await db.close()
      expect((await readFile(alias)).equals(before)).toBe(true)
      await verifyFile(path)
      const old = await open(alias)
      expect([old.bucket('b').count(), old.bucket('b').has('later')]).toEqual([500, false])
      await old.close()
      await verifyFile(alias)
    }))

  testIf(
    'mount',
    'that is a bind mount of its folder is locked with it, and is replaced with it',
    () =>
      inDirectory(async (directory) => {
        const [folder, mounted] = [join(directory, 'folder'), join(directory, 'mounted')]
        await mkdir(folder)
        await mkdir(mounted)
        execFileSync('mount', ['--bind', folder, mounted])
        try {
          const db = await open(join(folder, 'data.db'))
          const alias = join(mounted, 'data.db')
          await expectRefusal('ERR_LOCKED', () => open(alias))
          const waiting = open(alias, { lockTimeoutMs: patienceMs })
          await fill(db)
          await db.defrag()
          const hash = await db.hash()
          await db.close()
          const other = await waiting
          expect(await other.hash()).toBe(hash)
          await other.defrag()
          await other.close()
          await verifyFile(join(folder, 'data.db'), hash)
        } finally {
          execFileSync('umount', [mounted])
        }
      }),
  )

  testIf(
    'mount',
    'that is a bind mount of the file itself is never mistaken for the new file',
    () =>
      inDirectory(async (directory) => {
        const [path, mounted] = [join(directory, 'data.db'), join(directory, 'mounted.db')]
        const db = await open(path)
        await fill(db)
        await copyFile(path, mounted)
        execFileSync('mount', ['--bind', path, mounted])
        try {
          await expectRefusal('ERR_LOCKED', () => open(mounted))
          await db.close()
          // A mount point cannot be replaced.
          const same = await open(mounted)
          await expectRefusal('ERR_IO', () => same.defrag())
          expect(same.bucket('b').count()).toBe(500)
          await same.close()
          expect(leftovers(mounted)).toEqual([])
          const again = await open(path)
          await again.defrag()
          await again.close()
          // It shows the replaced file, which has no name elsewhere and is no database any more.
          await expectRefusal('ERR_NOT_A_DATABASE', () => open(mounted))
          await verifyFile(path)
        } finally {
          execFileSync('umount', [mounted])
        }
      }),
  )
})

describe('one process', () => {
  afterEach(() => {
    vi.unstubAllEnvs()
    vi.resetModules()
  })

  test('with two copies of the library and of the addon has a file open once', () =>
    inDirectory(async (directory) => {
      const copy = join(directory, 'copy.node')
      await copyFile(addon, copy)
      vi.stubEnv('HOTBOLT_ADDON', copy)
      vi.resetModules()
      const other = await import('../../lib/index.ts')
      expect(other.open).not.toBe(open)
      const path = join(directory, 'data.db')
      for (const [one, two] of [
        [open, other.open],
        [other.open, open],
      ] as const) {
        const db = await one(path)
        expect(await codeOf(() => two(path))).toBe('ERR_LOCKED')
        expect(await codeOf(() => two(path, { readOnly: true }))).toBe('ERR_LOCKED')
        const waiting = two(path, { lockTimeoutMs: patienceMs })
        await fill(db)
        await db.defrag()
        const hash = await db.hash()
        await db.close()
        const next = await waiting
        expect(await next.hash()).toBe(hash)
        await next.close()
      }
      await verifyFile(path)
    }))

  test('that loads the same addon again has it serve both', () =>
    inDirectory(async (directory) => {
      const require = createRequire(import.meta.url)
      require(addon)
      delete require.cache[addon]
      vi.resetModules()
      const other = await import('../../lib/index.ts')
      const [one, two] = [join(directory, 'one.db'), join(directory, 'two.db')]
      await using first = await open(one)
      await using second = await other.open(two)
      await Promise.all([fill(first), fill(second)])
      expect(first.bucket('b').get('k1')).toEqual(second.bucket('b').get('k1'))
      // Each with the error class of its own copy.
      const error = await other.open(one).catch((refusal: unknown) => refusal)
      expect(error).toBeInstanceOf(other.HotboltError)
    }))

  test('with eight threads has a file open in one of them', () =>
    inDirectory(async (directory) => {
      const path = join(directory, 'data.db')
      await (await open(path)).close()
      const threads = Array.from({ length: 8 }, () =>
        startThread('threads', { path, task: 'hold' }),
      )
      const said = await Promise.all(
        threads.map((thread) => new Promise<string>((resolve) => thread.once('message', resolve))),
      )
      expect(said.toSorted()).toEqual([...Array<string>(7).fill('ERR_LOCKED'), 'open'])
      await expectRefusal('ERR_LOCKED', () => open(path))
      await Promise.all(threads.map((thread) => thread.terminate()))
      await verifyFile(path)
    }))
})

test('eight processes that start at once: one of them has the file', () =>
  inDirectory(async (directory) => {
    const path = join(directory, 'data.db')
    const children = Array.from({ length: 8 }, () => new Child('hold', [path]))
    const said = await Promise.all(children.map((child) => child.line()))
    expect(said.filter((line) => line === 'open').length).toBe(1)
    expect(said.filter((line) => line?.startsWith('ERR_LOCKED')).length).toBe(7)
    for (const child of children) child.release()
    for (const child of children) expect((await child.exit()).code).toBe(0)
    await verifyFile(path)
  }))

testIf(
  'linux',
  'a process that is started inherits no descriptor, whatever is going on',
  withDatabase(async (context) => {
    const { db, directory } = context
    /** Of a process that is told nothing of them. */
    const inherited = (): string[] => {
      const { stdout } = spawnSync('sh', ['-c', 'ls -l /proc/self/fd'], { encoding: 'utf8' })
      return stdout.split('\n').filter((line) => line.includes(directory))
    }
    await fill(db)
    const snapshot = db.snapshot()
    const iterator = db.bucket('b').range()[Symbol.iterator]()
    iterator.next()
    expect(inherited(), 'open').toEqual([])
    const points: PausePoint[] = ['before-copy', 'after-copy', 'after-publish', 'before-clean']
    for (const point of points) {
      const held = holdDefragAt(db, point)
      await held.reached
      for (let n = 0; n < 300; n++) void db.bucket('b').put(`${point} ${n}`, 'v'.repeat(100))
      await db.flush()
      expect(inherited(), point).toEqual([])
      held.release()
      await held.report
    }
    snapshot.close()
    await context.reopen({ readOnly: true })
    expect(inherited(), 'read-only').toEqual([])
  }, smallPages),
)
