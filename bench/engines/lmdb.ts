// lmdb-js with binary keys and values and its default syncing: the promise of a write resolves
// after the sync (traced: fdatasync, then the acknowledgement).
//
// It reclaims space only by a compacting copy. Nothing is written meanwhile here, so swapping the
// copy for the original, which would lose such writes, is allowed.

import { renameSync } from 'node:fs'
import { join } from 'node:path'
import { open, type RootDatabase } from 'lmdb'
import type { BackupKind, Engine } from '../engine.ts'
import { directoryBytes } from '../files.ts'
import type { Records } from '../records.ts'

type Database = RootDatabase<Buffer, Buffer>

function openDatabase(directory: string): Database {
  const path = join(directory, 'data.mdb')
  return open<Buffer, Buffer>({ path, encoding: 'binary', keyEncoding: 'binary' })
}

export async function openLmdb(directory: string): Promise<Engine> {
  return new LmdbEngine(directory)
}

class LmdbEngine implements Engine {
  #db: Database
  readonly #directory: string

  constructor(directory: string) {
    this.#db = openDatabase(directory)
    this.#directory = directory
  }

  /** Writes of one turn are one transaction (eventTurnBatching): the fastest way that it has. */
  async putBatch(records: Records, indexes: Uint32Array): Promise<void> {
    let last: Promise<boolean> | undefined
    for (const index of indexes) last = this.#db.put(records.key(index), records.value(index))
    await last
    await this.#db.flushed
  }

  async deleteBatch(records: Records, indexes: Uint32Array): Promise<void> {
    let last: Promise<boolean> | undefined
    for (const index of indexes) last = this.#db.remove(records.key(index))
    await last
    await this.#db.flushed
  }

  put(key: Buffer, value: Buffer): Promise<boolean> {
    return this.#db.put(key, value)
  }

  get(key: Buffer): Buffer | undefined {
    return this.#db.get(key)
  }

  getFast(key: Buffer): number | undefined {
    return this.#db.getBinaryFast(key)?.length
  }

  scan(): number {
    let bytes = 0
    for (const { key, value } of this.#db.getRange()) bytes += key.length + value.length
    return bytes
  }

  async reclaim(): Promise<void> {
    const copy = join(this.#directory, 'copy.mdb')
    await this.#db.backup(copy, true)
    await this.#db.close()
    renameSync(copy, join(this.#directory, 'data.mdb'))
    this.#db = openDatabase(this.#directory)
  }

  backup(path: string, how: BackupKind): Promise<unknown> {
    return this.#db.backup(path, how === 'compact')
  }

  get file(): string {
    return join(this.#directory, 'data.mdb')
  }

  sizeBytes(): number {
    return directoryBytes(this.#directory)
  }

  close(): Promise<void> {
    return this.#db.close()
  }
}
