// What lies around a database, and what the system allows: nothing that was planted is followed or
// written to, nobody may read more than the database's own mode says, and what is forbidden is a
// typed error.

import { execFileSync } from 'node:child_process'
import { chmod, link, mkdir, readFile, stat, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { HotboltError, open } from '../../lib/index.ts'
import { Child } from '../support/child.ts'
import { within } from '../support/churn.ts'
import { expectRefusal } from '../support/refusal.ts'
import { patienceMs } from '../support/tiers.ts'
import { describeIf, testIf } from '../support/tools.ts'
import {
  holdDefragAt,
  inDirectory,
  leftovers,
  verifyFile,
  withDatabase,
} from '../support/with-database.ts'

async function makeDatabase(path: string): Promise<void> {
  const db = await open(path)
  for (let n = 0; n < 500; n++) void db.bucket('b').put(`k${n}`, 'v')
  await db.close()
}

describe('planted under a name that the database uses for itself', () => {
  const plants: Record<string, (name: string, victim: string) => Promise<unknown> | void> = {
    'a symbolic link': (name, victim) => symlink(victim, name),
    'a dangling symbolic link': (name, victim) => symlink(`${victim}.missing`, name),
    'a hard link': (name, victim) => link(victim, name),
    'a FIFO': (name) => void execFileSync('mkfifo', [name]),
    'a folder': (name) => mkdir(name),
    'a file of somebody': (name) => writeFile(name, 'precious'),
  }
  const names = [
    'data.db-journal-00000001',
    'data.db-journal-00000002',
    `data.db-defrag-${'0'.repeat(32)}`,
    `data.db-create-${'f'.repeat(32)}`,
  ]
  const cells = Object.keys(plants).flatMap((plant) => names.map((name) => [plant, name] as const))
  test.each(cells)('%s as %s is never written through', (plant, name) =>
    inDirectory(async (directory) => {
      const path = join(directory, 'data.db')
      await makeDatabase(path)
      await mkdir(join(directory, 'elsewhere'))
      const victim = join(directory, 'elsewhere/victim')
      await writeFile(victim, 'a file of somebody else')
      await plants[plant]!(join(directory, name), victim)
      const use = async (): Promise<void> => {
        const db = await open(path)
        try {
          for (let n = 0; n < 100; n++) void db.bucket('b').put(`new${n}`, 'v'.repeat(100))
          await db.flush()
          await db.checkpoint()
          await db.defrag()
        } finally {
          await db.close()
        }
      }
      // It is cleared away, or in the way: never a hang, and never an error without a code.
      const outcome = await within(
        patienceMs,
        plant,
        use().catch((error: unknown) => error),
      )
      if (outcome !== undefined) expect(outcome).toBeInstanceOf(HotboltError)
      expect(await readFile(victim, 'utf8')).toBe('a file of somebody else')
      await expect(stat(`${victim}.missing`)).rejects.toMatchObject({ code: 'ENOENT' })
      if (outcome !== undefined) execFileSync('rm', ['-r', join(directory, name)])
      await verifyFile(path)
    }),
  )
})

describeIf('linux', 'permission bits', () => {
  test.each(['000', '022', '077', '777'])('are those of `mode` under a umask of %s', (umask) =>
    inDirectory(async (directory) => {
      for (const mode of [0o600, 0o640, 0o666]) {
        const path = join(directory, `${mode}.db`)
        const options = JSON.stringify({ mode })
        await using child = new Child('hold', [path, options], { before: `umask ${umask}` })
        expect(await child.line()).toBe('open')
        expect((await stat(path)).mode & 0o777).toBe(mode)
        child.release()
        expect((await child.exit()).code).toBe(0)
      }
    }),
  )

  test(
    'of the journal and of the copy are those of the database',
    withDatabase(async (context) => {
      await context.close()
      for (const mode of [0o600, 0o660, 0o604]) {
        await chmod(context.path, mode)
        const db = await context.open()
        for (let n = 0; n < 300; n++) void db.bucket('b').put(`k${n}`, 'v')
        await db.flush()
        const held = holdDefragAt(db, 'after-copy')
        await held.reached
        const beside = leftovers(context.path)
        expect(beside.some((name) => name.includes('-defrag-'))).toBe(true)
        expect(beside.some((name) => name.includes('-journal-'))).toBe(true)
        for (const name of beside) {
          const { mode: found } = await stat(join(context.directory, name))
          expect(found & 0o777, name).toBe(mode)
        }
        held.release()
        await held.report
        expect((await stat(context.path)).mode & 0o777).toBe(mode)
        await context.close()
      }
      await context.open()
    }),
  )
})

/** Somebody who may do nothing. */
const nobody = '65534'

testIf('root', 'who may not read or write a file is told so', () =>
  inDirectory(async (directory) => {
    const path = join(directory, 'data.db')
    await makeDatabase(path)
    await chmod(directory, 0o755)
    const lineOf = async (options: object): Promise<string | undefined> => {
      await using child = new Child('hold', [path, JSON.stringify(options), nobody])
      const line = await child.line()
      child.release()
      await child.exit()
      return line
    }
    expect(await lineOf({})).toContain('ERR_PERMISSION')
    expect(await lineOf({ readOnly: true })).toContain('ERR_PERMISSION')
    await chmod(path, 0o644)
    expect(await lineOf({})).toContain('ERR_PERMISSION')
    expect(await lineOf({ readOnly: true })).toBe('open')
    // It may write the file, but make no journal beside it.
    await chmod(path, 0o666)
    expect(await lineOf({ readOnly: true })).toBe('open')
    expect(leftovers(path)).toEqual([])
    await verifyFile(path)
  }),
)

testIf('mount', 'on a file system that is mounted read-only, a database can be read', () =>
  inDirectory(async (directory) => {
    const [folder, mounted] = [join(directory, 'folder'), join(directory, 'mounted')]
    await mkdir(folder)
    await mkdir(mounted)
    await makeDatabase(join(folder, 'data.db'))
    execFileSync('mount', ['--bind', folder, mounted])
    try {
      execFileSync('mount', ['-o', 'remount,bind,ro', mounted])
      const path = join(mounted, 'data.db')
      await expectRefusal('ERR_PERMISSION', () => open(path))
      await expectRefusal('ERR_PERMISSION', () => open(join(mounted, 'new.db')))
      const db = await open(path, { readOnly: true })
      expect(db.bucket('b').count()).toBe(500)
      expect((await db.check()).ok).toBe(true)
      await db.close()
    } finally {
      execFileSync('umount', [mounted])
    }
  }),
)
