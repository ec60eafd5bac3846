// What is given to open() and is no database, or a damaged one; and wrong arguments. Each is
// refused with its code and a sentence, touches nothing and leaks nothing.

import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { link, mkdir, readdir, readFile, stat, symlink, truncate } from 'node:fs/promises'
import { lstat, readlink, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { HotboltError, open, type Bucket, type BucketOptions } from '../../lib/index.ts'
import type { ErrorCode, NameOptions, OpenOptions, TransactionBucket } from '../../lib/index.ts'
import { changeMetas, flipByte, metaOffset, patchFile, readMetas } from '../support/page-file.ts'
import { copyAsCrashed } from '../support/crashed.ts'
import { errorOf, expectOpenRefusal, expectRefusal } from '../support/refusal.ts'
import { describeIf, testIf } from '../support/tools.ts'
import {
  damagedOnPurpose,
  inDirectory,
  openFilesIn,
  smallPages,
  verifyFile,
  withDatabase,
} from '../support/with-database.ts'
import { Child } from '../support/child.ts'

const hashOfFile = async (path: string): Promise<string> =>
  createHash('sha256')
    .update(await readFile(path))
    .digest('hex')

/** A closed database of a few pages, of two commits with known keys. */
async function makeDatabase(path: string, options: OpenOptions = {}): Promise<void> {
  const db = await open(path, { pageSize: 4096, ...options })
  for (let n = 0; n < 200; n++) void db.bucket('b').put(`k${n}`, `value ${n}`.repeat(5))
  await db.checkpoint()
  await db.bucket('b').put('last', 'v')
  await db.checkpoint()
  await db.close()
}

const inPath = (run: (path: string, directory: string) => Promise<void>) => () =>
  inDirectory((directory) => run(join(directory, 'data.db'), directory))

describe('a file that is no database', () => {
  const contents: [string, Buffer, ErrorCode[]][] = [
    ['an empty file', Buffer.alloc(0), ['ERR_NOT_A_DATABASE']],
    ['one byte', Buffer.from('x'), ['ERR_NOT_A_DATABASE']],
    ['a text', Buffer.alloc(20_000, 'All work and no play. '), ['ERR_NOT_A_DATABASE']],
    ['zeros', Buffer.alloc(65_536), ['ERR_NOT_A_DATABASE']],
    ['ones', Buffer.alloc(65_536, 0xff), ['ERR_NOT_A_DATABASE']],
    [
      'an SQLite file',
      Buffer.concat([Buffer.from('SQLite format 3\0'), Buffer.alloc(8000)]),
      ['ERR_NOT_A_DATABASE'],
    ],
  ]
  test.each(contents)('%s is refused and left as it is', (_, content, codes) =>
    inPath(async (path, directory) => {
      await writeFile(path, content)
      for (const readOnly of [false, true]) {
        // Of an empty file a database is made where one may be made.
        const options = { readOnly, create: content.length > 0 }
        await expectOpenRefusal(codes, directory, () => open(path, options))
      }
      expect((await readFile(path)).equals(content)).toBe(true)
      expect(await readdir(directory)).toEqual(['data.db'])
    })(),
  )

  test(
    'an empty file becomes a database, as with bbolt, and keeps its mode',
    inPath(async (path, directory) => {
      await writeFile(path, '', { mode: 0o640 })
      const link = join(directory, 'link')
      await symlink(path, link)
      const db = await open(link, { pageSize: 1024 })
      expect(db.path).toBe(path)
      expect(db.stats().pageSize).toBe(1024)
      await db.bucket('b').put('k', 'v')
      await db.close()
      expect((await stat(path)).mode & 0o777).toBe(0o640)
      expect((await readdir(directory)).toSorted()).toEqual(['data.db', 'link'])
      await verifyFile(path)
    }),
  )

  test(
    'an empty file is made a database once, however many ask',
    inPath(async (path, directory) => {
      await writeFile(path, '')
      const asked = await Promise.allSettled(Array.from({ length: 8 }, () => open(path)))
      const opened = asked.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : []))
      expect(opened).toHaveLength(1)
      for (const each of asked) {
        if (each.status === 'rejected') expect(each.reason).toMatchObject({ code: 'ERR_LOCKED' })
      }
      await opened[0]?.close()
      await verifyFile(path)
      expect(await readdir(directory)).toEqual(['data.db'])
    }),
  )

  test(
    'an empty file beside a journal is what is left of a database, and left as it is',
    inPath(async (path, directory) => {
      const db = await open(path)
      await db.bucket('b').put('k', 'v')
      const crashed = await copyAsCrashed(db, join(directory, 'crashed'))
      await db.close()
      await truncate(crashed, 0)
      const error = await expectOpenRefusal('ERR_NOT_A_DATABASE', directory, () => open(crashed))
      expect(error.message).toContain('journal')
      expect((await stat(crashed)).size).toBe(0)
    }),
  )

  test(
    'a file that does not exist is ERR_NOT_FOUND unless it may be made',
    inPath(async (path, directory) => {
      await expectOpenRefusal('ERR_NOT_FOUND', directory, () => open(path, { create: false }))
      await expectOpenRefusal('ERR_NOT_FOUND', directory, () => open(path, { readOnly: true }))
      const deeper = join(directory, 'missing', 'data.db')
      await expectOpenRefusal('ERR_NOT_FOUND', directory, () => open(deeper))
      const below = join(directory, 'file')
      await writeFile(below, 'x')
      const error = await errorOf(() => open(join(below, 'data.db')))
      expect(error).toBeInstanceOf(HotboltError)
      expect(await readdir(directory)).toEqual(['file'])
    }),
  )

  test(
    'a directory is ERR_NOT_A_FILE',
    inPath(async (path, directory) => {
      await mkdir(path)
      await expectOpenRefusal('ERR_NOT_A_FILE', directory, () => open(path))
      await expectOpenRefusal('ERR_NOT_A_FILE', directory, () => open(path, { readOnly: true }))
    }),
  )

  testIf(
    'linux',
    'a named pipe, a socket and a device are ERR_NOT_A_FILE and hang nobody',
    inPath(async (path, directory) => {
      execFileSync('mkfifo', [path])
      await expectOpenRefusal('ERR_NOT_A_FILE', directory, () => open(path))
      await expectOpenRefusal('ERR_NOT_A_FILE', directory, () => open(path, { readOnly: true }))
      const socket = join(directory, 'socket')
      const server = createServer().listen(socket)
      await expectOpenRefusal('ERR_NOT_A_FILE', directory, () => open(socket))
      server.close()
      await expectRefusal('ERR_NOT_A_FILE', () => open('/dev/null'))
    }),
  )
})

