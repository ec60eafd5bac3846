// Backups as streams, and etcd's snapshots: the same bytes as a file, memory that is bounded, and
// real etcd to restore them.

import { createHash } from 'node:crypto'
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { createWriteStream } from 'node:fs'
import { chmod, chown, readFile, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { pipeline } from 'node:stream/promises'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'
import {
  open,
  verifyEtcdSnapshot,
  type BackupStreamOptions,
  type Database,
} from '../../lib/index.ts'
import { etcdMemberFacts, extractEtcdDatabase } from '../fixtures/etcd.ts'
import { allKeys, startEtcd } from '../oracle/etcd.ts'
import { runChild } from '../support/child.ts'
import { copyAsCrashed } from '../support/crashed.ts'
import { randomFrom } from '../support/random.ts'
import { expectRefusal } from '../support/refusal.ts'
import { testIf, toolPath } from '../support/tools.ts'
import {
  holdDefragAt,
  inDirectory,
  leftovers,
  openFilesIn,
  smallPages,
  verifyFile,
  withDatabase,
} from '../support/with-database.ts'

const pieceBytes = 256 << 10

async function fill(db: Database, bytes: number): Promise<void> {
  const value = Buffer.alloc(1000, 'v')
  for (let n = 0; n < bytes / 1000; n++) void db.bucket('b').put(`k${n}`, value)
  await db.flush()
}

/** The journal's segments are no leftovers while a database is open. */
function temporaries(db: Database): string[] {
  return leftovers(db.path).filter((name) => !name.includes('-journal-'))
}

/** Everything the stream gives, in a file. */
async function save(stream: Readable, path: string): Promise<string> {
  await pipeline(stream, createWriteStream(path))
  return path
}

const variants: readonly BackupStreamOptions[] = [
  {},
  { compact: true },
  { format: 'etcd-snapshot' },
  { compact: true, format: 'etcd-snapshot' },
]

describe.each(variants)('a stream, %o', (options) => {
  test(
    'has what was written before the call, at least, while writers go on',
    withDatabase(async ({ db, directory }) => {
      await fill(db, 300_000)
      for (let n = 0; n < 10; n++) {
        void db.bucket('b').put('newest', `${n}`)
        const stream = db.backupStream(options)
        void db.bucket('b').put('newest', `later than ${n}`)
        const path = await save(stream, join(directory, `copy-${n}.db`))
        await verifyFile(path)
        const copy = await open(path, { readOnly: true })
        const newest = copy.bucket('b', { value: 'utf8' }).get('newest')
        expect([`${n}`, `later than ${n}`]).toContain(newest)
        await copy.close()
      }
      expect(temporaries(db)).toEqual([])
    }, smallPages),
  )

  test(
    'is made of a read-only database with a leftover journal too, and leaves nothing beside it',
    withDatabase(async ({ db, directory }) => {
      await fill(db, 50_000)
      await db.checkpoint()
      await db.bucket('b').put('in the journal', 'only')
      const crashed = await copyAsCrashed(db, join(directory, 'crashed'))
      const reader = await open(crashed, { readOnly: true })
      const path = await save(reader.backupStream(options), join(directory, 'copy.db'))
      expect(temporaries(reader)).toEqual([])
      await reader.close()
      await verifyFile(path, await db.hash())
    }),
  )

  test(
    'is right while a defragmentation stands still, and goes on when it exchanges the file',
    withDatabase(async ({ db, directory }) => {
      await fill(db, 1_000_000)
      for (const point of ['after-copy', 'before-publish', 'before-clean'] as const) {
        const held = holdDefragAt(db, point)
        await held.reached
        await db.bucket('b').put('at', point)
        const hash = await db.hash()
        const whole = await save(db.backupStream(options), join(directory, `${point}.db`))
        const stream = db.backupStream(options)
        await once(stream, 'readable')
        held.release()
        await held.report
        await verifyFile(await save(stream, join(directory, `${point}-across.db`)), hash)
        await verifyFile(whole, hash)
      }
    }, smallPages),
  )
})

test(
  'a stream has the bytes of a backup to a file',
  withDatabase(async ({ db, directory }) => {
    await fill(db, 1_000_000)
    await db.checkpoint()
    await db.backup(join(directory, 'copy.db'))
    const bytes = await readFile(join(directory, 'copy.db'))
    expect((await buffer(db.backupStream())).equals(bytes)).toBe(true)
    const snapshot = await buffer(db.backupStream({ format: 'etcd-snapshot' }))
    expect(snapshot.subarray(0, -32).equals(bytes)).toBe(true)
    const digest = createHash('sha256').update(bytes).digest()
    expect(snapshot.subarray(-32).equals(digest)).toBe(true)
  }),
)

test(
  'nothing is read ahead for a reader that does not read, and destroying it lets everything go',
  withDatabase(async ({ db, directory }) => {
    await fill(db, 4_000_000)
    await db.checkpoint()
    for (const compact of [false, true]) {
      const stream = db.backupStream({ compact })
      await once(stream, 'readable')
      for (let n = 0; n < 20; n++) {
        await db.flush()
        expect(stream.readableLength).toBeLessThanOrEqual(2 * pieceBytes)
      }
      expect(stream.read(1000)).toHaveLength(1000)
      await db.defrag()
      const pinned = db.stats().pendingReclaimBytes
      if (!compact) expect(pinned).toBeGreaterThan(0)
      stream.destroy()
      await once(stream, 'close')
      await expect.poll(() => db.stats().pendingReclaimBytes).toBe(0)
      await expect
        .poll(() => openFilesIn(directory).filter((file) => file.includes('(deleted)')))
        .toEqual([])
      expect(temporaries(db)).toEqual([])
    }
  }),
)

test(
  'a signal ends a stream before, while it is built, and while it is read',
  withDatabase(async ({ db }) => {
    await fill(db, 2_000_000)
    const reason = new Error('no more')
    for (const compact of [false, true]) {
      const before = db.backupStream({ compact, signal: AbortSignal.abort(reason) })
      expect((await expectRefusal('ERR_ABORTED', () => buffer(before))).cause).toBe(reason)
      const controller = new AbortController()
      const slow = { compact, bytesPerSecond: 1 << 20, signal: controller.signal }
      const atOnce = buffer(db.backupStream(slow))
      controller.abort(reason)
      expect((await expectRefusal('ERR_ABORTED', () => atOnce)).cause).toBe(reason)
      const later = new AbortController()
      const stream = db.backupStream({ compact, signal: later.signal })
      await once(stream, 'readable')
      const ended = expectRefusal('ERR_ABORTED', () => buffer(stream))
      later.abort(reason)
      expect((await ended).cause).toBe(reason)
    }
    await expect.poll(() => temporaries(db)).toEqual([])
  }),
)

test('a close ends streams, whether they are read, waited for, or built', () =>
  inDirectory(async (directory) => {
    const db = await open(join(directory, 'data.db'))
    await fill(db, 2_000_000)
    const streams = [
      db.backupStream(),
      db.backupStream({ bytesPerSecond: 1 << 18 }),
      db.backupStream({ compact: true, bytesPerSecond: 1 << 18 }),
    ]
    const ends = streams.map((stream) => expectRefusal('ERR_ABORTED', () => buffer(stream)))
    const idle = db.backupStream()
    const idleEnd = once(idle, 'error')
    await db.close()
    for (const end of ends) expect((await end).cause).toMatchObject({ code: 'ERR_CLOSED' })
    await idleEnd
    expect(await readdir(directory)).toEqual(['data.db'])
    expect(openFilesIn(directory)).toEqual([])
    await expectRefusal('ERR_CLOSED', () => db.backupStream())
    await verifyFile(join(directory, 'data.db'))
  }))

test(
  'bytesPerSecond holds for a stream too, and wrong options are refused at once',
  withDatabase(async ({ db }) => {
    await fill(db, 1_000_000)
    await db.checkpoint()
    const startMs = performance.now()
    const { length } = await buffer(db.backupStream({ bytesPerSecond: 2 << 20 }))
    const elapsedMs = performance.now() - startMs
    expect(elapsedMs).toBeGreaterThan(((length - pieceBytes) / (2 << 20)) * 1000 - 50)
    await expectRefusal('ERR_INVALID_ARGUMENT', () =>
      db.backupStream({ compact: 1 as unknown as boolean }),
    )
  }),
)

describe('an etcd snapshot', () => {
  test(
    'is verified; its report tells the hash that it ends with; any byte that changes is found',
    withDatabase(async ({ db, directory }) => {
      await fill(db, 40_000)
      const path = join(directory, 'snapshot.db')
      const report = await db.backup(path, { format: 'etcd-snapshot' })
      const bytes = await readFile(path)
      const sha256 = createHash('sha256').update(bytes.subarray(0, -32)).digest('hex')
      expect(report).toMatchObject({ sizeBytes: bytes.length, sha256 })
      expect(await verifyEtcdSnapshot(path)).toEqual({ sizeBytes: bytes.length, sha256 })
      const random = randomFrom(1)
      const damaged = join(directory, 'damaged.db')
      const places = Array.from({ length: 100 }, () => random(bytes.length))
      for (const at of [0, 80, bytes.length - 33, bytes.length - 32, bytes.length - 1, ...places]) {
        const copy = Buffer.from(bytes)
        copy[at]! ^= 1 << random(8)
        await writeFile(damaged, copy)
        await expectRefusal('ERR_BACKUP_CORRUPT', () => verifyEtcdSnapshot(damaged))
      }
      for (const size of [0, 31, 32, bytes.length - 1, bytes.length - 32]) {
        await writeFile(damaged, bytes.subarray(0, size))
        await expectRefusal('ERR_BACKUP_CORRUPT', () => verifyEtcdSnapshot(damaged))
      }
      await expectRefusal('ERR_NOT_FOUND', () => verifyEtcdSnapshot(join(directory, 'missing')))
      await expectRefusal('ERR_NOT_A_FILE', () => verifyEtcdSnapshot(directory))
      await expectRefusal('ERR_INVALID_ARGUMENT', () => verifyEtcdSnapshot(''))
    }),
  )

  test(
    'opens as a database; opened for writing it becomes a plain one',
    withDatabase(async ({ db, directory }) => {
      await fill(db, 40_000)
      const path = join(directory, 'snapshot.db')
      await db.backup(path, { format: 'etcd-snapshot' })
      const hash = await db.hash()
      const before = await readFile(path)
      const reader = await open(path, { readOnly: true })
      expect(await reader.hash()).toBe(hash)
      expect((await reader.check()).ok).toBe(true)
      await reader.close()
      expect((await readFile(path)).equals(before)).toBe(true)
      const writer = await open(path)
      expect(await writer.hash()).toBe(hash)
      await writer.bucket('b').put('k', 'v')
      const changed = await writer.hash()
      await writer.close()
      await verifyFile(path, changed)
      expect((await readFile(path)).length % 512).toBe(0)
      await expectRefusal('ERR_BACKUP_CORRUPT', () => verifyEtcdSnapshot(path))
    }),
  )

  testIf(
    ['etcd', 'etcdctl'],
    'is restored by real etcd, which has every key and revision then',
    () =>
      inDirectory(async (directory) => {
        const source = join(directory, 'member.db')
        await extractEtcdDatabase(source)
        const db = await open(source)
        const files = [join(directory, 'file.db'), join(directory, 'stream.db')] as const
        await db.backup(files[0], { format: 'etcd-snapshot', compact: true })
        await save(db.backupStream({ format: 'etcd-snapshot' }), files[1])
        await db.close()
        for (const [index, file] of files.entries()) {
          await verifyEtcdSnapshot(file)
          const dataDir = join(directory, `restored-${index}`)
          const restore = ['snapshot', 'restore', file, '--data-dir', dataDir]
          const env = { ...process.env, ETCDCTL_API: '3' }
          await promisify(execFile)(toolPath('etcdctl'), restore, { env })
          await using server = await startEtcd(dataDir)
          const { kvs, revision } = await allKeys(server.endpoint)
          expect(kvs.length).toBe(etcdMemberFacts.keys)
          expect(revision).toBe(etcdMemberFacts.revision)
        }
      }),
  )
})

testIf('root', 'of a file that may only be read, a compact stream leaves nothing behind', () =>
  inDirectory(async (directory) => {
    const path = join(directory, 'data.db')
    const db = await open(path)
    await fill(db, 40_000)
    await db.close()
    const uid = 65_534
    for (const each of [directory, path]) await chown(each, uid, uid)
    await chmod(path, 0o400)
    const [bytes] = await runChild('read-only-stream', [path, `${uid}`])
    expect(Number(bytes)).toBeGreaterThan(40_000)
    expect(await readdir(directory)).toEqual(['data.db'])
  }),
)
