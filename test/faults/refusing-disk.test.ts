// A real file system that refuses: a small ext4 that is full, a directory that nobody may change.
// One table each: what is done, what it ends in, and that the database serves on or is opened again
// with everything that was acknowledged.

import { execFileSync } from 'node:child_process'
import { mkdir, open as openFile, readdir, rm, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { open, type Database, type ErrorCode } from '../../lib/index.ts'
import type { PausePoint } from '../../lib/options.ts'
import { copyAsCrashed } from '../support/crashed.ts'
import { Model } from '../support/model.ts'
import { errorOf, expectRefusal } from '../support/refusal.ts'
import { describeIf } from '../support/tools.ts'
import {
  holdDefragAt,
  inDirectory,
  judgeFilesIn,
  leftovers,
  untimed,
  verifyFile,
} from '../support/with-database.ts'

const value = Buffer.alloc(3000, 'x')

class Ext4 {
  readonly path: string
  readonly directory: string

  constructor(directory: string) {
    this.directory = directory
    this.path = join(directory, 'data.db')
  }

  static async use(run: (disk: Ext4) => Promise<void>): Promise<void> {
    await inDirectory(async (directory) => {
      const image = join(directory, 'image')
      const mounted = join(directory, 'mounted')
      await mkdir(mounted)
      await writeFile(image, '')
      await truncate(image, 48 << 20)
      execFileSync('mkfs.ext4', ['-q', '-m', '0', '-O', '^has_journal', image])
      execFileSync('mount', ['-o', 'loop', image, mounted])
      try {
        const disk = new Ext4(join(mounted, 'databases'))
        await mkdir(disk.directory)
        await run(disk)
        await judgeFilesIn(mounted)
      } finally {
        spawnQuietly('chattr', ['-i', join(mounted, 'databases')])
        execFileSync('umount', ['-l', mounted])
      }
    })
  }

  async fill(): Promise<void> {
    const file = await openFile(join(this.directory, '..', 'ballast'), 'w')
    try {
      for (const size of [1 << 20, 4096, 1]) {
        const chunk = Buffer.alloc(size)
        await errorOf(async () => {
          for (;;) await file.write(chunk)
        })
      }
      await file.sync()
    } finally {
      await file.close()
    }
  }

  async free(): Promise<void> {
    await rm(join(this.directory, '..', 'ballast'))
    execFileSync('sync', ['-f', this.directory])
  }

  forbid(): void {
    execFileSync('chattr', ['+i', this.directory])
  }

  allow(): void {
    execFileSync('chattr', ['-i', this.directory])
  }
}

function spawnQuietly(command: string, args: string[]): void {
  try {
    execFileSync(command, args, { stdio: 'ignore' })
  } catch {
    // It was not forbidden.
  }
}

/** A database with a journal beside it; gives the hash of what is acknowledged. */
async function written(path: string): Promise<{ db: Database; hash: string }> {
  const db = await open(path, { ...untimed, checkpointBytes: 1 << 30 })
  for (let n = 0; n < 600; n++) void db.bucket('b').put(`k${n}`, value)
  await db.checkpoint()
  for (let n = 0; n < 600; n++) void db.bucket('c').put(`k${n}`, value)
  await db.flush()
  // Not with db.hash(): a checkpoint follows it, which would still run when the disk refuses.
  const model = new Model()
  for (const name of ['b', 'c']) {
    for (let n = 0; n < 600; n++) model.put([name], `k${n}`, value)
  }
  return { db, hash: model.hash() }
}

interface Case {
  readonly doing: string
  readonly run: (db: Database, refuse: () => void | Promise<void>) => Promise<unknown>
  readonly code: ErrorCode
  /** What becomes of the store. */
  readonly outcome: 'serves on' | 'is poisoned' | 'is closed'
}

const defragRefusedAt =
  (point: PausePoint): Case['run'] =>
  async (db, refuse) => {
    const held = holdDefragAt(db, point)
    await held.reached
    await refuse()
    held.release()
    return held.report
  }

const after =
  (run: (db: Database) => Promise<unknown>): Case['run'] =>
  async (db, refuse) => {
    await refuse()
    return run(db)
  }

const full: readonly Case[] = [
  {
    doing: 'a put',
    run: after((db) => db.bucket('d').put('k', Buffer.alloc(20 << 20))),
    code: 'ERR_NO_SPACE',
    outcome: 'serves on',
  },
  {
    doing: 'a checkpoint',
    run: after((db) => db.checkpoint()),
    code: 'ERR_NO_SPACE',
    outcome: 'serves on',
  },
  { doing: 'a close', run: after((db) => db.close()), code: 'ERR_NO_SPACE', outcome: 'is closed' },
  ...(['before-copy', 'round'] as const).map((point): Case => ({
    doing: `a defragmentation at ${point}`,
    run: async (db, refuse) => {
      const held = holdDefragAt(db, point)
      await held.reached
      for (let n = 0; n < 100; n++) void db.bucket('c').put(`k${n}`, value)
      await db.flush()
      await refuse()
      held.release()
      return held.report
    },
    code: 'ERR_NO_SPACE',
    outcome: 'serves on',
  })),
]

const forbidden: readonly Case[] = [
  {
    doing: 'a defragmentation',
    run: after((db) => db.defrag()),
    code: 'ERR_PERMISSION',
    outcome: 'serves on',
  },
  {
    doing: 'the switch of a defragmentation',
    run: defragRefusedAt('before-publish'),
    code: 'ERR_PERMISSION',
    outcome: 'serves on',
  },
  {
    doing: 'a close',
    run: after((db) => db.close()),
    code: 'ERR_PERMISSION',
    outcome: 'is closed',
  },
]

async function prove(
  disk: Ext4,
  { run, code, outcome }: Case,
  refuse: () => void | Promise<void>,
  allow: () => void | Promise<void>,
): Promise<void> {
  const { db, hash } = await written(disk.path)
  await expectRefusal(code, () => run(db, refuse))
  await allow()
  if (outcome === 'serves on') {
    expect(await db.hash()).toBe(hash)
    expect(db.stats().poisoned).toBe(false)
    await db.bucket('e').put('k', 'v')
    await db.defrag()
    await db.update((tx) => tx.deleteBucket('e'))
  }
  if (outcome === 'is poisoned') {
    await expectRefusal('ERR_POISONED', () => db.bucket('e').put('k', 'v'))
    await expectRefusal('ERR_POISONED', () => db.close())
  }
  if (outcome === 'serves on') await db.close()
  const again = await open(disk.path)
  // What was refused may be there or not.
  if (outcome === 'is poisoned') await errorOf(() => again.update((tx) => tx.deleteBucket('d')))
  expect(await again.hash()).toBe(hash)
  await again.close()
  expect(leftovers(disk.path)).toEqual([])
  await verifyFile(disk.path, hash)
}

describeIf(['mount', 'mkfs.ext4'], 'an ext4', () => {
  test.each(full)('that is full during $doing: $code, and the store $outcome', (one) =>
    Ext4.use((disk) =>
      prove(
        disk,
        one,
        () => disk.fill(),
        () => disk.free(),
      ),
    ),
  )

  test.each(forbidden)(
    'whose directory is immutable during $doing: $code, and it $outcome',
    (one) =>
      Ext4.use((disk) =>
        prove(
          disk,
          one,
          () => disk.forbid(),
          () => disk.allow(),
        ),
      ),
  )

  test('that is full when a journal is recovered opens, serves and catches up', () =>
    Ext4.use(async (disk) => {
      const { db, hash } = await written(disk.path)
      const crashed = await copyAsCrashed(db, join(disk.directory, 'crashed'))
      await db.close()
      await disk.fill()
      const again = await open(crashed)
      expect(await again.hash()).toBe(hash)
      await disk.free()
      await again.checkpoint()
      expect(await again.hash()).toBe(hash)
      await again.close()
      await verifyFile(crashed, hash)
    }))

  test('whose directory is immutable lets no database be made or opened for writing', () =>
    Ext4.use(async (disk) => {
      disk.forbid()
      await expectRefusal('ERR_PERMISSION', () => open(disk.path))
      disk.allow()
      expect(await readdir(disk.directory)).toEqual([])
      await (await open(disk.path)).close()
      disk.forbid()
      await expectRefusal('ERR_PERMISSION', () => open(disk.path))
      await (await open(disk.path, { readOnly: true })).close()
      disk.allow()
      await verifyFile(disk.path)
    }))

  test('whose directory becomes immutable refuses the first write before it is visible', () =>
    Ext4.use(async (disk) => {
      const db = await open(disk.path)
      disk.forbid()
      await expectRefusal('ERR_PERMISSION', () => db.bucket('b').put('k', 'v'))
      expect(db.buckets()).toEqual([])
      disk.allow()
      await db.bucket('b').put('k', 'v')
      await db.close()
      await verifyFile(disk.path)
    }))
})