describe('a damaged file', () => {
  type Damage = (path: string) => Promise<void>
  const write32 = (offset: number, value: number) => (meta: Buffer) =>
    void meta.writeUInt32LE(value, offset)
  const write64 = (offset: number, value: bigint) => (meta: Buffer) =>
    void meta.writeBigUInt64LE(value, offset)
  const metas =
    (change: (meta: Buffer) => void, keepChecksum = false): Damage =>
    (path) =>
      changeMetas(path, change, { keepChecksum })

  const damages: [string, Damage, ErrorCode[]][] = [
    ['a wrong version', metas(write32(4, 3)), ['ERR_VERSION']],
    ['a wrong version and checksum', metas(write32(4, 1), true), ['ERR_VERSION']],
    ['both checksums wrong', metas(write64(48, 99n), true), ['ERR_CHECKSUM']],
    [
      'the bytes of a big-endian machine',
      metas((meta) => void meta.swap32(), true),
      ['ERR_BYTE_ORDER'],
    ],
    ['a page size of 0', metas(write32(8, 0)), ['ERR_PAGE_SIZE']],
    ['a page size of 512', metas(write32(8, 512)), ['ERR_PAGE_SIZE']],
    ['a page size of 3000', metas(write32(8, 3000)), ['ERR_PAGE_SIZE']],
    ['a page size of 2 GiB', metas(write32(8, 2 ** 31)), ['ERR_PAGE_SIZE']],
    [
      'half of its pages',
      async (path) => truncate(path, (await readMetas(path))[0].highWater * 2048),
      ['ERR_TRUNCATED'],
    ],
    ['two pages', (path) => truncate(path, 8192), ['ERR_TRUNCATED']],
    ['one page', (path) => truncate(path, 4096), ['ERR_TRUNCATED']],
    ['a high water mark beyond its end', metas(write64(40, 1_000_000n)), ['ERR_TRUNCATED']],
    ['a high water mark beyond all files', metas(write64(40, 2n ** 63n)), ['ERR_TRUNCATED']],
  ]
  test.each(damages)('with %s is refused and left as it is', (_, damage, codes) =>
    inPath(async (path, directory) => {
      await makeDatabase(path)
      await damage(damagedOnPurpose(path))
      const before = await hashOfFile(path)
      await expectOpenRefusal(codes, directory, () => open(path))
      await expectOpenRefusal(codes, directory, () => open(path, { readOnly: true }))
      expect(await hashOfFile(path)).toBe(before)
      expect(await readdir(directory)).toEqual(['data.db'])
    })(),
  )

  // Found at open or when it is read; never a crash, never silence.
  const wrongPages: [string, Damage][] = [
    ['a root beyond the end', metas(write64(16, 500_000n))],
    ['a root that is a meta page', metas(write64(16, 1n))],
    ['a free list beyond the end', metas(write64(32, 500_000n))],
    [
      'a free list that is the root',
      async (path) => {
        const root = BigInt((await readMetas(path))[0].root)
        await changeMetas(path, write64(32, root))
      },
    ],
    ['a page size of twice its own', metas(write32(8, 8192))],
    ['a page size of half its own', metas(write32(8, 2048))],
    [
      'a root page of another kind',
      async (path) => {
        const [zero, one] = await readMetas(path)
        const root = zero.txid > one.txid ? zero.root : one.root
        await patchFile(path, root * 4096 + 8, Buffer.from([0x10, 0]))
      },
    ],
  ]
  test.each(wrongPages)('with %s is found out', (_, damage) =>
    inPath(async (path, directory) => {
      await makeDatabase(path)
      await damage(damagedOnPurpose(path))
      const before = await hashOfFile(path)
      const error = await errorOf(async () => {
        await using db = await open(path, { readOnly: true })
        const report = await db.check()
        if (!report.ok) throw new HotboltError('ERR_CORRUPT', report.issues[0]!.message)
        await db.hash()
      })
      expect(error).toBeInstanceOf(HotboltError)
      expect(openFilesIn(directory)).toEqual([])
      expect(await hashOfFile(path)).toBe(before)
    })(),
  )

  test.each([0, 1])('with a bad checksum in meta %i alone opens', (page) =>
    inPath(async (path) => {
      await makeDatabase(path)
      const [zero, one] = await readMetas(path)
      const newest = zero.txid > one.txid ? 0 : 1
      await flipByte(path, page * 4096 + metaOffset + 56)
      const db = await open(path)
      expect(db.bucket('b').count()).toBeGreaterThanOrEqual(200)
      // The newest is the closing commit, which changed no key.
      expect(db.stats().txid).toBe((page === newest ? Math.min : Math.max)(zero.txid, one.txid))
      await db.bucket('b').put('after', 'v')
      await db.close()
      await verifyFile(path)
    })(),
  )
})

