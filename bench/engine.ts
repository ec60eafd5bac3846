// What a workload asks of an engine. Each has a file of its own in engines/; a workload never asks
// which one it has.

import type { Records } from './records.ts'

/** Page by page; the same and checked afterwards, where the engine can; without free pages. */
export type BackupKind = 'plain' | 'checked' | 'compact'

export interface Engine {
  /** One transaction that is durable when it resolves. */
  putBatch(records: Records, indexes: Uint32Array): Promise<void>
  deleteBatch(records: Records, indexes: Uint32Array): Promise<void>
  /** Resolves when it is durable. */
  put(key: Buffer, value: Buffer): Promise<unknown>
  /** A Buffer that belongs to the caller. */
  get(key: Buffer): Buffer | undefined
  /** The engine's fastest get, without a new Buffer: the value's length. */
  getFast(key: Buffer): number | undefined
  /** Bytes of all keys and values, each of which has been a Buffer. */
  scan(): number
  /** Gives the space of what was deleted back. */
  reclaim(): Promise<void>
  /** Copies the open database to a new file that is durable when it resolves. */
  backup(path: string, how: BackupKind): Promise<unknown>
  /** The file that a plain copy would copy. */
  readonly file: string
  /** Of all its files. */
  sizeBytes(): number
  close(): Promise<void>
}

/** Opens the engine's database in `directory`. */
export type OpenEngine = (directory: string) => Promise<Engine>
