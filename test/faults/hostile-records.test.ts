// Records of freezes and work directories that somebody else has put where ours would be: what they
// lead to is as it was, and every refusal has its code.

import { existsSync } from 'node:fs'
import {
  chmod,
  lchown,
  link,
  mkdir,
  readdir,
  readFile,
  rm,
  symlink,
  writeFile,
} from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { FreezeJournal } from '../../lib/backup/freeze-journal.ts'
import {
  cleanFreezes,
  createBackup,
  deleteBackup,
  filesDestination,
  listBackups,
  open,
  pruneBackups,
} from '../../lib/index.ts'
import { restoreBackup } from '../../lib/backup/restore.ts'
import { putBackup } from '../support/backups.ts'
import { directoryTarget } from '../../lib/backup/directory-target.ts'
import { SimulatedSource } from '../support/backup-source.ts'
import { errorOf, expectRefusal } from '../support/refusal.ts'
import { testIf } from '../support/tools.ts'
import { inDirectory, openFilesIn } from '../support/with-database.ts'

interface Place {
  readonly directory: string
  /** Of the target, which has the backup "one". */
  readonly root: string
  /** A database that is nobody's record. */
  readonly victim: string
}

function withPlace(run: (place: Place) => Promise<void>): () => Promise<void> {
  return () =>
    inDirectory(async (directory) => {
      const root = join(directory, 'backups')
      const victim = join(directory, 'victim.db')
      const db = await open(victim)
      await db.bucket('theirs').put('key', 'value')
      await db.close()
      const bytes = await readFile(victim)
      await putBackup(directoryTarget(root), 'one', tables)
      const createdAt = '2026-02-01T00:00:00.000Z'
      await putBackup(directoryTarget(root), 'two', tables, { createdAt })
      await mkdir(join(root, '.state'), { mode: 0o700 })
      await run({ directory, root, victim })
      expect(await readFile(victim), 'the victim is as it was').toEqual(bytes)
      expect(openFilesIn(directory), 'no descriptor stays open').toEqual([])
    })
}

const tables = [{ name: 't', contents: { a: 'content' } }]
const source = (): SimulatedSource => SimulatedSource.of(1)
const verbs: Readonly<Record<string, (target: string) => Promise<unknown>>> = {
  createBackup: (target) => createBackup(source(), { target, name: 'one' }),
  deleteBackup: (target) => deleteBackup({ target, name: 'one' }),
  pruneBackups: (target) => pruneBackups({ target, keepLast: 1 }),
  cleanFreezes: (target) => cleanFreezes(source(), { target }),
}

test.each(Object.keys(verbs))('%s removes no database that a record is a link to', (verb) =>
  withPlace(async ({ root, victim }) => {
    for (const name of ['one.freezes', 'other.freezes']) {
      await symlink(victim, join(root, '.state', name))
    }
    await errorOf(() => verbs[verb]!(root))
    expect(existsSync(victim)).toBe(true)
    expect(await readdir(join(root, '.state'))).toEqual(['one.freezes', 'other.freezes'])
  })(),
)

test.each(Object.keys(verbs))('%s removes no database that a record is a second name of', (verb) =>
  withPlace(async ({ root, victim }) => {
    for (const name of ['one.freezes', 'other.freezes']) {
      await link(victim, join(root, '.state', name))
    }
    await errorOf(() => verbs[verb]!(root))
    expect(await readdir(join(root, '.state'))).toEqual(['one.freezes', 'other.freezes'])
  })(),
)

test.each(Object.keys(verbs))('%s removes no database that is no record of ours', (verb) =>
  withPlace(async ({ root, victim }) => {
    const bytes = await readFile(victim)
    for (const name of ['one.freezes', 'other.freezes']) {
      await writeFile(join(root, '.state', name), bytes, { mode: 0o600 })
    }
    await errorOf(() => verbs[verb]!(root))
    for (const name of ['one.freezes', 'other.freezes']) {
      expect(await readFile(join(root, '.state', name))).toEqual(bytes)
    }
  })(),
)

test('what is no record is refused with a code where its name is asked for', () =>
  withPlace(async ({ root, victim }) => {
    const path = join(root, '.state/new.freezes')
    const create = (): Promise<unknown> => createBackup(source(), { target: root, name: 'new' })
    await symlink(victim, path)
    await expectRefusal('ERR_NOT_A_FILE', create)
    const { warnings } = await cleanFreezes(source(), { target: root })
    expect(warnings.join()).toContain('symbolic link')
  })())

