// Copying and hashing whole files on a native thread: a signal cancels, progress is asked for.

import { toHotboltError } from '../errors.ts'
import { native, type CopiedFile, type TransferHandle } from '../native.ts'
import { cancelled, throwIfAborted } from './cancellation.ts'

const progressIntervalMs = 100

export interface TransferOptions {
  /** 0: no limit. */
  readonly bytesPerSecond?: number | undefined
  readonly signal?: AbortSignal | undefined
  /** Called with the bytes moved or hashed since it was called last. */
  readonly onBytes?: ((bytes: number) => void) | undefined
}

/** One thread; one call at a time. */
export class Transfer {
  readonly #handle: TransferHandle
  readonly #options: TransferOptions
  readonly #onAbort: () => void
  #told = 0

  constructor(options: TransferOptions = {}) {
    throwIfAborted(options.signal, 'Moving files')
    this.#options = options
    this.#handle = native.transfer(options.bytesPerSecond ?? 0)
    this.#onAbort = () => native.transferCancel(this.#handle)
    options.signal?.addEventListener('abort', this.#onAbort, { once: true })
  }

  /** To a new file, which is synced. ERR_EXISTS, ERR_NOT_A_FILE, ERR_NO_SPACE, ... */
  copy(source: string, target: string): Promise<CopiedFile> {
    return this.#run(native.transferCopy(this.#handle, source, target))
  }

  hash(path: string): Promise<CopiedFile> {
    return this.#run(native.transferHash(this.#handle, path, undefined))
  }

  close(): void {
    this.#options.signal?.removeEventListener('abort', this.#onAbort)
    native.transferClose(this.#handle)
  }

  async #run(work: Promise<CopiedFile>): Promise<CopiedFile> {
    const { signal } = this.#options
    const timer = setInterval(() => this.#tell(), progressIntervalMs).unref()
    try {
      return await work
    } catch (error) {
      throw signal?.aborted === true ? cancelled(signal, 'Moving files') : toHotboltError(error)
    } finally {
      clearInterval(timer)
      this.#tell()
    }
  }

  #tell(): void {
    const bytes = native.transferProgress(this.#handle)
    if (bytes > this.#told) this.#options.onBytes?.(bytes - this.#told)
    this.#told = bytes
  }
}

/** One file to a new one, which is synced. */
export async function copyFile(
  source: string,
  target: string,
  options: TransferOptions = {},
): Promise<CopiedFile> {
  const transfer = new Transfer(options)
  try {
    return await transfer.copy(source, target)
  } finally {
    transfer.close()
  }
}
