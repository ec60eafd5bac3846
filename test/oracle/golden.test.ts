// Files that bbolt wrote, kept in the repository: they open, say what bbolt says they say, survive
// a defragmentation and a conversation, without any tool on the machine.

import { writeFile, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { expect, test } from 'vitest'
import { open } from '../../lib/index.ts'
import { etcdMemberFacts, extractEtcdDatabase } from '../fixtures/etcd.ts'
import { goldenFiles, type GoldenFile } from '../golden/golden.ts'
import { hashOf } from '../support/model.ts'
import { inDirectory, verifyFile } from '../support/with-database.ts'

async function unpack(golden: GoldenFile, directory: string): Promise<string> {
  const path = join(directory, golden.name)
  await writeFile(path, gunzipSync(await readFile(golden.path)))
  return path
}

test.each(goldenFiles())('$name says what bbolt says, and is not touched by reading', (golden) =>
  inDirectory(async (directory) => {
    const path = await unpack(golden, directory)
    const before = await readFile(path)
    const db = await open(path, { readOnly: true })
    expect(await db.hash()).toBe(golden.dump.sha256)
    using snapshot = db.snapshot()
    expect(hashOf(snapshot)).toBe(golden.dump.sha256)
    const report = await db.check()
    expect(report.issues).toEqual([])
    expect([report.keyCount, report.bucketCount]).toEqual([golden.dump.keys, golden.dump.buckets])
    expect(db.stats().pageSize).toBe(golden.pageSize)
    await db.close()
    expect((await readFile(path)).equals(before)).toBe(true)
  }),
)

test.each(goldenFiles())('$name is written, defragmented and put back as it was', (golden) =>
  inDirectory(async (directory) => {
    const path = await unpack(golden, directory)
    const db = await open(path)
    await db.bucket('ours').bucket('inner').put('k', 'v')
    await db.checkpoint()
    await db.defrag()
    await db.deleteBucket('ours')
    expect(await db.hash()).toBe(golden.dump.sha256)
    await db.defrag({ fillPercent: 1 })
    await db.close()
    await verifyFile(path, golden.dump.sha256)
  }),
)

test('the database of an etcd says what bbolt says', () =>
  inDirectory(async (directory) => {
    const path = join(directory, 'etcd.db')
    await extractEtcdDatabase(path)
    const db = await open(path)
    expect(await db.hash()).toBe(etcdMemberFacts.sha256)
    const before = db.stats()
    expect([before.pageSize, before.sizeBytes, before.txid > 0]).toEqual([
      etcdMemberFacts.pageSize,
      etcdMemberFacts.fileBytes,
      true,
    ])
    await db.defrag()
    expect(db.stats().sizeBytes).toBeLessThan(before.sizeBytes / 2)
    expect(await db.hash()).toBe(etcdMemberFacts.sha256)
    await db.close()
    await verifyFile(path, etcdMemberFacts.sha256)
  }))
