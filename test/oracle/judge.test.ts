// The judges are judged: they say yes to a good file, no to a damaged one, and survive both.

import { execFileSync } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { afterAll, beforeAll, expect, it } from 'vitest'

import { etcdMemberFacts, extractEtcdDatabase, extractEtcdMember } from '../fixtures/etcd.ts'
import { goldenFiles } from '../golden/golden.ts'
import { patienceMs } from '../support/tiers.ts'
import { describeIf } from '../support/tools.ts'
import { BboltJudge, type JudgeOp } from './bbolt.ts'
import { CanonicalDump } from './dump.ts'
import { allKeys, etcdStatus, hashKeys, putKey, startEtcd } from './etcd.ts'

let directory: string
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'hotbolt-judge-'))
})
afterAll(() => rm(directory, { recursive: true }))

describeIf('go', 'bbolt', () => {
  let judge: BboltJudge
  beforeAll(async () => {
    judge = await BboltJudge.start()
  })
  afterAll(() => judge.close())

  async function databaseWith(name: string, ops: readonly JudgeOp[] = []): Promise<string> {
    const path = join(directory, name)
    expect(await judge.script(path, [{ ops }], { pageSize: 4096 })).toEqual([])
    return path
  }

  it('says which version it is', async () => {
    expect(await judge.version()).toMatch(/^v1\.\d+\.\d+$/)
  })

  it('finds nothing wrong with a random database of each page size and free list', async () => {
    for (const pageSize of [1024, 4096, 16384, 65536]) {
      for (const freelist of ['array', 'hashmap'] as const) {
        const path = join(directory, `good-${pageSize}-${freelist}.db`)
        const noFreelistSync = freelist === 'hashmap'
        await judge.generate(path, { seed: 7, count: 1500, pageSize, freelist, noFreelistSync })
        expect(await judge.check(path)).toEqual({ ok: true, errors: [] })
        expect((await judge.info(path)).pageSize).toBe(pageSize)
      }
    }
  })

  it('dumps equal what is equal, whatever the page size', async () => {
    const paths = [1024, 8192].map((pageSize) => ({ pageSize, path: `${directory}/e${pageSize}` }))
    const [small, large] = await Promise.all(
      paths.map(({ path, pageSize }) => judge.generate(path, { seed: 3, count: 3000, pageSize })),
    )
    expect(small).toEqual(large)
    expect(small!.depth).toBeGreaterThan(2)
    expect(await judge.dump(paths[0]!.path)).toEqual(small)
  })

  it('dumps differently what differs in one value, one sequence or one empty bucket', async () => {
    const path: string[] = ['b']
    const changes: JudgeOp[][] = [
      [],
      [{ kind: 'put', path, key: 'k', value: 'w' }],
      [{ kind: 'setSequence', path, sequence: 1n }],
      [{ kind: 'createBucket', path: ['b', 'c'] }],
      [{ kind: 'delete', path, key: 'k' }],
    ]
    const hashes = new Set<string>()
    for (const [index, change] of changes.entries()) {
      const first: JudgeOp = { kind: 'put', path, key: 'k', value: 'v' }
      const file = await databaseWith(`differs-${index}.db`, [first, ...change])
      hashes.add((await judge.dump(file)).sha256)
    }
    expect(hashes.size).toBe(changes.length)
  })

  it('dumps what the dump in TypeScript says', async () => {
    const file = await databaseWith('same.db', [
      { kind: 'put', path: ['b'], key: 'z', value: '' },
      { kind: 'put', path: ['b', 'n'], key: Buffer.from([0, 255]), value: 'inner' },
      { kind: 'setSequence', path: ['b'], sequence: 2n ** 64n - 1n },
      { kind: 'put', path: [], key: 'a', value: 'at the root' },
    ])
    const expected = new CanonicalDump()
    expected.key('a', 'at the root')
    expected.bucket('b', 2n ** 64n - 1n, () => {
      expected.bucket('n', 0n, () => expected.key(Buffer.from([0, 255]), 'inner'))
      expected.key('z', '')
    })
    const out = join(directory, 'same.dump')
    const found = await judge.dump(file, { out })
    expect(found).toMatchObject({ sha256: expected.digest(), keys: 3, buckets: 2, depth: 2 })
    expect((await readFile(out)).at(0)).toBe('K'.charCodeAt(0))
  })

  it('reports the operations that bbolt refuses and does the others', async () => {
    const file = join(directory, 'refused.db')
    const refused = await judge.script(file, [
      {
        ops: [
          { kind: 'put', path: ['b'], key: 'k', value: 'v' },
          { kind: 'put', path: ['b'], key: '', value: 'v' },
          { kind: 'put', path: ['b', 'k'], key: 'k', value: 'v' },
        ],
      },
      'reopen',
      { ops: [{ kind: 'delete', path: ['b'], key: 'k' }], rollback: true },
      {
        ops: [
          { kind: 'put', path: [], key: 'b', value: 'v' },
          { kind: 'deleteBucket', path: ['c'] },
          { kind: 'createBucket', path: ['b'] },
          { kind: 'put', path: ['new'], key: Buffer.alloc(32769, 1), value: 'v' },
        ],
      },
    ])
    expect(refused.map(({ index, error }) => [index, error])).toEqual([
      [1, 'ErrKeyRequired'],
      [2, 'ErrIncompatibleValue'],
      [4, 'ErrIncompatibleValue'],
      [5, 'ErrBucketNotFound'],
      [6, 'ErrBucketExists'],
      [7, 'ErrKeyTooLarge'],
    ])
    expect(await judge.dump(file)).toMatchObject({ keys: 1, buckets: 1 })
  })

  it('makes a free list that is too long for its 16-bit count', async () => {
    const file = join(directory, 'long-freelist.db')
    await judge.generate(file, { seed: 1, count: 100, pageSize: 1024, freePages: 70_000 })
    expect((await judge.info(file)).freePages).toBeGreaterThan(65_535)
    expect((await judge.check(file)).ok).toBe(true)
  })

  it('reports each damaged page header and judges on', async () => {
    const good = join(directory, 'to-damage.db')
    await judge.generate(good, { seed: 5, count: 2000, pageSize: 4096 })
    const bytes = await readFile(good)
    const { pages } = await judge.info(good)
    const damagedPages = Array.from({ length: Math.min(pages, 60) - 2 }, (_, index) => index + 2)
    const verdicts = await Promise.all(
      damagedPages.map(async (page) => {
        const path = join(directory, `damaged-${page}.db`)
        const copy = Buffer.from(bytes)
        copy[page * 4096 + 8]! ^= 0x41 // the flags
        await writeFile(path, copy)
        return judge.check(path)
      }),
    )
    expect(verdicts.filter(({ ok }) => !ok).length).toBeGreaterThan(5)
    for (const { ok, errors } of verdicts) expect(ok).toBe(errors.length === 0)
    expect((await judge.check(good)).ok).toBe(true)
  })

  it('reports a file that ends before its pages do', async () => {
    const good = join(directory, 'to-cut.db')
    await judge.generate(good, { seed: 5, count: 2000, pageSize: 4096 })
    const { pages } = await judge.info(good)
    const cut = join(directory, 'cut.db')
    await writeFile(cut, (await readFile(good)).subarray(0, Math.floor(pages / 2) * 4096))
    expect((await judge.check(cut)).ok).toBe(false)
    await expect(judge.dump(cut)).rejects.toMatchObject({ code: 'Died' })
  })

  it('reports a file that bbolt cannot open, and rejects one that is absent', async () => {
    const path = join(directory, 'noise.db')
    await writeFile(path, Buffer.alloc(16384, 7))
    expect(await judge.check(path)).toEqual({ ok: false, errors: ['invalid database'] })
    await expect(judge.check(`${path}.absent`)).rejects.toThrow('no such file')
  })

  it('gives up on a file that never ends, and judges on', async () => {
    const pipe = join(directory, 'pipe.db')
    execFileSync('mkfifo', [pipe])
    const verdict = await judge.check(pipe, { timeoutMs: 50 })
    expect(verdict).toEqual({ ok: false, errors: ['no verdict within 50ms'] })
    expect((await judge.check(await databaseWith('after-pipe.db'))).ok).toBe(true)
  })

  it('holds a lock until it is released', async () => {
    const path = await databaseWith('locked.db')
    const lock = await judge.lock(path)
    await expect(judge.check(path)).rejects.toMatchObject({ code: 'ErrTimeout' })
    const waiting = judge.waitOpen(path, patienceMs)
    await lock.release()
    expect(await waiting).toMatchObject({ opened: true })
    const [first, second] = await Promise.all([judge.lock(path, 'ro'), judge.lock(path, 'ro')])
    const refused = await judge.waitOpen(path, 10)
    expect(refused.error?.name).toBe('ErrTimeout')
    await Promise.all([first.release(), second.release()])
  })

  it('rejects what is asked after its end', async () => {
    const other = await BboltJudge.start()
    await other.close()
    await expect(other.version()).rejects.toMatchObject({ code: 'Closed' })
  })

  it.each(goldenFiles())(
    'finds in the golden file $name what it is said to have',
    async (golden) => {
      const path = join(directory, golden.name)
      await writeFile(path, gunzipSync(await readFile(golden.path)))
      expect(await judge.check(path)).toEqual({ ok: true, errors: [] })
      expect(await judge.dump(path)).toEqual(golden.dump)
      expect((await judge.info(path)).pageSize).toBe(golden.pageSize)
    },
  )

  it('finds in the etcd fixture what it is said to have', async () => {
    const path = join(directory, 'etcd.db')
    await extractEtcdDatabase(path)
    expect((await judge.check(path)).ok).toBe(true)
    const { pageSize, pages, freePages, fileBytes, sha256 } = etcdMemberFacts
    expect(await judge.info(path)).toMatchObject({ pageSize, pages, freePages, fileBytes })
    expect((await judge.dump(path)).sha256).toBe(sha256)
  })
})

describeIf('etcd', 'etcd', () => {
  it('boots from the fixture and has its keys', async () => {
    const { dataDir } = await extractEtcdMember(join(directory, 'member-1'))
    const server = await startEtcd(dataDir)
    try {
      const { revision, kvs } = await allKeys(server.endpoint)
      expect([kvs.length, revision]).toEqual([etcdMemberFacts.keys, etcdMemberFacts.revision])
      expect(new Set(kvs.map(({ key }) => key.toString())).size).toBe(kvs.length)
      expect(await hashKeys(server.endpoint)).toBeGreaterThan(0)
      expect((await etcdStatus(server.endpoint)).dbSizeBytes).toBe(etcdMemberFacts.fileBytes)
      expect(await putKey(server.endpoint, 'a', 'b')).toBe(etcdMemberFacts.revision + 1n)
    } finally {
      await server.stop()
    }
  })

  it('says why it does not start', async () => {
    const { dataDir, database } = await extractEtcdMember(join(directory, 'member-2'))
    await writeFile(database, Buffer.alloc(16384, 7))
    await expect(startEtcd(dataDir)).rejects.toThrow('invalid database')
  })
})
