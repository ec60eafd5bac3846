// A target in memory: the interface without a disk, and without the verbs that only files allow.

import { readFile } from 'node:fs/promises'
import { Readable } from 'node:stream'
import { HotboltError } from '../../lib/errors.ts'
import { requireKey, type Target, type TargetBody } from '../../lib/backup/target.ts'
import type { TargetObject } from '../../lib/backup/target.ts'

export class MemoryTarget implements Target {
  readonly location = 'memory'
  readonly objects: Map<string, Buffer> = new Map()
  /** Called before each object is stored; may throw. */
  beforePut: (key: string) => void = () => {}
  /** Called before each chunk of an object; may throw, or wait. */
  beforeChunk: (key: string) => Promise<void> | void = () => {}

  async put(key: string, body: TargetBody, signal?: AbortSignal): Promise<void> {
    requireKey(key)
    throwIfAborted(signal)
    this.beforePut(key)
    this.objects.set(key, body instanceof Uint8Array ? Buffer.from(body) : await contentOf(body))
  }

  async get(key: string, signal?: AbortSignal): Promise<Readable> {
    requireKey(key)
    throwIfAborted(signal)
    const bytes = this.objects.get(key)
    if (bytes === undefined) throw new HotboltError('ERR_NOT_FOUND', `There is no object ${key}`)
    return Readable.from(this.#chunksOf(key, bytes), { objectMode: false })
  }

  async *list(prefix: string, signal?: AbortSignal): AsyncIterable<TargetObject> {
    const now = Array.from(this.objects) // it may change while it is listed
    for (const [key, bytes] of now) {
      throwIfAborted(signal)
      if (key.startsWith(prefix)) yield { key, sizeBytes: bytes.length }
    }
  }

  async delete(key: string, signal?: AbortSignal): Promise<void> {
    requireKey(key)
    throwIfAborted(signal)
    this.objects.delete(key)
  }

  async *#chunksOf(key: string, bytes: Buffer): AsyncIterable<Buffer> {
    const chunkBytes = 64 << 10
    for (let at = 0; at < bytes.length; at += chunkBytes) {
      await this.beforeChunk(key)
      yield bytes.subarray(at, at + chunkBytes)
    }
  }
}

async function contentOf(body: Exclude<TargetBody, Uint8Array>): Promise<Buffer> {
  const bytes = await readFile(body.file)
  if (bytes.length === body.sizeBytes) return bytes
  throw new HotboltError('ERR_INVALID_ARGUMENT', `${body.file} has another size than was said`)
}

function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted !== true) return
  throw new HotboltError('ERR_ABORTED', 'The call was cancelled', { cause: signal.reason })
}