describe('links', () => {
  test(
    'a symbolic link opens its target, and a defragmentation keeps the link',
    inPath(async (path, directory) => {
      await mkdir(join(directory, 'elsewhere'))
      const target = join(directory, 'elsewhere', 'real.db')
      await makeDatabase(target)
      await symlink(join('elsewhere', 'real.db'), path)
      const inode = (await stat(target)).ino
      const db = await open(path)
      expect(db.path).toBe(target)
      await db.defrag()
      await db.bucket('b').put('after', 'v')
      await db.close()
      expect((await lstat(path)).isSymbolicLink()).toBe(true)
      expect(await readlink(path)).toBe(join('elsewhere', 'real.db'))
      expect((await stat(target)).ino).not.toBe(inode)
      expect((await readdir(directory)).toSorted()).toEqual(['data.db', 'elsewhere'])
      expect(await readdir(join(directory, 'elsewhere'))).toEqual(['real.db'])
      await verifyFile(path)
    }),
  )

  test(
    'a link to nothing is refused, or makes its target, but is never replaced',
    inPath(async (path, directory) => {
      await symlink(join(directory, 'nothing.db'), path)
      await expectOpenRefusal('ERR_NOT_FOUND', directory, () => open(path, { create: false }))
      const error = await errorOf(async () => (await open(path)).close())
      if (error !== undefined) expect((error as HotboltError).code).toBe('ERR_NOT_FOUND')
      expect((await lstat(path)).isSymbolicLink()).toBe(true)
      expect((await readdir(directory)).filter((name) => name.includes('-'))).toEqual([])
      expect(openFilesIn(directory)).toEqual([])
    }),
  )

  test(
    'a link to itself is refused',
    inPath(async (path) => {
      await symlink(path, path)
      const error = await errorOf(() => open(path))
      expect(error).toBeInstanceOf(HotboltError)
      expect((error as HotboltError).code).not.toBe('ERR_INTERNAL')
    }),
  )

  test(
    'two names of one file are one database',
    inPath(async (path, directory) => {
      await makeDatabase(path)
      await link(path, join(directory, 'hard.db'))
      await symlink(path, join(directory, 'soft.db'))
      const db = await open(path)
      for (const name of ['hard.db', 'soft.db']) {
        await expectRefusal('ERR_LOCKED', () => open(join(directory, name)))
      }
      await db.close()
      await verifyFile(path)
    }),
  )
})

