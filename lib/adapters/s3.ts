// hotbolt/s3: backups in S3 or what speaks its protocol, through the SDK that the user brings.
//
//   import { S3Client } from '@aws-sdk/client-s3'
//   const target = s3Target({ client: new S3Client({}), bucket: 'backups', prefix: 'production' })
//   await createBackup(catalog, { target, stateDirectory: '/var/lib/backups' })
//
// @aws-sdk/client-s3 and @aws-sdk/lib-storage are loaded by the first verb. Retries and checksums
// (a CRC-32 of every request by default) are those of the client's configuration. What the service
// says is proven before it is believed (s3-listing.ts); its silence ends a call (s3-silence.ts).
// Parts of an upload that fails or is cancelled are removed; those of a process that was killed are
// listed as unfinished, and removed by cleaning up after its run. A lifecycle rule of the bucket
// that aborts incomplete uploads does the same for machines that do not come back.

import { once } from 'node:events'
import { createReadStream, type ReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import { Readable } from 'node:stream'
import { setTimeout } from 'node:timers/promises'
import { HotboltError } from '../index.ts'
import type { Target, TargetBody, TargetObject, UnfinishedObject } from '../index.ts'
import {
  invalidArgument,
  isServerFault,
  sizeChanged,
  statusOf,
  toTargetError,
} from './s3-errors.ts'
import { isKey, Listing, pageOf, type ListedPage, type UploadsPage } from './s3-listing.ts'
import { answered, chunksOf } from './s3-silence.ts'

/** What is used of an S3Client; every version 3 has it. */
export interface S3TargetClient {
  readonly config: object
  readonly send: (...args: never[]) => unknown
}

export interface S3TargetOptions {
  /** An S3Client. It stays the caller's to destroy. */
  readonly client: S3TargetClient
  readonly bucket: string
  /** Of all keys; without one the bucket is used from its top. */
  readonly prefix?: string | undefined
  /**
   * How long an answer, or the next bytes of an object, may be waited for. 120,000; an upload has
   * a second more for each 64 KiB.
   */
  readonly timeoutMs?: number | undefined
}

/** A place for backups. Freezes are recorded elsewhere: give `stateDirectory` with it. */
export function s3Target(options: S3TargetOptions): Target {
  return new S3Target(options)
}

/** Parts are buffered: one upload needs this much memory four times. */
const partBytes = 8 << 20
const partsMax = 10_000
const partsAtOnce = 4
/** Of removing the parts of an upload that failed; nothing else waits for it. */
const cleanUpTimeoutMs = 30_000
const defaultTimeoutMs = 120_000
const slowestBytesPerSecond = 64 << 10
/** The service may put all parts together before it answers: so many times as long. */
const completionFactor = 10

type Command = object & { readonly input?: { readonly Body?: unknown } }
type CommandClass = new (input: object) => Command
type Send = (command: Command, options: { abortSignal?: AbortSignal }) => Promise<unknown>

/** What is used of the two packages; they are not there when this is compiled. */
interface Sdk {
  readonly PutObjectCommand: CommandClass
  readonly GetObjectCommand: CommandClass
  readonly ListObjectsV2Command: CommandClass
  readonly DeleteObjectCommand: CommandClass
  readonly UploadPartCommand: CommandClass
  readonly CreateMultipartUploadCommand: CommandClass
  readonly CompleteMultipartUploadCommand: CommandClass
  readonly AbortMultipartUploadCommand: CommandClass
  readonly ListPartsCommand: CommandClass
  readonly ListMultipartUploadsCommand: CommandClass
  readonly Upload: new (options: object) => { done(): Promise<unknown> }
}

interface Call {
  readonly verb: string
  readonly key: string
  readonly signal: AbortSignal | undefined
}

class S3Target implements Target {
  readonly location: string
  readonly #client: S3TargetClient
  readonly #send: Send
  readonly #bucket: string
  readonly #prefix: string
  readonly #timeoutMs: number
  #sdk: Promise<Sdk> | undefined

  constructor({ client, bucket, prefix = '', timeoutMs = defaultTimeoutMs }: S3TargetOptions) {
    if (typeof client?.send !== 'function') throw invalidArgument('client', 'an S3Client')
    if (!isName(bucket)) throw invalidArgument('bucket', 'the name of a bucket')
    if (prefix !== '' && !isName(prefix)) throw invalidArgument('prefix', 'a string without NUL')
    if (!isTimeout(timeoutMs)) throw invalidArgument('timeoutMs', 'an integer from 1 to 2147483647')
    this.#client = client
    this.#timeoutMs = timeoutMs
    this.#send = client.send.bind(client) as unknown as Send
    this.#bucket = bucket
    const segments = prefix.split('/').filter((segment) => segment !== '')
    this.#prefix = segments.map((segment) => `${segment}/`).join('')
    this.location = `s3://${[bucket, ...segments].join('/')}`
  }

  async put(key: string, body: TargetBody, signal?: AbortSignal): Promise<void> {
    requireKey(key)
    await this.#mapped({ verb: 'store', key, signal }, async (sdk) => {
      if (!(body instanceof Uint8Array)) return this.#upload(sdk, key, body, signal)
      const command = new sdk.PutObjectCommand({ ...this.#object(key), Body: body })
      await this.#ask(command, signal)
    })
  }

  /** Where the service knows no conditions it is put as any other. */
  async create(key: string, body: Uint8Array, signal?: AbortSignal): Promise<boolean> {
    requireKey(key)
    try {
      await this.#mapped({ verb: 'store', key, signal }, (sdk) => {
        const input = { ...this.#object(key), Body: body, IfNoneMatch: '*' }
        return this.#ask(new sdk.PutObjectCommand(input), signal)
      })
      return true
    } catch (error) {
      const status = statusOf(error)
      if (status === 409 || status === 412) return false
      if (status !== 501) throw error
      await this.put(key, body, signal)
      return true
    }
  }

  async get(key: string, signal?: AbortSignal): Promise<Readable> {
    requireKey(key)
    return this.#mapped({ verb: 'read', key, signal }, async (sdk) => {
      const command = new sdk.GetObjectCommand(this.#object(key))
      const { Body } = (await this.#ask(command, signal)) as { Body: Readable }
      return readerOf(Body, chunksOf(Body, this.#timeoutMs, signal), (error) =>
        toTargetError(error, 'read', this.#path(key), signal),
      )
    })
  }

  async *list(prefix: string, signal?: AbortSignal): AsyncIterable<TargetObject> {
    const listing = new Listing(this.#prefix, prefix)
    const query = { Prefix: prefix }
    for await (const objects of this.#pages(query, listing, 'objectsOf', signal)) yield* objects
  }

  async *listFolders(signal?: AbortSignal): AsyncIterable<string> {
    const listing = new Listing(this.#prefix, '')
    const query = { Prefix: '', Delimiter: '/' }
    for await (const folders of this.#pages(query, listing, 'foldersOf', signal)) yield* folders
  }

  /** None where the service knows no uploads in parts. */
  async *listUnfinished(prefix: string, signal?: AbortSignal): AsyncIterable<UnfinishedObject> {
    const listing = new Listing(this.#prefix, prefix)
    const input = { Bucket: this.#bucket, Prefix: this.#prefix + prefix }
    let markers: object = {}
    for (let next: string | undefined = ''; next !== undefined;) {
      const page = await this.#mapped({ verb: 'list', key: prefix, signal }, async (sdk) => {
        const command = new sdk.ListMultipartUploadsCommand({ ...input, ...markers })
        const answer = (await this.#ask(command, signal)) as UploadsPage
        const { NextKeyMarker: KeyMarker, NextUploadIdMarker: UploadIdMarker } = answer
        markers = { KeyMarker, UploadIdMarker }
        next = listing.nextOf(pageOf(answer))
        return listing.uploadsOf(answer)
      }).catch(nothingIfUnknown)
      if (page === undefined) return
      for (const { key, id } of page) {
        yield { key, discard: (given) => this.#discard(key, id, given) }
      }
    }
  }

  async #discard(key: string, UploadId: string, signal: AbortSignal | undefined): Promise<void> {
    try {
      await this.#mapped({ verb: 'abort the upload of', key, signal }, (sdk) => {
        const input = { Bucket: this.#bucket, Key: this.#prefix + key, UploadId }
        return this.#ask(new sdk.AbortMultipartUploadCommand(input), signal)
      })
    } catch (error) {
      if (statusOf(error) !== 404) throw error
    }
  }

  async delete(key: string, signal?: AbortSignal): Promise<void> {
    requireKey(key)
    try {
      await this.#mapped({ verb: 'delete', key, signal }, (sdk) =>
        this.#ask(new sdk.DeleteObjectCommand(this.#object(key)), signal),
      )
    } catch (error) {
      if (!HotboltError.is(error, 'ERR_NOT_FOUND')) throw error
    }
  }

  async *#pages<Kind extends 'objectsOf' | 'foldersOf'>(
    query: { readonly Prefix: string; readonly Delimiter?: string },
    listing: Listing,
    kind: Kind,
    signal: AbortSignal | undefined,
  ): AsyncIterable<ReturnType<Listing[Kind]>> {
    const input = { ...query, Bucket: this.#bucket, Prefix: this.#prefix + query.Prefix }
    let ContinuationToken: string | undefined
    do {
      const page = await this.#mapped({ verb: 'list', key: query.Prefix, signal }, async (sdk) => {
        const command = new sdk.ListObjectsV2Command({ ...input, ContinuationToken })
        const answer = (await this.#ask(command, signal)) as ListedPage
        ContinuationToken = listing.nextOf(answer)
        return listing[kind](answer) as ReturnType<Listing[Kind]>
      })
      yield page
    } while (ContinuationToken !== undefined)
  }

  /**
   * In parts when the file is large. Upload is given no signal of its own: it would leave the parts
   * behind while they are still on their way. Its requests are cancelled instead, upon which it
   * removes the parts before it rejects.
   */
  async #upload(
    sdk: Sdk,
    key: string,
    { file, sizeBytes }: { readonly file: string; readonly sizeBytes: number },
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const partSize = Math.max(partBytes, Math.ceil(sizeBytes / partsMax))
    const body = await openFile(file, sizeBytes)
    const client = { config: this.#client.config, send: this.#uploadSend(sdk, signal) }
    const settings = { client, partSize, queueSize: partsAtOnce }
    try {
      await new sdk.Upload({ ...settings, params: { ...this.#object(key), Body: body } }).done()
    } finally {
      body.destroy()
    }
  }

  /** send() for the requests of one upload. */
  #uploadSend(sdk: Sdk, signal: AbortSignal | undefined): (command: Command) => Promise<unknown> {
    return (command) => {
      if (command instanceof sdk.AbortMultipartUploadCommand) {
        const { input } = command
        // What made the upload fail is the error to report.
        return this.#removeParts(sdk, input ?? {}).catch(() => undefined)
      }
      // Cancelled, it might leave an upload of which nobody knows the id.
      if (command instanceof sdk.CreateMultipartUploadCommand) return this.#ask(command, undefined)
      if (command instanceof sdk.CompleteMultipartUploadCommand) {
        return this.#ask(command, signal, completionFactor)
      }
      return this.#ask(command, signal)
    }
  }

  #ask(command: Command, signal: AbortSignal | undefined, factor = 1): Promise<unknown> {
    const { Body } = command.input ?? {}
    const bytes = Body instanceof Uint8Array ? Body.length : 0
    const timeoutMs = this.#timeoutMs * factor + (bytes / slowestBytesPerSecond) * 1000
    const send = (abortSignal: AbortSignal): Promise<unknown> =>
      this.#send(command, { abortSignal })
    return answered(send, Math.min(Math.ceil(timeoutMs), timeoutMax), signal)
  }

  /** A part that still arrives as the upload is removed may survive that: look, and once more. */
  async #removeParts(sdk: Sdk, upload: object): Promise<void> {
    const signal = AbortSignal.timeout(cleanUpTimeoutMs)
    const options = { abortSignal: signal }
    for (let pauseMs = 50; ; pauseMs *= 2) {
      try {
        await this.#send(new sdk.AbortMultipartUploadCommand(upload), options)
        await this.#send(new sdk.ListPartsCommand({ ...upload, MaxParts: 1 }), options)
      } catch (error) {
        // That there is no such upload is what is wanted; nor helps another attempt when the server
        // is gone, or does not let us look.
        if (!isServerFault(error)) return
      }
      await setTimeout(pauseMs, undefined, { signal })
    }
  }

  async #mapped<T>({ verb, key, signal }: Call, run: (sdk: Sdk) => Promise<T>): Promise<T> {
    this.#sdk ??= loadSdk()
    const sdk = await this.#sdk
    try {
      signal?.throwIfAborted()
      return await run(sdk)
    } catch (error) {
      throw toTargetError(error, verb, this.#path(key), signal)
    }
  }

  #object(key: string): { readonly Bucket: string; readonly Key: string } {
    return { Bucket: this.#bucket, Key: this.#prefix + key }
  }

  #path(key: string): string {
    return `s3://${this.#bucket}/${this.#prefix}${key}`
  }
}

const isName = (text: unknown): boolean =>
  typeof text === 'string' && text !== '' && !text.includes('\0')

const timeoutMax = 2 ** 31 - 1
const isTimeout = (value: unknown): boolean =>
  Number.isInteger(value) && (value as number) >= 1 && (value as number) <= timeoutMax

/** The interface promises that no other key is ever used. */
function requireKey(key: string): void {
  if (!isKey(key))
    throw invalidArgument('key', "segments of [A-Za-z0-9._~%-] with '/' between them")
}

/** Of another size, the server would wait for the rest for ever, or keep a part of it. */
async function openFile(path: string, sizeBytes: number): Promise<ReadStream> {
  const { size } = await stat(path)
  if (size !== sizeBytes) throw sizeChanged(path, sizeBytes, size)
  const stream = createReadStream(path)
  await once(stream, 'open')
  return stream
}

/** The chunks of `body` with our errors; the request ends when its reader goes. */
function readerOf(
  body: Readable,
  source: AsyncGenerator<unknown>,
  mapError: (error: unknown) => HotboltError,
): Readable {
  const chunks = async function* (): AsyncGenerator<unknown> {
    try {
      yield* source
    } catch (error) {
      throw mapError(error)
    }
  }
  const reader = Readable.from(chunks(), { objectMode: false })
  return reader.once('close', () => body.destroy())
}

/** 405 and 501: the service does not have the verb. */
function nothingIfUnknown(error: unknown): undefined {
  const status = statusOf(error)
  if (status !== 405 && status !== 501) throw error
}

async function loadSdk(): Promise<Sdk> {
  // Not written in import(): a compiler or bundler would want to find them.
  const names = ['@aws-sdk/client-s3', '@aws-sdk/lib-storage']
  try {
    const [commands, storage] = await Promise.all(names.map((name) => import(name)))
    return { ...(commands as Sdk), ...(storage as Sdk) }
  } catch (cause) {
    const message = `hotbolt/s3 needs ${names.join(' and ')}: install them beside hotbolt`
    throw new HotboltError('ERR_IO', message, { cause })
  }
}
