// A real etcd boots from what we made of its database: it has every key with its revisions, and
// takes writes. Its own hash is of no use here: it covers what each boot writes anew.

import { join } from 'node:path'
import { expect, test } from 'vitest'
import { open, type Database } from '../../lib/index.ts'
import { etcdMemberFacts, extractEtcdMember } from '../fixtures/etcd.ts'
import { hashOf } from '../support/model.ts'
import { describeIf, testIf } from '../support/tools.ts'
import { holdDefragAt, inDirectory, verifyFile } from '../support/with-database.ts'
import { allKeys, deleteKey, etcdStatus, putKey, startEtcd, type EtcdKeys } from './etcd.ts'

interface Shown {
  readonly keys: EtcdKeys
  readonly inUseBytes: number
}

/** What clients of an etcd on this directory see; then one write, which has to succeed. */
async function bootAndShow(dataDir: string): Promise<Shown> {
  await using server = await startEtcd(dataDir)
  const keys = await allKeys(server.endpoint)
  const { dbSizeInUseBytes: inUseBytes } = await etcdStatus(server.endpoint)
  expect(await putKey(server.endpoint, 'a', 'b')).toBe(keys.revision + 1n)
  return { keys, inUseBytes }
}

/** Reads everything while the defragmentation goes on; throws when a value is wrong. */
async function readDuring(db: Database, isDone: () => boolean): Promise<number> {
  const bucket = db.bucket('key')
  const expected = new Map(
    Array.from(bucket.range(), ([key, value]) => [key.toString('hex'), value] as const),
  )
  let reads = 0
  while (!isDone() || reads === 0) {
    for await (const [key, value] of bucket.range()) {
      expect(value.equals(expected.get(key.toString('hex'))!)).toBe(true)
      reads++
    }
    await db.flush()
  }
  return reads
}

describeIf('etcd', 'a real etcd', () => {
  test('has every key after its database was defragmented under load', () =>
    inDirectory(async (directory) => {
      const untouched = await extractEtcdMember(join(directory, 'untouched'))
      const before = await bootAndShow(untouched.dataDir)
      expect(before.keys.kvs.length).toBe(etcdMemberFacts.keys)
      expect(before.keys.revision).toBe(etcdMemberFacts.revision)

      const member = await extractEtcdMember(join(directory, 'member'))
      const db = await open(member.database)
      const sizeBefore = db.stats().sizeBytes
      const snapshot = db.snapshot()
      let done = false
      const held = holdDefragAt(db, 'copy-started')
      const reading = readDuring(db, () => done)
      await held.reached
      // Buckets that etcd does not know are none of its business, but are kept.
      await db.bucket('hotbolt').put('written during', 'the copy')
      held.release()
      const report = await held.report
      done = true
      expect(await reading).toBeGreaterThan(1000)
      expect(report.sizeAfterBytes).toBeLessThan(sizeBefore / 2)
      expect(hashOf(snapshot), 'the reader over the switchover').toBe(etcdMemberFacts.sha256)
      snapshot.close()
      await db.deleteBucket('hotbolt')
      await db.close()
      await verifyFile(member.database, etcdMemberFacts.sha256)

      const after = await bootAndShow(member.dataDir)
      expect(after.keys).toEqual(before.keys)
      expect(after.inUseBytes).toBeLessThanOrEqual(before.inUseBytes)
    }))

  test('writes on in what we defragmented, and we in what it wrote, in turns', () =>
    inDirectory(async (directory) => {
      const member = await extractEtcdMember(join(directory, 'member'))
      let { revision } = etcdMemberFacts as { revision: bigint }
      for (let round = 0; round < 2; round++) {
        const db = await open(member.database)
        await db.defrag({ fillPercent: round === 0 ? 0.9 : 1 })
        const hash = await db.hash()
        await db.close()
        await verifyFile(member.database, hash)
        await using server = await startEtcd(member.dataDir)
        expect((await allKeys(server.endpoint)).revision).toBe(revision)
        for (let n = 0; n < 20; n++) {
          revision = await putKey(server.endpoint, `/round-${round}/${n}`, `value ${n}`)
        }
        revision = await deleteKey(server.endpoint, `/round-${round}/0`)
        const { kvs } = await allKeys(server.endpoint)
        expect(kvs.length).toBe(etcdMemberFacts.keys + 19 * (round + 1))
      }
    }))
})

testIf(['etcd', 'go'], 'what etcd wrote after our defragmentation passes both checks', () =>
  inDirectory(async (directory) => {
    const member = await extractEtcdMember(join(directory, 'member'))
    const db = await open(member.database)
    await db.defrag()
    await db.close()
    {
      await using server = await startEtcd(member.dataDir)
      for (let n = 0; n < 50; n++) await putKey(server.endpoint, `/after/${n}`, 'x'.repeat(2000))
    }
    await verifyFile(member.database)
  }),
)