describe('permissions', () => {
  testIf(
    'root',
    'a file that may not be read or written is ERR_PERMISSION',
    inPath(async (path, directory) => {
      await makeDatabase(path, { mode: 0o600 })
      execFileSync('chmod', ['755', directory])
      for (const options of [{}, { readOnly: true }]) {
        await using child = new Child('hold', [path, JSON.stringify(options), '65534'])
        expect(await child.line()).toMatch(/^ERR_PERMISSION \S+ .*data\.db/)
      }
      execFileSync('chmod', ['644', path])
      await using writer = new Child('hold', [path, '{}', '65534'])
      expect(await writer.line()).toMatch(/^ERR_PERMISSION /)
      await using reader = new Child('hold', [path, '{"readOnly":true}', '65534'])
      expect(await reader.line()).toBe('open')
      await using maker = new Child('hold', [join(directory, 'new.db'), '{}', '65534'])
      expect(await maker.line()).toMatch(/^ERR_PERMISSION /)
      expect(await readdir(directory)).toEqual(['data.db'])
    }),
  )

  describeIf('mount', 'on a read-only file system', () => {
    test(
      'a database opens for reading only',
      inPath(async (path, directory) => {
        const mounted = join(directory, 'mounted')
        await mkdir(mounted)
        const inside = join(mounted, 'data.db')
        execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=4m', 'tmpfs', mounted])
        try {
          await makeDatabase(inside)
          execFileSync('mount', ['-o', 'remount,ro', mounted])
          await expectRefusal(['ERR_PERMISSION', 'ERR_IO'], () => open(inside))
          await expectRefusal(['ERR_PERMISSION', 'ERR_IO'], () => open(join(mounted, 'new.db')))
          const db = await open(inside, { readOnly: true })
          expect(db.bucket('b').count()).toBe(201)
          await db.close()
          expect(openFilesIn(mounted)).toEqual([])
        } finally {
          execFileSync('umount', [mounted])
        }
        expect(path).toContain(directory)
      }),
    )
  })
})

