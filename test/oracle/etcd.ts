// A real etcd server on a data directory, and the little of its JSON gateway that the tests ask.
//
// The server listens on loopback ports that were free a moment ago; if somebody was faster, other
// ports are tried. It says nothing on the console; what it said is part of the error when it does
// not start.

import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { createServer, type AddressInfo } from 'node:net'
import { createInterface } from 'node:readline'
import { patienceMs } from '../support/tiers.ts'

export type EtcdKeyValue = {
  key: Buffer
  value: Buffer
  createRevision: bigint
  modRevision: bigint
  version: bigint
  lease: bigint
}

export type EtcdKeys = { revision: bigint; kvs: EtcdKeyValue[] }

export type EtcdStatus = {
  version: string
  revision: bigint
  dbSizeBytes: number
  dbSizeInUseBytes: number
}

const attemptsMax = 3
const keysPerRequest = 1000
const logLinesMax = 200
// The releases differ in their words.
const announcement = /ready to serve client requests|serving client traffic/

let version: string | false | undefined

/** The version of the etcd on this machine; undefined if there is none. */
export function etcdVersion(): string | undefined {
  if (version === undefined) {
    const run = spawnSync('etcd', ['--version'], { encoding: 'utf8', env: environment() })
    version = /etcd Version: (\S+)/.exec(run.stdout ?? '')?.[1] ?? false
  }
  return version === false ? undefined : version
}

export function etcdAvailable(): boolean {
  return etcdVersion() !== undefined
}

export type EtcdOptions = { startTimeoutMs?: number }

/**
 * Starts etcd on the directory, which it changes: give it a copy. Resolves when it answers that it
 * is healthy.
 */
export async function startEtcd(dataDir: string, options: EtcdOptions = {}): Promise<EtcdServer> {
  const signal = AbortSignal.timeout(options.startTimeoutMs ?? patienceMs)
  for (let attempt = 1; ; attempt++) {
    const [clientPort, peerPort] = await freePorts(2)
    const server = new EtcdServer(dataDir, clientPort!, peerPort!)
    try {
      await server.ready(signal)
      return server
    } catch (error) {
      await server.stop()
      const taken = server.log.includes('address already in use')
      if (taken && attempt < attemptsMax && !signal.aborted) continue
      throw new Error(`etcd did not start on ${dataDir}:\n${server.log}`, { cause: error })
    }
  }
}

export class EtcdServer {
  readonly endpoint: string
  readonly dataDir: string
  readonly #process: ChildProcess
  readonly #exited: Promise<unknown>
  readonly #lines: string[] = []
  #announced: () => void = () => {}
  readonly #announcement = new Promise<void>((resolve) => (this.#announced = resolve))

