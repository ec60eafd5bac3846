// The two databases that the demonstration defragments: what is in them and how they are made.

import { createHash } from 'node:crypto'
import { join } from 'node:path'
import { open, type Database, type TransactionBucket } from '../../lib/index.ts'
import { extractEtcdDatabase } from '../../test/fixtures/etcd.ts'
import type { Traffic } from '../foreground.ts'
import { percent } from '../format.ts'
import { Ledger } from '../ledger.ts'
import { Records, keyBytes, randomIntegers, shuffled } from '../records.ts'
import type { Progress } from '../terminal.ts'

/** What is in a database, apart from the keys that the foreground writes. */
export interface Fingerprint {
  readonly entries: number
  readonly sha256: string
}

export interface Stage {
  readonly name: string
  readonly title: string
  /** Makes the file and returns its path. */
  readonly prepare: (directory: string, progress: Progress) => Promise<string>
  readonly traffic: (db: Database) => Traffic
  /** The bucket that the foreground writes to. */
  readonly writtenBucket: string
  readonly fingerprint: (db: Database) => Fingerprint
}

/** Of the foreground's own keys. */
const newKeys = 10_000
const batchRecords = 10_000

function randomKeys(count: number): Buffer[] {
  const next = randomIntegers(31)
  return Array.from({ length: count }, () => {
    const words = Uint32Array.from({ length: keyBytes / 4 }, next)
    return Buffer.from(words.buffer)
  })
}

// The foreground gets a bucket of its own: etcd's buckets are etcd's.
const foregroundBucket = 'hotbolt-demo'

export function etcdStage(): Stage {
  return {
    name: 'etcd',
    title: 'The database of a real etcd',
    prepare: async (directory) => {
      const path = join(directory, 'etcd.db')
      await extractEtcdDatabase(path)
      return path
    },
    traffic: (db) => {
      const readFrom = db.bucket('key')
      const readKeys = Array.from(readFrom.keys(), (key) => Buffer.from(key))
      const ledger = new Ledger(randomKeys(newKeys))
      return { writeTo: db.bucket(foregroundBucket), ledger, readFrom, readKeys }
    },
    writtenBucket: foregroundBucket,
    fingerprint: fingerprintOfEtcd,
  }
}

/** Each key and value with its length, so that no two contents give the same bytes. */
function fingerprintOfEtcd(db: Database): Fingerprint {
  const hash = createHash('sha256')
  const length = Buffer.alloc(8)
  let entries = 0
  for (const name of db.buckets()) {
    if (name.equals(Buffer.from(foregroundBucket))) continue
    hash.update(name)
    for (const [key, value] of db.bucket(name).range()) {
      length.writeUInt32LE(key.length, 0)
      length.writeUInt32LE(value.length, 4)
      hash.update(length).update(key).update(value)
      entries++
    }
  }
  return { entries, sha256: hash.digest('hex') }
}

const recordsBucket = 'records'

/** `count` random records in random order, of which a random 80 % are deleted again. */
export function fragmentedStage(count: number): Stage {
  const records = new Records(count)
  const order = shuffled(count, 2)
  const kept = order.subarray(0, Math.ceil(count / 5))
  const deleted = order.subarray(kept.length)
  // Half of the keys that the foreground writes are among those that were kept, half are new.
  const overwritten = kept.subarray(0, Math.min(newKeys, kept.length / 2))
  const untouched = kept.subarray(overwritten.length)
  return {
    name: 'fragmented',
    title: `${count.toLocaleString('en-US')} random records, 80 % of them deleted again`,
    prepare: async (directory, progress) => {
      const path = join(directory, 'fragmented.db')
      const db = await open(path)
      const showLoading = (done: string): void => progress.show('loading', done)
      await inBatches(db, order, showLoading, (bucket, index) => {
        bucket.put(records.key(index), records.value(index))
      })
      progress.show('checkpoint')
      await db.checkpoint()
      const showDeleting = (done: string): void => progress.show('deleting', done)
      await inBatches(db, deleted, showDeleting, (bucket, index) => {
        bucket.delete(records.key(index))
      })
      progress.show('closing')
      await db.close()
      return path
    },
    traffic: (db) => {
      const bucket = db.bucket(recordsBucket)
      const keysOf = (indexes: Uint32Array): Buffer[] =>
        Array.from(indexes, (index) => records.key(index))
      const ledger = new Ledger([...keysOf(overwritten), ...randomKeys(newKeys)])
      return { writeTo: bucket, ledger, readFrom: bucket, readKeys: keysOf(kept) }
    },
    writtenBucket: recordsBucket,
    fingerprint: (db) => fingerprintOfRecords(db, records, untouched),
  }
}

function fingerprintOfRecords(db: Database, records: Records, indexes: Uint32Array): Fingerprint {
  const bucket = db.bucket(recordsBucket)
  const hash = createHash('sha256')
  let entries = 0
  for (const index of indexes) {
    const value = bucket.get(records.key(index))
    if (value?.equals(records.value(index)) !== true) continue
    hash.update(value)
    entries++
  }
  return { entries, sha256: hash.digest('hex') }
}

/** Runs `write` for each index, `batchRecords` of them in each durable transaction. */
async function inBatches(
  db: Database,
  indexes: Uint32Array,
  show: (percent: string) => void,
  write: (bucket: TransactionBucket, index: number) => void,
): Promise<void> {
  for (let from = 0; from < indexes.length; from += batchRecords) {
    show(percent(from, indexes.length))
    await db.update((tx) => {
      const bucket = tx.bucket(recordsBucket)
      for (const index of indexes.subarray(from, from + batchRecords)) write(bucket, index)
    })
  }
}