describe('arguments', () => {
  const wrong: unknown[] = [undefined, null, 7, 7n, true, {}, [], Symbol('s'), () => {}]

  test(
    'a path has to be a string that names something',
    inPath(async (path) => {
      for (const value of [...wrong, '', 'with\0nul']) {
        await expectRefusal('ERR_INVALID_ARGUMENT', () => open(value as string))
      }
      await expectRefusal(['ERR_INVALID_ARGUMENT', 'ERR_IO'], () =>
        open(`${path}${'x'.repeat(5000)}`),
      )
    }),
  )

  const options: [keyof OpenOptions, unknown[]][] = [
    ['readOnly', ['yes', 1, null]],
    ['create', ['no', 0, null]],
    ['mode', [-1, 0o1000, 1.5, '600']],
    ['pageSize', [0, 512, 3000, 131_072, '4096', Number.NaN]],
    ['lockTimeoutMs', [-1, 1.5, Infinity, '5']],
    ['sync', ['sometimes', true, '']],
    ['syncIntervalMs', [0, -1, Number.NaN]],
    ['checkpoint', ['always', false]],
    ['checkpointBytes', [0, -1, 0.5, '1']],
    ['maxRetainedBytes', [0, -1, Infinity]],
  ]
  test.each(options)('the option %s is checked', (name, values) =>
    inPath(async (path, directory) => {
      for (const value of values) {
        const given = { [name]: value } as OpenOptions
        const error = await expectRefusal('ERR_INVALID_ARGUMENT', () => open(path, given))
        expect(error.message).toContain(name)
      }
      expect(await readdir(directory)).toEqual([])
    })(),
  )

  test(
    'an unknown option is an error that names those that exist',
    withDatabase(async ({ db, path }) => {
      const misspelled = { checkpointbytes: 1 }
      const calls: (() => unknown)[] = [
        () => open(path, misspelled as OpenOptions),
        () => db.bucket('b', misspelled as BucketOptions),
        () => db.buckets(misspelled as NameOptions),
        () => db.bucket('b').range(misspelled as object),
        () => db.bucket('b').count({ limit: 1 } as object),
        () => db.update(() => {}, misspelled as object),
        () => db.defrag(misspelled as object),
      ]
      for (const call of calls) {
        const error = await expectRefusal('ERR_INVALID_ARGUMENT', call)
        expect(error.message).toMatch(/Unknown option `(checkpointbytes|limit)`.*known are/)
      }
    }),
  )

  test(
    'keys, values and names have to be strings or arrays of bytes',
    withDatabase(async ({ db }) => {
      const bucket = db.bucket('b')
      const badBytes = [
        ...wrong,
        new Uint16Array(2),
        new ArrayBuffer(2),
        new DataView(new ArrayBuffer(2)),
      ]
      for (const value of badBytes) {
        const bad = value as string
        const calls: (() => unknown)[] = [
          () => bucket.put(bad, 'v'),
          () => bucket.put('k', bad),
          () => bucket.get(bad),
          () => bucket.has(bad),
          () => bucket.getMany([bad]),
          () => bucket.getInto(bad, Buffer.alloc(1)),
          () => bucket.delete(bad),
          () => db.bucket(bad),
          () => bucket.bucket(bad),
          () => db.createBucket(bad),
          () => db.deleteBucket(bad),
          () => db.snapshot().bucket(bad),
          () => db.update((tx) => tx.bucket('b').put(bad, 'v')),
          () => db.update((tx) => tx.bucket('b').put('k', bad)),
        ]
        for (const call of calls) await expectRefusal('ERR_INVALID_ARGUMENT', call)
        if (value === undefined) continue
        for (const name of ['gte', 'gt', 'lte', 'lt', 'prefix']) {
          await expectRefusal('ERR_INVALID_ARGUMENT', () => [...bucket.range({ [name]: bad })])
        }
      }
      await expectRefusal('ERR_INVALID_ARGUMENT', () => bucket.getInto('k', 'x' as never))
      await expectRefusal('ERR_INVALID_ARGUMENT', () => bucket.range({ limit: -1 }))
      await expectRefusal('ERR_INVALID_ARGUMENT', () => bucket.range({ limit: 1.5 }))
      await expectRefusal('ERR_INVALID_ARGUMENT', () => bucket.range({ reverse: 1 as never }))
      await expectRefusal('ERR_INVALID_ARGUMENT', () => db.view('x' as never))
      expect(db.buckets()).toEqual([])
    }),
  )

  test(
    'defragmentations check their options before they begin',
    withDatabase(async ({ db }) => {
      const values: Record<string, unknown[]> = {
        fillPercent: [0, 0.05, 1.1, '0.5', Number.NaN],
        bytesPerSecond: [-1, 0.5, '1'],
        signal: [{}, 'x'],
        onProgress: ['x', {}],
      }
      for (const [name, list] of Object.entries(values)) {
        for (const value of list) {
          const error = await expectRefusal('ERR_INVALID_ARGUMENT', () =>
            db.defrag({ [name]: value }),
          )
          expect(error.message).toContain(name)
        }
      }
      expect(db.stats().defragPhase).toBe('idle')
    }),
  )

  test(
    'an array whose memory was transferred away is refused wherever one is taken',
    withDatabase(async ({ db }) => {
      const detached = new Uint8Array(16)
      structuredClone(detached.buffer, { transfer: [detached.buffer] })
      const bucket = db.bucket('b')
      await bucket.put('k', 'v')
      const inTransaction = (run: (inside: TransactionBucket) => unknown) => () =>
        db.update((tx) => void run(tx.bucket('b')))
      const calls: Record<string, (() => unknown)[]> = {
        key: [
          () => bucket.put(detached, 'v'),
          () => bucket.get(detached),
          () => bucket.has(detached),
          () => bucket.delete(detached),
          () => bucket.getInto(detached, new Uint8Array(1)),
          inTransaction((inside) => inside.put(detached, 'v')),
          inTransaction((inside) => inside.get(detached)),
          inTransaction((inside) => inside.delete(detached)),
        ],
        value: [
          () => bucket.put('k', detached),
          inTransaction((inside) => inside.put('k', detached)),
        ],
        name: [
          () => db.bucket(detached),
          () => bucket.bucket(detached),
          () => db.createBucket(detached),
          () => db.deleteBucket(detached),
          inTransaction((inside) => inside.bucket(detached)),
        ],
        target: [() => bucket.getInto('k', detached)],
      }
      for (const bound of ['gt', 'gte', 'lt', 'lte', 'prefix']) {
        calls[bound] = [
          () => [...bucket.range({ [bound]: detached })],
          () => bucket.count({ [bound]: detached }),
          () => bucket.countAsync({ [bound]: detached }),
          inTransaction((inside) => [...inside.keys({ [bound]: detached })]),
        ]
      }
      for (const [name, refused] of Object.entries(calls)) {
        for (const call of refused) {
          const error = await expectRefusal('ERR_INVALID_ARGUMENT', call)
          expect(error.message, String(call)).toContain(`\`${name}\``)
        }
      }
      expect(bucket.get('k')).toEqual(Buffer.from('v'))
      expect(db.buckets()).toEqual([Buffer.from('b')])
    }),
  )

  test(
    'a path of more than 254 buckets is refused when the handle is made',
    withDatabase(async ({ db }) => {
      let bucket: Bucket = db.bucket('b')
      for (let depth = 1; depth < 254; depth++) bucket = bucket.bucket('b')
      await bucket.put('k', 'v')
      expect(bucket.get('k')).toEqual(Buffer.from('v'))
      await expectRefusal('ERR_INVALID_ARGUMENT', () => bucket.bucket('b'))
      await db.checkpoint()
      expect(bucket.get('k')).toEqual(Buffer.from('v'))
    }),
  )

  test(
    'a value of 2^31 - 1 bytes is one too many',
    withDatabase(async ({ db }) => {
      // Never touched, so that the system need not find the memory.
      const value = new Uint8Array(2 ** 31 - 1)
      await expectRefusal('ERR_VALUE_TOO_LARGE', () => db.bucket('b').put('k', value))
      const inside = db.update((tx) => tx.bucket('b').put('k', value))
      await expectRefusal('ERR_VALUE_TOO_LARGE', () => inside)
      expect(db.buckets()).toEqual([])
    }, smallPages),
  )

  test(
    'a database that was opened read-only refuses every write',
    withDatabase(async (context) => {
      await context.db.bucket('b').put('k', 'v')
      const db = await context.reopen({ readOnly: true })
      const calls: (() => unknown)[] = [
        () => db.bucket('b').put('k', 'w'),
        () => db.bucket('b').delete('k'),
        () => db.bucket('b').setSequence(1n),
        () => db.bucket('b').nextSequence(),
        () => db.createBucket('c'),
        () => db.deleteBucket('b'),
        () => db.update(() => {}),
        () => db.checkpoint(),
        () => db.defrag(),
      ]
      for (const call of calls) await expectRefusal('ERR_READ_ONLY', call)
      await db.flush()
      expect(db.bucket('b', { value: 'utf8' }).get('k')).toBe('v')
    }),
  )
})