  constructor(dataDir: string, clientPort: number, peerPort: number) {
    this.endpoint = `http://127.0.0.1:${clientPort}`
    this.dataDir = dataDir
    this.#process = spawn('etcd', flags(dataDir, this.endpoint, `http://127.0.0.1:${peerPort}`), {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: environment(),
    })
    for (const stream of [this.#process.stdout!, this.#process.stderr!]) {
      createInterface({ input: stream }).on('line', (line) => this.#read(line))
    }
    this.#exited = once(this.#process, 'close').catch((error: Error) => this.#read(error.message))
    process.once('exit', this.#kill)
    void this.#exited.then(() => process.off('exit', this.#kill))
  }

  /** The last lines that etcd logged. */
  get log(): string {
    return this.#lines.join('\n')
  }

  /**
   * Resolves when etcd says that it serves and its health endpoint agrees; rejects if it exits or
   * time is up.
   */
  async ready(signal: AbortSignal): Promise<void> {
    const timeUp = once(signal, 'abort').then(() => Promise.reject(new Error('time is up')))
    const exit = this.#exited.then(() => Promise.reject(new Error('etcd exited')))
    await Promise.race([this.#healthy(signal), timeUp, exit])
  }

  /** Ends etcd as its operator would and waits until it is gone. */
  async stop(): Promise<void> {
    this.#process.kill('SIGTERM')
    await this.#exited
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop()
  }

  async #healthy(signal: AbortSignal): Promise<void> {
    await this.#announcement
    for (;;) {
      const response = await fetch(`${this.endpoint}/health`, { signal })
      const body = (await response.json()) as { health: string }
      if (body.health === 'true') return
    }
  }

  #read(line: string): void {
    this.#lines.push(line)
    if (this.#lines.length > logLinesMax) this.#lines.shift()
    if (announcement.test(line)) this.#announced()
  }

  readonly #kill = (): void => {
    this.#process.kill('SIGKILL')
  }
}

/** All keys with their revisions, in order, as of one revision. */
export async function allKeys(endpoint: string): Promise<EtcdKeys> {
  const kvs: EtcdKeyValue[] = []
  let from = Buffer.from([0])
  let revision = 0n
  for (;;) {
    const page = await call<RangeResponse>(endpoint, 'kv/range', {
      key: from.toString('base64'),
      range_end: 'AA==',
      limit: keysPerRequest,
      revision: String(revision),
    })
    if (revision === 0n) revision = BigInt(page.header.revision)
    for (const kv of page.kvs ?? []) kvs.push(decodeKeyValue(kv))
    if (!page.more) return { revision, kvs }
    from = Buffer.concat([kvs.at(-1)!.key, Buffer.from([0])])
  }
}

/** Writes one key; gives the revision it got. */
export async function putKey(endpoint: string, key: string, value: string): Promise<bigint> {
  const { header } = await call<{ header: Header }>(endpoint, 'kv/put', {
    key: Buffer.from(key).toString('base64'),
    value: Buffer.from(value).toString('base64'),
  })
  return BigInt(header.revision)
}

/** Deletes one key; gives the revision after it. */
export async function deleteKey(endpoint: string, key: string): Promise<bigint> {
  const { header } = await call<{ header: Header }>(endpoint, 'kv/deleterange', {
    key: Buffer.from(key).toString('base64'),
  })
  return BigInt(header.revision)
}

/**
 * Forgets what was overwritten or deleted up to the revision, and waits until its pages are free.
 */
export async function compact(endpoint: string, revision: bigint): Promise<void> {
  await call(endpoint, 'kv/compaction', { revision: String(revision), physical: true })
}

/** etcd's own hash over all revisions of all keys. */
export async function hashKeys(endpoint: string): Promise<number> {
  const { hash } = await call<{ hash: number }>(endpoint, 'maintenance/hash', {})
  return hash
}

export async function etcdStatus(endpoint: string): Promise<EtcdStatus> {
  const status = await call<StatusResponse>(endpoint, 'maintenance/status', {})
  return {
    version: status.version,
    revision: BigInt(status.header.revision),
    dbSizeBytes: Number(status.dbSize),
    dbSizeInUseBytes: Number(status.dbSizeInUse),
  }
}

// What the gateway sends: 64-bit numbers as strings, bytes in base64, and nothing for a zero.
type Header = { revision: string }
type RawKeyValue = {
  key: string
  value?: string
  create_revision: string
  mod_revision: string
  version: string
  lease?: string
}
type RangeResponse = { header: Header; kvs?: RawKeyValue[]; more?: boolean }
type StatusResponse = { header: Header; version: string; dbSize: string; dbSizeInUse: string }

async function call<Result>(endpoint: string, verb: string, body: object): Promise<Result> {
  const response = await fetch(`${endpoint}/v3/${verb}`, {
    method: 'POST',
    body: JSON.stringify(body),
  })
  if (!response.ok) throw new Error(`etcd ${verb}: ${response.status} ${await response.text()}`)
  return (await response.json()) as Result
}

function decodeKeyValue(kv: RawKeyValue): EtcdKeyValue {
  return {
    key: Buffer.from(kv.key, 'base64'),
    value: Buffer.from(kv.value ?? '', 'base64'),
    createRevision: BigInt(kv.create_revision),
    modRevision: BigInt(kv.mod_revision),
    version: BigInt(kv.version),
    lease: BigInt(kv.lease ?? 0),
  }
}

function flags(dataDir: string, client: string, peer: string): string[] {
  return Object.entries({
    'data-dir': dataDir,
    'listen-client-urls': client,
    'advertise-client-urls': client,
    'listen-peer-urls': peer,
    'initial-advertise-peer-urls': peer,
    'initial-cluster': `default=${peer}`,
    logger: 'zap',
  }).flatMap(([name, value]) => [`--${name}`, value])
}

/** Ours without etcd's own variables, which would overrule the flags' defaults. */
function environment(): NodeJS.ProcessEnv {
  const kept = Object.entries(process.env).filter(([name]) => !name.startsWith('ETCD_'))
  const arch = process.arch === 'arm64' ? { ETCD_UNSUPPORTED_ARCH: 'arm64' } : {}
  return { ...Object.fromEntries(kept), ...arch }
}

async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, '127.0.0.1'))
  await Promise.all(servers.map((server) => once(server, 'listening')))
  const ports = servers.map((server) => (server.address() as AddressInfo).port)
  await Promise.all(servers.map((server) => once(server.close(), 'close')))
  return ports
}