test.each(['.state', '.staging'])('%s that is a link is followed by no verb', (folder) =>
  withPlace(async ({ directory, root }) => {
    const outside = join(directory, 'outside')
    await mkdir(outside)
    const dead = await FreezeJournal.create(join(directory, 'made'), 'dead')
    await dead.beginRun({ target: root, staging: `dead-${'0'.repeat(16)}` })
    await dead.close()
    await writeFile(
      join(outside, 'dead.freezes'),
      await readFile(join(directory, 'made/dead.freezes')),
    )
    await mkdir(join(outside, `dead-${'0'.repeat(16)}`))
    const before = await readdir(outside)
    await rm(join(root, folder), { recursive: true, force: true })
    await symlink(outside, join(root, folder))
    const create = (): Promise<unknown> => createBackup(source(), { target: root, name: 'new' })
    await expectRefusal('ERR_NOT_A_FILE', create)
    for (const verb of Object.values(verbs)) await errorOf(() => verb(root))
    expect(await readdir(outside)).toEqual(before)
    expect((await listBackups(root)).every(({ name }) => /^(?:one|two)$/.test(name))).toBe(true)
  })(),
)

test('the directory that a record names is looked for among our own only', () =>
  withPlace(async ({ directory, root }) => {
    const names = [`one-${'0'.repeat(16)}`, `dead-${'1'.repeat(16)}`]
    const outside = join(directory, 'outside')
    for (const name of names) await mkdir(join(outside, name), { recursive: true })
    const stagings = [
      join(outside, names[1]!),
      `../../outside/${names[1]!}`,
      `${names[1]!}/../../../outside/${names[1]!}`,
      '..',
      '',
    ]
    for (const staging of stagings) {
      const journal = await FreezeJournal.create(join(root, '.state'), 'dead')
      await journal.beginRun({ target: root, staging })
      await journal.close()
      const { warnings } = await cleanFreezes(source(), { target: root })
      expect(warnings).toHaveLength(1)
      const create = (): Promise<unknown> => createBackup(source(), { target: root, name: 'dead' })
      await expectRefusal('ERR_CORRUPT', create)
      const again = await FreezeJournal.create(join(root, '.state'), 'dead')
      await again.endRun()
      await again.close()
    }
    expect(await readdir(outside)).toEqual(names.toSorted())
  })())

test('what a dead run has staged is removed, and a link among it is not followed', () =>
  withPlace(async ({ directory, root }) => {
    const name = `dead-${'1'.repeat(16)}`
    await mkdir(join(directory, 'outside'))
    await writeFile(join(directory, 'outside/kept'), '')
    const staging = join(root, '.staging')
    const dead = async (): Promise<void> => {
      const journal = await FreezeJournal.create(join(root, '.state'), 'dead')
      await journal.beginRun({ target: root, staging: name })
      await journal.close()
    }
    await mkdir(join(staging, name, 'table'), { recursive: true })
    await symlink(join(directory, 'outside'), join(staging, name, 'table/link'))
    await dead()
    expect((await cleanFreezes(source(), { target: root })).warnings).toEqual([])
    expect(await readdir(staging)).toEqual([])
    await symlink(join(directory, 'outside'), join(staging, name))
    await dead()
    expect((await cleanFreezes(source(), { target: root })).warnings).toHaveLength(1)
    expect(await readdir(join(directory, 'outside'))).toEqual(['kept'])
  })())

describe('the directory in which a restore is made', () => {
  const restore = (root: string, out: string): Promise<unknown> =>
    restoreBackup(filesDestination(out), { target: root, name: 'one' })

  test('a restore uses no work directory that somebody else has prepared', () =>
    withPlace(async ({ directory, root }) => {
      const work = join(directory, '.out.hotbolt-restore')
      await mkdir(join(work, 'replaced/evil'), { recursive: true })
      await mkdir(join(work, 'content/evil'), { recursive: true })
      await chmod(work, 0o777)
      await expectRefusal('ERR_PERMISSION', () => restore(root, join(directory, 'out')))
      expect(existsSync(join(directory, 'out'))).toBe(false)
      expect((await readdir(work)).toSorted()).toEqual(['content', 'replaced'])
    })())

  testIf('root', 'a restore uses no work directory that belongs to somebody else', () =>
    withPlace(async ({ directory, root }) => {
      const work = join(directory, '.out.hotbolt-restore')
      await mkdir(join(work, 'replaced/evil'), { recursive: true, mode: 0o700 })
      await lchown(work, 65_534, 65_534)
      await expectRefusal('ERR_PERMISSION', () => restore(root, join(directory, 'out')))
      expect(existsSync(join(directory, 'out'))).toBe(false)
      expect(await readdir(work)).toEqual(['replaced'])
    })(),
  )

  test('a restore follows neither its work directory nor its lock when they are links', () =>
    withPlace(async ({ directory, root, victim }) => {
      const work = join(directory, '.out.hotbolt-restore')
      await mkdir(join(directory, 'outside'), { mode: 0o700 })
      await symlink(join(directory, 'outside'), work)
      await expectRefusal('ERR_NOT_A_FILE', () => restore(root, join(directory, 'out')))
      expect(await readdir(join(directory, 'outside'))).toEqual([])
      await mkdir(join(directory, '.it.hotbolt-restore'), { mode: 0o700 })
      await symlink(victim, join(directory, '.it.hotbolt-restore/lock'))
      await expectRefusal('ERR_NOT_A_FILE', () => restore(root, join(directory, 'it')))
      expect(existsSync(join(directory, 'it'))).toBe(false)
    })())
})
