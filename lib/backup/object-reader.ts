// Reading the files of a backup out of a target, with their hashes: by a native thread where the
// object is a file of this machine, otherwise as a stream.
//
// Bytes are not trusted: no more of them are taken than the manifest says there are.

import { createHash, type Hash } from 'node:crypto'
import { lstat } from 'node:fs/promises'
import { addAbortSignal } from 'node:stream'
import { setTimeout as delay } from 'node:timers/promises'
import { toHotboltError } from '../errors.ts'
import type { CopiedFile } from '../native.ts'
import { createFile, requireFile } from '../safe-files.ts'
import { targetError } from './backup-error.ts'
import { cancelled, throwIfAborted } from './cancellation.ts'
import { corrupt } from './json-proof.ts'
import type { ManifestFile } from './manifest.ts'
import type { Target } from './target.ts'
import { Transfer, type TransferOptions } from './transfer.ts'

/** One object at a time. */
export class ObjectReader {
  readonly #target: Target
  readonly #options: TransferOptions
  readonly #startMs = performance.now()
  #transfer: Transfer | undefined
  #streamed = 0

  constructor(target: Target, options: TransferOptions) {
    this.#target = target
    this.#options = options
  }

  /** Reads the object. ERR_BACKUP_CORRUPT when it is not the one that the manifest names. */
  prove(key: string, file: ManifestFile): Promise<void> {
    return this.#read(key, file, undefined)
  }

  /** Copies it to a new file, which is synced. ERR_BACKUP_CORRUPT, and the file is not whole. */
  copy(key: string, file: ManifestFile, path: string): Promise<void> {
    return this.#read(key, file, path)
  }

  close(): void {
    this.#transfer?.close()
    this.#transfer = undefined
  }

  async #read(key: string, file: ManifestFile, path: string | undefined): Promise<void> {
    const { signal } = this.#options
    try {
      throwIfAborted(signal, `Reading ${key}`)
      const found = await (this.#target.localFile === undefined
        ? this.#readStream(key, file, path)
        : this.#readFile(await this.#target.localFile(key), file, path))
      requireSame(key, file, found)
    } catch (error) {
      if (signal?.aborted === true) throw cancelled(signal, `Reading ${key}`)
      throw targetError(error, `Reading ${key}`)
    }
  }

  async #readFile(
    source: string,
    file: ManifestFile,
    path: string | undefined,
  ): Promise<CopiedFile> {
    const stats = await lstat(source)
    requireFile(source, stats)
    if (stats.size !== file.sizeBytes) return { sizeBytes: stats.size, sha256: '' }
    this.#transfer ??= new Transfer(this.#options)
    return path === undefined ? this.#transfer.hash(source) : this.#transfer.copy(source, path)
  }

  async #readStream(
    key: string,
    file: ManifestFile,
    path: string | undefined,
  ): Promise<CopiedFile> {
    const copy = path === undefined ? undefined : await createFile(path)
    try {
      const hash = createHash('sha256')
      const sizeBytes = await this.#drain(key, file, hash, (chunk) =>
        writing(path, copy?.writeFile(chunk)),
      )
      await writing(path, copy?.sync())
      return { sizeBytes, sha256: hash.digest('hex') }
    } finally {
      await copy?.close()
    }
  }

  async #drain(
    key: string,
    file: ManifestFile,
    hash: Hash,
    write: (chunk: Uint8Array) => Promise<void>,
  ): Promise<number> {
    const { signal, onBytes } = this.#options
    const stream = await this.#target.get(key, signal)
    if (signal !== undefined) addAbortSignal(signal, stream)
    let sizeBytes = 0
    for await (const chunk of stream as AsyncIterable<Uint8Array>) {
      sizeBytes += chunk.length
      // Leaving the loop ends the stream.
      if (sizeBytes > file.sizeBytes) break
      hash.update(chunk)
      await write(chunk)
      onBytes?.(chunk.length)
      await this.#pace(chunk.length)
    }
    return sizeBytes
  }

  async #pace(bytes: number): Promise<void> {
    const { bytesPerSecond = 0, signal } = this.#options
    this.#streamed += bytes
    if (bytesPerSecond === 0) return
    const aheadMs = (this.#streamed / bytesPerSecond) * 1000 - (performance.now() - this.#startMs)
    if (aheadMs > 1) await delay(aheadMs, undefined, signal === undefined ? {} : { signal })
  }
}

/** What goes wrong with the copy names it: the error of an open file does not. */
async function writing(path: string | undefined, work: Promise<void> | undefined): Promise<void> {
  try {
    await work
  } catch (error) {
    throw toHotboltError(error, path)
  }
}

function requireSame(key: string, file: ManifestFile, found: CopiedFile): void {
  if (found.sizeBytes !== file.sizeBytes) {
    const compared = found.sizeBytes > file.sizeBytes ? 'more' : `${found.sizeBytes}`
    throw corrupt(`${key} should have ${file.sizeBytes} bytes and has ${compared}`)
  }
  if (found.sha256 !== file.sha256) throw corrupt(`${key} is damaged: its SHA-256 is another`)
}
