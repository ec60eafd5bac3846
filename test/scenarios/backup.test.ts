// Backups of one database to a file: each holds exactly what was written before the call, is a
// plain bbolt file that real bbolt finds sound, and harms nothing when it ends early.

import { execFileSync } from 'node:child_process'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { existsSync } from 'node:fs'
import { link, mkdir, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { basename, join, relative } from 'node:path'
import { describe, expect, test } from 'vitest'
import { open, type Database, type StoreBackupOptions } from '../../lib/index.ts'
import type { PausePoint } from '../../lib/options.ts'
import { Child } from '../support/child.ts'
import { copyAsCrashed } from '../support/crashed.ts'
import { expectRefusal } from '../support/refusal.ts'
import { describeIf } from '../support/tools.ts'
import {
  damagedOnPurpose,
  holdDefragAt,
  inDirectory,
  smallPages,
  verifyFile,
  withDatabase,
} from '../support/with-database.ts'

const modes: readonly StoreBackupOptions[] = [{ compact: false }, { compact: true }]

/** About `bytes` of values, in a bucket and one inside it. */
async function fill(db: Database, bytes: number): Promise<void> {
  const bucket = db.bucket('b')
  const value = Buffer.alloc(1000, 'v')
  for (let n = 0; n < bytes / 1000; n++) {
    void (n % 10 === 0 ? bucket.bucket('nested') : bucket).put(`k${n}`, value)
  }
  void bucket.setSequence(7n)
  await db.flush()
}

/** The names in a directory but for the database and what belongs to it. */
async function others(db: Database): Promise<string[]> {
  const names = await readdir(join(db.path, '..'))
  return names.filter((name) => !name.startsWith(basename(db.path)))
}

describe.each(modes)('a backup, %o', (mode) => {
  test(
    'holds everything that was written before the call, and nothing that was written after',
    withDatabase(async ({ db, directory }) => {
      await fill(db, 200_000)
      void db.bucket('b').put('at the last moment', 'before')
      const hash = db.hash()
      const backup = db.backup(join(directory, 'copy.db'), mode)
      void db.bucket('b').put('at the last moment', 'after')
      void db.deleteBucket('b')
      const { sizeBytes } = await backup
      expect((await readFile(join(directory, 'copy.db'))).length).toBe(sizeBytes)
      await verifyFile(join(directory, 'copy.db'), await hash)
    }, smallPages),
  )

  test(
    'of an empty database is an empty database',
    withDatabase(async ({ db, directory }) => {
      await db.backup(join(directory, 'copy.db'), mode)
      await verifyFile(join(directory, 'copy.db'), await db.hash())
    }),
  )

  test(
    'is a consistent cut under load: a total that every update keeps is right in each',
    withDatabase(async ({ db, directory }) => {
      const accounts = db.bucket('accounts', { value: 'json' })
      for (let n = 0; n < 50; n++) void accounts.put(`${n}`, 100)
      await db.flush()
      let done = false
      let transfers = 0
      const transfer = async (): Promise<void> => {
        for (; !done; transfers++) {
          const [from, to] = [`${transfers % 50}`, `${(transfers * 7 + 1) % 50}`]
          await db.update((tx) => {
            const bucket = tx.bucket('accounts', { value: 'json' })
            if (from === to) return
            bucket.put(from, (bucket.get(from) as number) - 1)
            bucket.put(to, (bucket.get(to) as number) + 1)
          })
        }
      }
      const transferring = transfer()
      const totals: number[] = []
      for (let n = 0; n < 5; n++) {
        const before = transfers
        await db.backup(join(directory, `copy-${n}.db`), mode)
        while (transfers === before) await db.flush()
      }
      done = true
      await transferring
      for (let n = 0; n < 5; n++) {
        await verifyFile(join(directory, `copy-${n}.db`))
        const copy = await open(join(directory, `copy-${n}.db`), { readOnly: true })
        const values = [...copy.bucket('accounts', { value: 'json' }).values()] as number[]
        totals.push(values.reduce((sum, value) => sum + value, 0))
        await copy.close()
      }
      expect(totals).toEqual([5000, 5000, 5000, 5000, 5000])
    }, smallPages),
  )

  test(
    'goes on while a defragmentation exchanges the file under it, from any point',
    withDatabase(async ({ db, directory }) => {
      await fill(db, 300_000)
      const points: PausePoint[] = [
        'before-copy',
        'copy-started',
        'after-copy',
        'round',
        'before-publish',
        'after-publish',
        'before-install',
        'after-install',
        'before-clean',
      ]
      for (const point of points) {
        const held = holdDefragAt(db, point)
        await held.reached
        void db.bucket('b').put('at', point)
        const hash = db.hash()
        // Slow enough that it begins before, and ends after the exchange.
        const slow = { ...mode, bytesPerSecond: 1 << 20 }
        const across = db.backup(join(directory, `${point}-across.db`), slow)
        await db.backup(join(directory, `${point}.db`), mode)
        await db.bucket('b').put('at', `after ${point}`)
        held.release()
        await held.report
        await across
        await verifyFile(join(directory, `${point}.db`), await hash)
        await verifyFile(join(directory, `${point}-across.db`), await hash)
      }
      expect(db.stats().pendingReclaimBytes).toBe(0)
    }, smallPages),
  )

  test(
    'of a read-only database has what its leftover journal holds',
    withDatabase(async ({ db, directory }) => {
      await fill(db, 50_000)
      await db.checkpoint()
      await db.bucket('b').put('in the journal', 'only')
      const crashed = await copyAsCrashed(db, join(directory, 'crashed'))
      const hash = await db.hash()
      const reader = await open(crashed, { readOnly: true })
      const before = await readFile(crashed)
      await reader.backup(join(directory, 'copy.db'), mode)
      await reader.close()
      await verifyFile(join(directory, 'copy.db'), hash)
      expect((await readFile(crashed)).equals(before), 'the source is as it was').toBe(true)
    }),
  )

  test(
    'leaves nothing when it is cancelled before, at once, or in the middle',
    withDatabase(async ({ db, directory }) => {
      await fill(db, 2_000_000)
      const path = join(directory, 'copy.db')
      const slow = { ...mode, bytesPerSecond: 1 << 20 }
      const reason = new Error('no more')
      const before = AbortSignal.abort(reason)
      const refusal = await expectRefusal('ERR_ABORTED', () =>
        db.backup(path, { ...slow, signal: before }),
      )
      expect(refusal.cause).toBe(reason)

      const atOnce = new AbortController()
      const backup = db.backup(path, { ...slow, signal: atOnce.signal })
      atOnce.abort(reason)
      await expectRefusal('ERR_ABORTED', () => backup)

      const inTheMiddle = new AbortController()
      const onProgress = ({ bytesCopied }: { bytesCopied: number }): void => {
        if (bytesCopied > 0) inTheMiddle.abort(reason)
      }
      const { signal } = inTheMiddle
      await expectRefusal('ERR_ABORTED', () => db.backup(path, { ...slow, signal, onProgress }))
      expect(await others(db)).toEqual([])
      await db.backup(path, mode)
      await verifyFile(path, await db.hash())
    }),
  )
})

test(
  'the report and the channel say what was done',
  withDatabase(async ({ db, directory }) => {
    await fill(db, 300_000)
    await db.checkpoint()
    const heard: unknown[] = []
    const listen = (message: unknown): unknown => heard.push(message)
    subscribe('hotbolt:backup', listen)
    const progress: number[] = []
    const target = join(directory, 'copy.db')
    const report = await db.backup(relative(process.cwd(), target), {
      onProgress: ({ bytesCopied }) => progress.push(bytesCopied),
    })
    unsubscribe('hotbolt:backup', listen)
    const { size } = await (await import('node:fs/promises')).stat(target)
    expect(report).toEqual({
      path: target,
      sizeBytes: size,
      bytesCopied: size,
      txid: expect.any(Number) as number,
      durationMs: expect.any(Number) as number,
      warnings: [],
    })
    expect(heard).toEqual([
      { path: db.path, target, sizeBytes: size, durationMs: expect.any(Number) as number },
    ])
    expect(progress.at(-1)).toBe(size)
    const late = join(directory, 'late.db')
    const { warnings } = await db.backup(late, {
      onProgress: () => {
        if (existsSync(late)) throw new Error('of a callback')
      },
    })
    expect(warnings).toEqual([expect.stringContaining('of a callback')])
    await verifyFile(late)
    await verifyFile(target, await db.hash())
  }),
)

test(
  'a journal that lies beside the path is refused: whoever opens the copy would find it',
  withDatabase(async ({ db, directory }) => {
    await fill(db, 10_000)
    const path = join(directory, 'copy.db')
    await writeFile(`${path}-journal-00000001`, 'what another database has left')
    const { message } = await expectRefusal('ERR_EXISTS', () => db.backup(path))
    expect(message).toContain('a journal lies beside')
    await rm(`${path}-journal-00000001`)
    await db.backup(path)
    await verifyFile(path)
  }),
)

test(
  'whatever is there already is refused and stays: files, links, directories, devices, itself',
  withDatabase(async ({ db, directory }) => {
    await fill(db, 20_000)
    const at = (name: string): string => join(directory, name)
    await writeFile(at('file'), 'something')
    await writeFile(at('empty'), '')
    await mkdir(at('folder'))
    await symlink(db.path, at('link-to-itself'))
    await symlink(at('nowhere'), at('dangling'))
    await symlink(at('file'), at('link-to-file'))
    await link(db.path, at('hard-link'))
    const refused = [
      ['file', 'ERR_EXISTS'],
      ['empty', 'ERR_EXISTS'],
      ['data.db', 'ERR_EXISTS'],
      ['hard-link', 'ERR_EXISTS'],
      ['folder', 'ERR_NOT_A_FILE'],
      ['link-to-itself', 'ERR_NOT_A_FILE'],
      ['dangling', 'ERR_NOT_A_FILE'],
      ['link-to-file', 'ERR_NOT_A_FILE'],
    ] as const
    const before = await others(db)
    for (const [name, code] of refused) await expectRefusal(code, () => db.backup(at(name)))
    await expectRefusal('ERR_NOT_A_FILE', () => db.backup('/dev/null'))
    await expectRefusal('ERR_NOT_FOUND', () => db.backup(at('missing/copy.db')))
    await expectRefusal('ERR_NOT_A_FILE', () => db.backup(at('file/copy.db')))
    for (const path of ['', 'a\0b', 7 as unknown as string]) {
      await expectRefusal('ERR_INVALID_ARGUMENT', () => db.backup(path))
    }
    await expectRefusal('ERR_INVALID_ARGUMENT', () =>
      db.backup(at('copy.db'), { format: 'zip' as 'bbolt' }),
    )
    expect(await others(db)).toEqual(before)
    expect(await readFile(at('file'), 'utf8')).toBe('something')
    expect((await readFile(at('empty'))).length).toBe(0)
  }),
)

test(
  'several at once are all right, to different files; to the same one, one of them is',
  withDatabase(async ({ db, directory }) => {
    await fill(db, 500_000)
    const path = (n: number): string => join(directory, `copy-${n}.db`)
    const hash = db.hash()
    await Promise.all([0, 1, 2, 3].map((n) => db.backup(path(n), { compact: n % 2 === 0 })))
    for (const n of [0, 1, 2, 3]) await verifyFile(path(n), await hash)
    const outcomes = await Promise.allSettled([4, 4, 4].map((n) => db.backup(path(n))))
    const refusals = outcomes.filter((outcome) => outcome.status === 'rejected')
    expect(refusals.map(({ reason }) => (reason as { code: string }).code)).toEqual([
      'ERR_EXISTS',
      'ERR_EXISTS',
    ])
    await verifyFile(path(4), await hash)
    expect((await others(db)).filter((name) => name.endsWith('.tmp'))).toEqual([])
  }),
)

test(
  'memtables that backups seal do not pile up',
  withDatabase(async ({ db, directory }) => {
    for (let n = 0; n < 20; n++) {
      void db.bucket('b').put(`k${n}`, 'v')
      await db.backup(join(directory, `copy-${n}.db`))
    }
    await expect.poll(() => db.stats().sealedMemtables).toBe(0)
  }),
)

test('a close cancels a backup, and is the cause that its error names', () =>
  inDirectory(async (directory) => {
    const db = await open(join(directory, 'data.db'))
    await fill(db, 2_000_000)
    const backup = db.backup(join(directory, 'copy.db'), { bytesPerSecond: 1 << 18 })
    const refusal = expectRefusal('ERR_ABORTED', () => backup)
    await db.close()
    expect((await refusal).cause).toMatchObject({ code: 'ERR_CLOSED' })
    expect(await readdir(directory)).toEqual(['data.db'])
    await expectRefusal('ERR_CLOSED', () => db.backup(join(directory, 'copy.db')))
    await verifyFile(join(directory, 'data.db'))
  }))

test(
  'bytesPerSecond is kept to, and an onProgress that throws ends it with its error',
  withDatabase(async ({ db, directory }) => {
    await fill(db, 1_000_000)
    const bytesPerSecond = 2 << 20
    const report = await db.backup(join(directory, 'copy.db'), { bytesPerSecond })
    // The pacer lets a quarter of a second catch up, and does not wait after the last piece.
    const pacedBytes = report.bytesCopied - (256 << 10)
    expect(report.durationMs).toBeGreaterThan((pacedBytes / bytesPerSecond) * 1000 - 250)
    const thrown = new Error('of a callback')
    const onProgress = (): never => {
      throw thrown
    }
    const slow = { bytesPerSecond: 1 << 18, onProgress }
    await expect(db.backup(join(directory, 'other.db'), slow)).rejects.toBe(thrown)
    const onProgressAsync = (): Promise<never> => Promise.reject(thrown)
    const async = { ...slow, onProgress: onProgressAsync }
    await expect(db.backup(join(directory, 'other.db'), async)).rejects.toBe(thrown)
    expect(await others(db)).toEqual(['copy.db'])
    await verifyFile(join(directory, 'copy.db'))
  }),
)

test(
  'a copy is a database of its own: a leftover journal of the source is refused beside it',
  withDatabase(async ({ db, directory }) => {
    await fill(db, 20_000)
    await db.checkpoint()
    await db.backup(join(directory, 'copy.db'))
    await db.bucket('b').put('after', 'the backup')
    const crashed = damagedOnPurpose(await copyAsCrashed(db, join(directory, 'crashed')))
    await writeFile(crashed, await readFile(join(directory, 'copy.db')))
    await expectRefusal('ERR_JOURNAL_STALE', () => open(crashed))
    const copy = await open(join(directory, 'copy.db'))
    await copy.bucket('b').put('in the copy', 'v')
    const hash = await copy.hash()
    await copy.close()
    await verifyFile(join(directory, 'copy.db'), hash)
  }),
)

test('what a killed backup leaves is removed by the next to the same file, by no other', () =>
  inDirectory(async (directory) => {
    const [path, target] = [join(directory, 'data.db'), join(directory, 'copy.db')]
    const db = await open(path)
    await fill(db, 4_000_000)
    const hash = await db.hash()
    await db.close()
    await using child = new Child('backup', [path, target])
    expect(await child.line(), child.errors).toBe('copying')
    child.kill()
    await child.exit()
    const left = (await readdir(directory)).filter((name) => name.endsWith('.tmp'))
    expect(left.length).toBe(1)
    expect(left[0]).toMatch(/^copy\.db-backup-[0-9a-f]{32}\.tmp$/)
    const again = await open(path)
    await again.backup(join(directory, 'other.db'))
    expect(await readdir(directory)).toContain(left[0])
    await again.backup(target)
    await again.close()
    expect((await readdir(directory)).toSorted()).toEqual(['copy.db', 'data.db', 'other.db'])
    for (const name of ['copy.db', 'data.db', 'other.db']) {
      await verifyFile(join(directory, name), hash)
    }
  }))

test(
  'lmdb-js #198: many compacting backups of a database that changes are all sound',
  withDatabase(async ({ db, directory }) => {
    let n = 0
    const change = (): void => {
      for (let i = 0; i < 40; i++, n++) {
        const bucket = db.bucket(`b${n % 5}`)
        void bucket.put(`k${(n * 37) % 400}`, Buffer.alloc((n * 131) % 3000, n))
        if (n % 3 === 0) void bucket.delete(`k${(n * 53) % 400}`)
        if (n % 171 === 0) void bucket.bucket('nested').put(`k${n}`, 'v')
      }
    }
    for (let round = 0; round < 25; round++) {
      change()
      const hash = db.hash()
      const path = join(directory, `copy-${round}.db`)
      const backup = db.backup(path, { compact: true })
      change()
      await backup
      await verifyFile(path, await hash)
    }
  }, smallPages),
)

describeIf('mount', 'a disk of its own', () => {
  /** Calls `run` with the path of a tmpfs. */
  async function withDisk(options: string, run: (mounted: string) => Promise<void>): Promise<void> {
    await inDirectory(async (directory) => {
      execFileSync('mount', ['-t', 'tmpfs', '-o', options, 'tmpfs', directory])
      try {
        await run(directory)
      } finally {
        execFileSync('umount', ['-l', directory])
      }
    })
  }

  test(
    'that is too small is told before the copy, or when it is full: nothing is left on it',
    withDatabase(async ({ db }) => {
      await fill(db, 3_000_000)
      await db.checkpoint()
      await withDisk('size=1m', async (mounted) => {
        const error = await expectRefusal('ERR_NO_SPACE', () => db.backup(join(mounted, 'a.db')))
        expect(error.errno).toBeUndefined()
        expect(await readdir(mounted)).toEqual([])
      })
      // Writes to every leaf: merged into the copy they take more than was estimated.
      for (let n = 1; n < 3000; n += 2) void db.bucket('b').put(`k${n}`, 'changed')
      await withDisk('size=4500k', async (mounted) => {
        const error = await expectRefusal('ERR_NO_SPACE', () => db.backup(join(mounted, 'a.db')))
        expect(error.errno).toBe(28)
        expect(await readdir(mounted)).toEqual([])
      })
      await db.bucket('b').put('after', 'all that')
    }),
  )

  test(
    'that may only be read refuses the copy',
    withDatabase(async ({ db }) => {
      await fill(db, 10_000)
      await withDisk('ro,size=1m', async (mounted) => {
        await expectRefusal(['ERR_PERMISSION', 'ERR_NO_SPACE'], () =>
          db.backup(join(mounted, 'a.db')),
        )
      })
    }),
  )
})
