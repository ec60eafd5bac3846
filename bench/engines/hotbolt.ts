// hotbolt with its defaults: every acknowledged write is synced.

import { join } from 'node:path'
import { open, type Bucket, type Database } from '../../lib/index.ts'
import type { BackupKind, Engine } from '../engine.ts'
import { directoryBytes } from '../files.ts'
import { valueBytes, type Records } from '../records.ts'

export async function openHotbolt(directory: string): Promise<Engine> {
  return new HotboltEngine(await open(join(directory, 'data.db')), directory)
}

const bucketName = 'records'

class HotboltEngine implements Engine {
  readonly #db: Database
  readonly #bucket: Bucket
  readonly #directory: string
  readonly #target = Buffer.alloc(valueBytes)

  constructor(db: Database, directory: string) {
    this.#db = db
    this.#bucket = db.bucket(bucketName)
    this.#directory = directory
  }

  putBatch(records: Records, indexes: Uint32Array): Promise<void> {
    return this.#db.update((tx) => {
      const bucket = tx.bucket(bucketName)
      for (const index of indexes) bucket.put(records.key(index), records.value(index))
    })
  }

  deleteBatch(records: Records, indexes: Uint32Array): Promise<void> {
    return this.#db.update((tx) => {
      const bucket = tx.bucket(bucketName)
      for (const index of indexes) bucket.delete(records.key(index))
    })
  }

  put(key: Buffer, value: Buffer): Promise<void> {
    return this.#bucket.put(key, value)
  }

  get(key: Buffer): Buffer | undefined {
    return this.#bucket.get(key)
  }

  getFast(key: Buffer): number | undefined {
    return this.#bucket.getInto(key, this.#target)
  }

  scan(): number {
    let bytes = 0
    for (const [key, value] of this.#bucket.range()) bytes += key.length + value.length
    return bytes
  }

  async reclaim(): Promise<void> {
    await this.#db.defrag()
  }

  backup(path: string, how: BackupKind): Promise<unknown> {
    return this.#db.backup(path, { compact: how === 'compact', verify: how === 'checked' })
  }

  get file(): string {
    return this.#db.path
  }

  sizeBytes(): number {
    return directoryBytes(this.#directory)
  }

  close(): Promise<void> {
    return this.#db.close()
  }
}
