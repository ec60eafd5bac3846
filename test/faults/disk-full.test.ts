// A disk that is full, and a limit on the size of files: the database goes on serving, says what it
// cannot do before it is done, and what was acknowledged is there afterwards.

import { execFileSync } from 'node:child_process'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { mkdir, open as openFile, readdir, rm, truncate } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { open, type Database, type HotboltError } from '../../lib/index.ts'
import { Checkpoints } from '../support/checkpoints.ts'
import { runChild } from '../support/child.ts'
import { copyAsCrashed } from '../support/crashed.ts'
import { errorOf, expectRefusal } from '../support/refusal.ts'
import { describeIf } from '../support/tools.ts'
import {
  holdDefragAt,
  inDirectory,
  judgeFilesIn,
  leftovers,
  openFilesIn,
  untimed,
  verifyFile,
} from '../support/with-database.ts'

/** A disk of its own. */
async function withDisk(
  sizeBytes: number,
  run: (path: string, disk: Disk) => Promise<void>,
): Promise<void> {
  await inDirectory(async (directory) => {
    const mounted = join(directory, 'disk')
    await mkdir(mounted)
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${sizeBytes}`, 'tmpfs', mounted])
    try {
      await run(join(mounted, 'data.db'), new Disk(mounted))
      expect(openFilesIn(mounted)).toEqual([])
      await judgeFilesIn(mounted)
    } finally {
      execFileSync('umount', ['-l', mounted])
    }
  })
}

class Disk {
  readonly directory: string
  readonly #ballast: string

  constructor(directory: string) {
    this.directory = directory
    this.#ballast = join(directory, 'ballast')
  }

  /** Takes all the space there is, but for `leaveBytes`. */
  async fill(leaveBytes = 0): Promise<void> {
    const file = await openFile(this.#ballast, 'w')
    const chunk = Buffer.alloc(4096)
    try {
      for (;;) await file.write(chunk)
    } catch (error) {
      expect((error as NodeJS.ErrnoException).code).toBe('ENOSPC')
      const { size } = await file.stat()
      await file.truncate(Math.max(0, size - leaveBytes))
    } finally {
      await file.close()
    }
  }

  async free(): Promise<void> {
    await rm(this.#ballast)
  }

  resize(sizeBytes: number): void {
    execFileSync('mount', ['-o', `remount,size=${sizeBytes}`, this.directory])
  }

  async names(): Promise<string[]> {
    return readdir(this.directory)
  }

  async journals(): Promise<string[]> {
    return (await this.names()).filter((name) => name.includes('-journal-'))
  }

  async temporaries(): Promise<string[]> {
    return (await this.names()).filter((name) => name.includes('-defrag-'))
  }
}

/** How many rows were not refused. */
async function writeUntilRefused(db: Database, rowBytes = 20_000): Promise<number> {
  const row = Buffer.alloc(rowBytes, 'x')
  for (let written = 0; ; written++) {
    const error = await errorOf(() => db.bucket('b').put(`w${written}`, row))
    if (error === undefined) continue
    expect((error as HotboltError).code).toBe('ERR_NO_SPACE')
    return written
  }
}

async function writeRows(db: Database, count: number): Promise<void> {
  for (let n = 0; n < count; n++) void db.bucket('b').put(`r${n}`, Buffer.alloc(20_000, 'x'))
  await db.flush()
}

const smallRow = Buffer.alloc(100, 'x')
const smallRows = 80_000

/** About 12 MiB. */
async function writeSmallRows(db: Database): Promise<void> {
  for (let n = 0; n < smallRows; n++) {
    const durable = db.bucket('b').put(`k${n}`, smallRow)
    if (n % 500 === 499) await durable
  }
  await db.checkpoint()
}

/** The only reason for a refusal is want of space. No turn of the event loop passes. */
function isAccepted(write: () => Promise<void>): boolean {
  try {
    void write()
    return true
  } catch (error) {
    expect((error as HotboltError).code).toBe('ERR_NO_SPACE')
    return false
  }
}

/** A row far from the one before. */
const scattered = (n: number): string => `k${(n * 48_271) % smallRows}`

describeIf('mount', 'a full disk', () => {
  test('refuses a write before it is visible; deletes, checkpoints and a close go on', () =>
    withDisk(24 << 20, async (path, disk) => {
      const db = await open(path)
      const bucket = db.bucket('b')
      const written = await writeUntilRefused(db)
      expect(written).toBeGreaterThan(100)
      expect(bucket.has(`w${written}`)).toBe(false)
      expect(bucket.count()).toBe(written)
      expect(db.stats().poisoned).toBe(false)
      await expectRefusal('ERR_NO_SPACE', () =>
        db.update((tx) => tx.bucket('b').put('k', Buffer.alloc(16 << 20))),
      )
      for (let n = 0; n < 50; n++) await bucket.delete(`w${n}`)
      await db.checkpoint()
      await db.deleteBucket('b')
      await db.checkpoint()
      await db.checkpoint()
      await bucket.put('after', 'v')
      await db.close()
      expect(await disk.names()).toEqual(['data.db'])
      await verifyFile(path)
    }))

  // Few of these share a page, or half of their last page is empty.
  test.each([1000, 1300, 1900, 2100, 4100])(
    'that one store has filled with rows of %i bytes has room for its page file',
    (rowBytes) =>
      withDisk(12 << 20, async (path, disk) => {
        const db = await open(path, { ...untimed, checkpointBytes: 1 << 30 })
        const written = await writeUntilRefused(db, rowBytes)
        await db.checkpoint()
        expect(await writeUntilRefused(db, rowBytes)).toBeGreaterThan(0)
        await db.close()
        expect(await disk.names()).toEqual(['data.db'])
        expect(written).toBeGreaterThan(500)
        await verifyFile(path)
      }),
  )

  // Each dirties another page: a checkpoint writes far more than the journal holds.
  test('takes scattered overwrites without end: after a refusal a checkpoint makes room', () =>
    withDisk(24 << 20, async (path) => {
      const db = await open(path, untimed)
      await writeSmallRows(db)
      const bucket = db.bucket('b')
      let refusals = 0
      for (let n = 0; n < 30_000; n++) {
        if (isAccepted(() => bucket.put(scattered(n), smallRow))) continue
        await db.checkpoint()
        await bucket.put(scattered(n), smallRow)
        refusals++
      }
      expect(refusals).toBeGreaterThan(0)
      for (let n = 0; n < 10_000; n++) {
        if (isAccepted(() => bucket.delete(scattered(n)))) continue
        await db.checkpoint()
        await bucket.delete(scattered(n))
      }
      await db.checkpoint()
      expect(db.stats()).toMatchObject({ poisoned: false, checkpointFailing: false })
      await db.close()
      await verifyFile(path)
    }))

  test('is no obstacle to scattered overwrites that are awaited: checkpoints begin in time', () =>
    withDisk(24 << 20, async (path) => {
      const db = await open(path, untimed)
      await writeSmallRows(db)
      for (let n = 0; n < 20_000; n += 100) {
        for (let m = n; m < n + 99; m++) void db.bucket('b').put(scattered(m), smallRow)
        await db.bucket('b').put(scattered(n + 99), smallRow)
      }
      await db.close()
      await verifyFile(path)
    }))

  test('that has refused a write begins a checkpoint, without a timer', () =>
    withDisk(24 << 20, async (path) => {
      const db = await open(path, untimed)
      using checkpoints = new Checkpoints()
      await writeUntilRefused(db)
      await checkpoints.of(db, 1)
      await db.bucket('b').put('after', 'v')
      await db.close()
      await verifyFile(path)
    }))

  test('that others fill refuses writes, and takes them when it has space, without reopening', () =>
    withDisk(24 << 20, async (path, disk) => {
      const db = await open(path)
      const bucket = db.bucket('b')
      for (let n = 0; n < 100; n++) await bucket.put(`k${n}`, Buffer.alloc(1000, 'x'))
      await disk.fill()
      const written = await writeUntilRefused(db)
      expect(bucket.count()).toBe(100 + written)
      for (let n = 0; n < 50; n++) await bucket.delete(`k${n}`)
      const hash = await db.hash()
      await disk.free()
      for (let n = 0; n < 50; n++) await bucket.put(`n${n}`, Buffer.alloc(20_000, 'x'))
      for (let n = 0; n < 50; n++) await bucket.delete(`n${n}`)
      expect(await db.hash()).toBe(hash)
      await db.checkpoint()
      await db.close()
      await verifyFile(path, hash)
    }))

  test('leaves the journal beside a closed file that cannot take it, and opens', () =>
    withDisk(24 << 20, async (path, disk) => {
      const db = await open(path, { ...untimed, checkpointBytes: 1 << 30 })
      await writeRows(db, 200)
      await disk.fill()
      const hash = await db.hash() // a checkpoint follows
      const error = await expectRefusal('ERR_NO_SPACE', () => db.close())
      expect(error.message).toMatch(/journal/)
      expect(await disk.journals()).not.toEqual([])
      const again = await open(path)
      expect(await again.hash()).toBe(hash)
      await again.bucket('b').delete('r0')
      await disk.free()
      await writeRows(again, 1)
      await again.close()
      expect(await disk.names()).toEqual(['data.db'])
      await verifyFile(path, hash)
    }))

  test('that a process left behind with a journal opens, serves, and catches up in the end', () =>
    withDisk(96 << 20, async (path, disk) => {
      const db = await open(path, { ...untimed, checkpointBytes: 1 << 30 })
      await writeRows(db, 400)
      const crashed = await copyAsCrashed(db, join(disk.directory, 'crashed'))
      const hash = await db.hash()
      await db.close()
      await rm(path)
      await disk.fill()
      const again = await open(crashed)
      expect(await again.hash()).toBe(hash)
      expect(again.stats().coveredSeq).toBeLessThan(again.stats().lastSeq)
      await again.bucket('b').delete('r0')
      await disk.free()
      await writeRows(again, 1)
      await again.checkpoint()
      expect(again.stats().coveredSeq).toBe(again.stats().lastSeq)
      expect(await again.hash()).toBe(hash)
      await again.close()
      await verifyFile(crashed, hash)
    }))

  test('that takes away what the journal was given poisons, and is told on a channel', () =>
    withDisk(8 << 20, async (path, disk) => {
      const db = await open(path)
      let tell = (_: unknown): void => {}
      const told = new Promise<unknown>((resolve) => (tell = resolve))
      const unhandled: unknown[] = []
      const note = (reason: unknown): unknown => unhandled.push(reason)
      subscribe('hotbolt:poisoned', tell)
      process.on('unhandledRejection', note)
      try {
        await db.bucket('b').put('first', 'v')
        for (const name of await disk.journals()) await truncate(join(disk.directory, name), 0)
        await disk.fill()
        void db.bucket('b').put('k', Buffer.alloc(100_000))
        expect(await told).toMatchObject({ path: db.path, error: { code: 'ERR_NO_SPACE' } })
        await new Promise((resolve) => {
          setImmediate(resolve)
        })
        expect(unhandled).toEqual([])
      } finally {
        process.off('unhandledRejection', note)
        unsubscribe('hotbolt:poisoned', tell)
      }
      await expectRefusal('ERR_POISONED', () => db.bucket('b').put('next', 'v'))
      await expectRefusal('ERR_POISONED', () => db.close())
    }))

  test('while checkpointing fails the checkpoint alone, which is done again later', () =>
    withDisk(32 << 20, async (path, disk) => {
      const db = await open(path, { ...untimed, checkpointBytes: 1 << 30 })
      const bucket = db.bucket('b')
      await bucket.put('first', 'v')
      await db.checkpoint()
      for (let n = 0; n < 1000; n++) void bucket.put(`k${n}`, Buffer.alloc(3000, 'x'))
      await db.flush()
      await disk.fill()
      const hash = await db.hash() // a checkpoint follows
      await expectRefusal('ERR_NO_SPACE', () => db.checkpoint())
      expect(await db.hash()).toBe(hash)
      expect(db.stats().poisoned).toBe(false)
      await disk.free()
      await bucket.put('after', 'v')
      await db.checkpoint()
      expect(db.stats().checkpointFailing).toBe(false)
      expect(bucket.count()).toBe(1002)
      await db.close()
      await verifyFile(path)
    }))

  test('that is small suffices for a small database, to defragment and to back up', () =>
    withDisk(8 << 20, async (path) => {
      const db = await open(path)
      for (let n = 0; n < 500; n++) void db.bucket('b').put(`k${n}`, Buffer.alloc(200, 'x'))
      await db.checkpoint()
      await db.defrag()
      await db.backup(`${path}.backup`)
      await db.close()
    }))

  test('makes a defragmentation give way, and not the writers whose journal it keeps', () =>
    withDisk(64 << 20, async (path) => {
      const db = await open(path, { checkpointBytes: 1 << 20, maxRetainedBytes: 1 << 20 })
      for (let n = 0; n < 100; n++) void db.bucket('b').put(`k${n}`, Buffer.alloc(10_000, 'x'))
      await db.checkpoint()
      let code: string | undefined
      void db.defrag({ bytesPerSecond: 1000 }).catch((error: unknown) => {
        code = (error as HotboltError).code
      })
      for (let n = 0; code === undefined; n++) {
        await db.bucket('b').put(`k${n % 100}`, Buffer.alloc(10_000, String(n)))
      }
      expect(code).toBe('ERR_NO_SPACE')
      await db.close()
    }))

  test('before a defragmentation is found out before anything is copied', () =>
    withDisk(16 << 20, async (path, disk) => {
      const db = await open(path)
      for (let n = 0; n < 500; n++) void db.bucket('b').put(`k${n}`, Buffer.alloc(3000, 'x'))
      await db.checkpoint()
      const hash = await db.hash()
      // Enough for the copy, not for the journal that it may keep.
      await disk.fill(3 << 20)
      const error = await expectRefusal('ERR_NO_SPACE', () => db.defrag())
      expect(error.message).toMatch(/\d{6,}/)
      expect(await disk.temporaries()).toEqual([])
      await db.bucket('b').put('after', 'v')
      await db.bucket('b').delete('after')
      expect(await db.hash()).toBe(hash)
      await db.close()
      await verifyFile(path, hash)
    }))

  test.each(['before-copy', 'round'] as const)(
    'at %s aborts the defragmentation, removes its file, and the database serves on',
    (point) =>
      withDisk(64 << 20, async (path, disk) => {
        const db = await open(path, { ...untimed, checkpointBytes: 1 << 30 })
        const bucket = db.bucket('b')
        for (let n = 0; n < 1000; n++) void bucket.put(`k${n}`, Buffer.alloc(3000, 'x'))
        await db.checkpoint()
        const held = holdDefragAt(db, point)
        await held.reached
        if (point === 'round') {
          for (let n = 0; n < 1000; n++) void bucket.put(`l${n}`, Buffer.alloc(3000, 'y'))
          await db.flush()
        }
        const hash = await db.hash()
        await disk.fill()
        held.release()
        await expectRefusal('ERR_NO_SPACE', () => held.report)
        expect(await disk.temporaries()).toEqual([])
        expect(await db.hash()).toBe(hash)
        expect(db.stats()).toMatchObject({ poisoned: false, defragPhase: 'aborted' })
        await disk.free()
        await bucket.put('after', 'v')
        await db.defrag()
        await bucket.delete('after')
        expect(await db.hash()).toBe(hash)
        await db.close()
        await verifyFile(path, hash)
      }),
  )

  test('while a database is made leaves nothing', () =>
    withDisk(1 << 20, async (path, disk) => {
      await disk.fill()
      await expectRefusal('ERR_NO_SPACE', () => open(path))
      expect(leftovers(path)).toEqual([])
      expect(await readdir(disk.directory)).toEqual(['ballast'])
      await disk.free()
      await (await open(path)).close()
      await verifyFile(path)
    }))
})

interface Limited {
  readonly acknowledged: number
  readonly readable: number
  readonly codes: readonly string[]
}

describeIf('linux', 'a limit on the size of files', () => {
  // In units of 1024 bytes.
  const cases: [string, string, number][] = [
    ['journaling', 'journal', 300],
    ['checkpointing', 'checkpoint', 300],
    ['checkpointing in the background', 'backlog', 300],
  ]
  test.each(cases)('that is met while %s is ERR_NO_SPACE, not the end', (_, phase, limit) =>
    inDirectory(async (directory) => {
      const path = join(directory, 'data.db')
      const before = `ulimit -f ${limit}`
      const [line] = await runChild('limited', [path, phase], { before })
      const result = JSON.parse(line!) as Limited
      expect(result.codes[0]).toBe('ERR_NO_SPACE')
      expect(result.acknowledged).toBeGreaterThan(0)
      // What waits for the page file is bounded: 512 KiB of memtables, a few more, and the file.
      if (phase === 'backlog') expect(result.acknowledged).toBeLessThan(400)
      expect(result.readable).toBeGreaterThanOrEqual(result.acknowledged)
      const db = await open(path)
      for (let n = 0; n < result.acknowledged; n++) {
        expect(db.bucket('b').has(`k${n}`), `k${n}`).toBe(true)
      }
      await db.close()
      await verifyFile(path)
    }),
  )
})
