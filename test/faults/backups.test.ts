// Backups that somebody or something has changed, directories that lead elsewhere, disks that are
// full or refuse, and restores that are killed.

import { execFileSync } from 'node:child_process'
import {
  chmod,
  chown,
  mkdir,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { listBackups } from '../../lib/backup/backups.ts'
import { deleteBackup } from '../../lib/backup/delete.ts'
import { directoryTarget } from '../../lib/backup/directory-target.ts'
import { restoreBackup } from '../../lib/backup/restore.ts'
import { filesDestination } from '../../lib/backup/restore-files.ts'
import type { Target } from '../../lib/backup/target.ts'
import { verifyBackup } from '../../lib/backup/verify.ts'
import { mixedTables, putBackup, storeBytes } from '../support/backups.ts'
import { Child } from '../support/child.ts'
import { MemoryTarget } from '../support/memory-target.ts'
import { randomFrom } from '../support/random.ts'
import { seed } from '../support/property.ts'
import { expectRefusal } from '../support/refusal.ts'
import { keysIn } from '../support/target-contract.ts'
import { describeIf, testIf } from '../support/tools.ts'
import { inDirectory, openFilesIn, verifyFile } from '../support/with-database.ts'

const small = [
  { name: 'users', contents: { 'data.bin': 'content of users', 'part/1/col': 'x'.repeat(90) } },
  { name: 'Rest', contents: { empty: '', a: 'b' } },
]

interface Place {
  readonly directory: string
  readonly root: string
  readonly target: Target
}

function withBackup(run: (place: Place) => Promise<void>): () => Promise<void> {
  return () =>
    inDirectory(async (directory) => {
      const root = join(directory, 'backups')
      const target = directoryTarget(root)
      await putBackup(target, 'one', small)
      await run({ directory, root, target })
      expect(openFilesIn(directory), 'no descriptor stays open').toEqual([])
    })
}

/** The keys with an issue. */
async function issuesOf(
  target: Target,
  depth: 'quick' | 'full' | 'deep' = 'full',
): Promise<string[]> {
  const report = await verifyBackup({ target, name: 'one', depth })
  expect(report.ok).toBe(report.issues.length === 0)
  for (const { message } of report.issues) expect(message).toMatch(/\S+ \S+ \S+/)
  return [...new Set(report.issues.map(({ key }) => key))].toSorted()
}

describe('a changed byte', () => {
  test('anywhere in the backup is found, bit by bit', async () => {
    const target = new MemoryTarget()
    await putBackup(target, 'one', small)
    let flips = 0
    for (const [key, bytes] of target.objects) {
      for (let bit = 0; bit < bytes.length * 8; bit++, flips++) {
        bytes[bit >> 3]! ^= 1 << (bit & 7)
        expect(await issuesOf(target), `bit ${bit} of ${key}`).toEqual([key])
        bytes[bit >> 3]! ^= 1 << (bit & 7)
      }
    }
    expect(flips).toBeGreaterThan(5000)
    expect(await issuesOf(target)).toEqual([])
  })

  test(
    'of a file is found in place, and what is restored of it is nothing',
    withBackup(async ({ directory, root, target }) => {
      const random = randomFrom(seed)
      const path = filesDestination(join(directory, 'out'))
      for (const key of await keysIn(target)) {
        const file = join(root, key)
        const whole = await readFile(file)
        if (whole.length === 0) continue
        const bytes = Buffer.from(whole)
        const at = random(bytes.length)
        bytes[at]! ^= 1 << random(8)
        await writeFile(file, bytes)
        expect(await issuesOf(target), `byte ${at} of ${key}, seed ${seed}`).toEqual([key])
        const refused = await expectRefusal('ERR_BACKUP_CORRUPT', () =>
          restoreBackup(path, { target, name: 'one' }),
        )
        expect(refused.message).toContain(key === 'one/manifest.json' ? '"one"' : key)
        expect(await readdir(directory)).toEqual(['backups'])
        await writeFile(file, whole)
      }
      expect(await issuesOf(target)).toEqual([])
    }),
  )
})

describe.each(['directory', 'memory'])('in a target of kind %s', (kind) => {
  const withEither =
    (run: (target: Target, directory: string) => Promise<void>) => (): Promise<void> =>
      inDirectory(async (directory) => {
        const isMemory = kind === 'memory'
        const target = isMemory ? new MemoryTarget() : directoryTarget(join(directory, 'backups'))
        await putBackup(target, 'one', small)
        await run(target, directory)
      })

  test(
    'what is missing, too much, too long or too short is found by the quick look',
    withEither(async (target, directory) => {
      const key = 'one/tables/users/data.bin'
      const destination = filesDestination(join(directory, 'out'))
      const restore = (): Promise<unknown> => restoreBackup(destination, { target, name: 'one' })
      await target.delete(key)
      expect(await issuesOf(target, 'quick')).toEqual([key])
      await expectRefusal('ERR_NOT_FOUND', restore)
      for (const content of ['', 'content of user', 'content of users!', 'x'.repeat(1 << 20)]) {
        await target.put(key, Buffer.from(content))
        expect(await issuesOf(target, 'quick')).toEqual([key])
        expect((await expectRefusal('ERR_BACKUP_CORRUPT', restore)).message).toContain(key)
      }
      await target.put(key, Buffer.from('content of users'))
      const extras = ['one/extra', 'one/tables/extra', 'one/tables/users/more', 'one/tables/x/y/z']
      for (const extra of extras) await target.put(extra, Buffer.from('x'))
      expect(await issuesOf(target, 'quick')).toEqual(extras)
      expect(await issuesOf(target, 'deep')).toEqual(extras)
    }),
  )

  test(
    'the files of another backup are looked at where they are used, and only there',
    withEither(async (target) => {
      const [users, rest] = small
      await putBackup(target, 'base', small)
      await putBackup(target, 'one', [{ ...users!, owner: 'base' }, rest!])
      for (const key of await keysIn(target, 'one/tables/users/')) await target.delete(key)
      expect(await issuesOf(target)).toEqual([])
      await target.put('base/tables/other/file', Buffer.from('x'))
      await target.put('base/extra', Buffer.from('x'))
      await target.delete('base/tables/%52est/a')
      expect(await issuesOf(target)).toEqual([])
      await target.put('base/tables/users/more', Buffer.from('x'))
      await target.put('base/tables/users/data.bin', Buffer.from('content of USERS'))
      const found = ['base/tables/users/data.bin', 'base/tables/users/more']
      expect(await issuesOf(target)).toEqual(found)
    }),
  )
})

describe('a directory that leads elsewhere', () => {
  /** Moves what is at `path` out of the root, and leaves a link to it. */
  async function linkAway({ directory, root }: Place, path: string): Promise<string> {
    const outside = join(directory, 'outside')
    await rename(join(root, path), outside)
    await symlink(outside, join(root, path))
    return outside
  }
  const key = 'one/tables/users/part/1/col'
  const paths = [key, 'one/tables/users/part/1', 'one/tables/users', 'one/tables', 'one']

  test.each([...paths, 'one/manifest.json'])('by a link at %s is not followed', (path) =>
    withBackup(async (place) => {
      const { directory, target } = place
      const outside = await linkAway(place, path)
      const isDirectory = (await stat(outside)).isDirectory()
      const before = isDirectory ? await readdir(outside, { recursive: true }) : []
      const found = await issuesOf(target, 'quick')
      expect(found.length).toBeGreaterThan(0)
      expect(found.every((each) => each.startsWith('one'))).toBe(true)
      const destination = filesDestination(join(directory, 'out'))
      await expectRefusal('ERR_NOT_A_FILE', () =>
        restoreBackup(destination, { target, name: 'one' }),
      )
      const below = isDirectory ? `${path}/x` : path
      await expectRefusal('ERR_NOT_A_FILE', () => target.put(below, Buffer.from('x')))
      await expectRefusal('ERR_NOT_A_FILE', () => target.get(below === path ? path : key))
      if (path === 'one' || path === 'one/manifest.json') {
        expect(await listBackups(target)).toMatchObject([{ name: 'one', state: 'broken' }])
      }
      if (path !== 'one') await deleteBackup({ target, name: 'one' })
      else await expectRefusal('ERR_NOT_A_FILE', () => deleteBackup({ target, name: 'one' }))
      const after = isDirectory ? await readdir(outside, { recursive: true }) : []
      expect(after).toEqual(before)
      expect((await readdir(directory)).toSorted()).toEqual(['backups', 'outside'])
    })(),
  )

  test(
    'by the links of its own places is not used',
    withBackup(async ({ directory, root, target }) => {
      await mkdir(join(directory, 'outside'))
      await rm(join(root, '.state'), { recursive: true, force: true })
      await symlink(join(directory, 'outside'), join(root, '.state'))
      await expectRefusal('ERR_NOT_A_FILE', () => deleteBackup({ target, name: 'one' }))
      expect(await readdir(join(directory, 'outside'))).toEqual([])
      expect(await issuesOf(target)).toEqual([])
    }),
  )

  testIf(
    'linux',
    'by a pipe or a device does not wait for it, nor open it',
    withBackup(async ({ directory, root, target }) => {
      const path = join(root, key)
      await rm(path)
      execFileSync('mkfifo', [path])
      await mkdir(join(root, 'pipe'))
      execFileSync('mkfifo', [join(root, 'pipe/manifest.json')])
      expect(await issuesOf(target)).toEqual([key])
      expect((await listBackups(target)).map(({ state }) => state)).toEqual(['broken', 'complete'])
      const destination = filesDestination(join(directory, 'out'))
      await expectRefusal('ERR_NOT_A_FILE', () =>
        restoreBackup(destination, { target, name: 'one' }),
      )
      await expectRefusal('ERR_NOT_A_FILE', () => target.get(key))
      await expectRefusal('ERR_NOT_A_FILE', () => target.put(key, Buffer.from('x')))
    }),
  )

  test(
    'or holds what no object is called, is reported and left',
    withBackup(async ({ root, target }) => {
      await writeFile(join(root, 'one/tables/users/a b'), 'x')
      await mkdir(join(root, 'one/tables/caf\u00e9'))
      expect(await issuesOf(target)).toEqual(['one/tables/caf\u00e9', 'one/tables/users/a b'])
      await expectRefusal('ERR_NOT_A_FILE', () => deleteBackup({ target, name: 'one' }))
      expect(await listBackups(target)).toMatchObject([{ name: 'one', state: 'broken' }])
      expect(await readFile(join(root, 'one/tables/users/a b'), 'utf8')).toBe('x')
    }),
  )
})

describeIf('mount', 'a disk of its own', () => {
  const withDisk = (sizeBytes: number, run: (disk: string, directory: string) => Promise<void>) =>
    inDirectory(async (directory) => {
      const disk = join(directory, 'disk')
      await mkdir(disk)
      execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${sizeBytes}`, 'tmpfs', disk])
      try {
        await run(disk, directory)
        expect(openFilesIn(directory), 'no descriptor stays open').toEqual([])
      } finally {
        execFileSync('umount', ['-l', disk])
      }
    })
  const large = [
    { name: 't', contents: { a: Buffer.alloc(300_000, 'a'), b: Buffer.alloc(2 << 20) } },
  ]

  test('that is full takes no object, and keeps those that it has', () =>
    withDisk(1 << 20, async (disk, directory) => {
      const target = directoryTarget(join(disk, 'backups'))
      await putBackup(target, 'one', small)
      const before = await keysIn(target)
      await writeFile(join(directory, 'big'), Buffer.alloc(2 << 20))
      const body = { file: join(directory, 'big'), sizeBytes: 2 << 20 }
      for (const [key, each] of [
        ['one/tables/users/data.bin', Buffer.alloc(2 << 20)],
        ['two/a', Buffer.alloc(2 << 20)],
        ['two/b', body],
      ] as const) {
        const refused = await expectRefusal('ERR_NO_SPACE', () => target.put(key, each))
        expect(refused.path ?? refused.message).toContain('disk')
      }
      expect(await keysIn(target)).toEqual(before)
      expect(await issuesOf(target)).toEqual([])
      const files = await readdir(disk, { recursive: true })
      expect(files.filter((name) => name.includes('+put'))).toEqual([])
    }))

  test.each(['directory', 'memory'])('that is full takes no restore, from a %s', (kind) =>
    withDisk(1 << 20, async (disk, directory) => {
      const isMemory = kind === 'memory'
      const target = isMemory ? new MemoryTarget() : directoryTarget(join(directory, 'backups'))
      await putBackup(target, 'one', large)
      const destination = filesDestination(join(disk, 'out'))
      const restore = (): Promise<unknown> => restoreBackup(destination, { target, name: 'one' })
      expect((await expectRefusal('ERR_NO_SPACE', restore)).path).toContain('hotbolt-restore')
      expect(await readdir(disk)).toEqual([])
    }),
  )

  test('other than the staged file is copied to', () =>
    withDisk(8 << 20, async (disk, directory) => {
      const target = directoryTarget(join(directory, 'backups'))
      await mkdir(target.stagingDirectory!, { recursive: true })
      // The staging directory itself may be another disk, in spite of where it is.
      execFileSync('mount', ['--bind', disk, target.stagingDirectory!])
      try {
        const file = join(target.stagingDirectory!, 'body')
        await writeFile(file, 'content')
        await target.put('one/a', { file, sizeBytes: 7 })
        expect(await readFile(join(directory, 'backups/one/a'), 'utf8')).toBe('content')
        expect(await readdir(join(directory, 'backups/one'))).toEqual(['a'])
      } finally {
        execFileSync('umount', [target.stagingDirectory!])
      }
    }))

  test('other than the backups is restored to', () =>
    withDisk(8 << 20, async (disk, directory) => {
      const target = directoryTarget(join(directory, 'backups'))
      await putBackup(target, 'one', mixedTables)
      const destination = filesDestination(join(disk, 'out'))
      await restoreBackup(destination, { target, name: 'one' })
      expect(await readdir(disk)).toEqual(['out'])
      expect(await readFile(join(disk, 'out/users/data.bin'), 'utf8')).toBe('content of users')
    }))

  test('that is read-only is read, and refuses the rest with its code', () =>
    withDisk(8 << 20, async (disk, directory) => {
      const root = join(disk, 'backups')
      const target = directoryTarget(root)
      await putBackup(target, 'one', small)
      await mkdir(join(disk, 'there'))
      execFileSync('mount', ['-o', 'remount,ro', disk])
      expect(await issuesOf(target, 'deep')).toEqual([])
      expect(await listBackups(target)).toMatchObject([{ name: 'one', state: 'complete' }])
      await restoreBackup(filesDestination(join(directory, 'out')), { target, name: 'one' })
      for (const refused of [
        () => target.put('two/a', Buffer.from('x')),
        () => target.put('one/a', Buffer.from('x')),
        () => target.delete('one/manifest.json'),
        () => deleteBackup({ target, name: 'one' }),
        () => restoreBackup(filesDestination(join(disk, 'out')), { target, name: 'one' }),
      ]) {
        await expectRefusal('ERR_PERMISSION', refused)
      }
    }))
})

/** Root may write everywhere, and becomes somebody else meanwhile, whose the directory is. */
async function unprivileged(directory: string, run: () => Promise<void>): Promise<void> {
  if (process.geteuid?.() !== 0) return run()
  const nobody = 65_534
  await chown(directory, nobody, nobody)
  process.seteuid?.(nobody)
  try {
    await run()
  } finally {
    process.seteuid?.(0)
  }
}

test('a directory that may not be written refuses with its code', () =>
  inDirectory((directory) =>
    unprivileged(directory, async () => {
      const target = directoryTarget(directory)
      await putBackup(target, 'one', small)
      await chmod(join(directory, 'one'), 0o500)
      await expectRefusal('ERR_PERMISSION', () => target.put('one/x', Buffer.from('x')))
      await chmod(join(directory, 'one'), 0o700)
    }),
  ))

test('a restore that is killed leaves nothing to be seen, and the next one does not mind', () =>
  inDirectory(async (directory) => {
    const root = join(directory, 'backups')
    const contents = { 'data.db': await storeBytes(500) }
    const stores = Array.from({ length: 6 }, (_, n) => ({ name: `store ${n}`, contents }))
    await putBackup(directoryTarget(root), 'one', stores, { source: { kind: 'catalog', id: 'x' } })
    const out = join(directory, 'restored/out')
    for (let object = 0; object < stores.length; object++) {
      await using child = new Child('restore', [root, 'one', out, String(object)])
      expect(await child.line()).toBe('holding')
      child.kill()
      await child.exit()
      const left = await readdir(join(directory, 'restored'))
      expect(left, 'only what the next one takes over').toEqual(['.out.hotbolt-restore'])
    }
    await restoreBackup(filesDestination(out), { target: root, name: 'one' })
    expect(await readdir(join(directory, 'restored'))).toEqual(['out'])
    const files = await readdir(out, { recursive: true })
    const databases = files.filter((file) => file.endsWith('.db'))
    expect(databases).toHaveLength(stores.length)
    for (const file of databases) await verifyFile(join(out, file))
  }))
