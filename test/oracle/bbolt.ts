// Real bbolt as a judge: builds the Go program beside this file once and speaks to one process of
// it.
//
// One BboltJudge judges any number of files; calls may run at the same time (up to four files are
// worked on at once). A file on which bbolt panics, faults or never ends is an answer of `check`,
// not the end of the judge.

import { execFile, spawn, spawnSync, type ChildProcessWithoutNullStreams } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdir, readdir, readFile, rename, rm } from 'node:fs/promises'
import { delimiter, join } from 'node:path'
import { createInterface } from 'node:readline'
import { promisify } from 'node:util'

import { repositoryRoot } from './root.ts'

export type Bytes = string | Uint8Array

/**
 * `path` names the bucket; the empty path is the root bucket. Missing buckets are created by a
 * write.
 */
export type JudgeOp =
  | { kind: 'put'; path: readonly Bytes[]; key: Bytes; value: Bytes }
  | { kind: 'delete'; path: readonly Bytes[]; key: Bytes }
  | { kind: 'createBucket' | 'deleteBucket'; path: readonly Bytes[] }
  | { kind: 'setSequence'; path: readonly Bytes[]; sequence: bigint }

/** One transaction, or a close and open of the file in between. */
export type JudgeStep = { ops: readonly JudgeOp[]; rollback?: boolean } | 'reopen'

/**
 * An operation that bbolt refused; `index` counts the operations of all steps, `error` is bbolt's
 * name.
 */
export type Refusal = { index: number; error: string; message: string }

export type Verdict = { ok: boolean; errors: string[] }

export type DumpSummary = {
  sha256: string
  keys: number
  buckets: number
  /** Of all keys, values and names. */
  bytes: number
  /** Of the deepest bucket; a top-level bucket has 1. */
  depth: number
}

export type FileInfo = {
  pageSize: number
  pages: number
  freePages: number
  txid: number
  fileBytes: number
  inUseBytes: number
}

export type FormatOptions = {
  pageSize?: number
  freelist?: 'array' | 'hashmap'
  noFreelistSync?: boolean
}

export type GenerateOptions = FormatOptions & {
  /** The same seed, count and valueBytesMax give the same content, whatever the format options. */
  seed: number
  /** Operations: puts, deletes, buckets and sequences. */
  count: number
  /** Of the rare overflow values; 200 KiB by default. */
  valueBytesMax?: number
  /** At least so many free pages in the end. */
  freePages?: number
}

export type WaitResult = {
  opened: boolean
  waitedMs: number
  error?: { name: string; message: string }
}

export type Contest = {
  written: boolean
  /** What it wrote into has no name any more: the write is lost. */
  stale: boolean
  /** Why it could not open what it had waited for, each time. */
  refused: string[]
}

export type HeldLock = AsyncDisposable & { release(): Promise<void> }

/**
 * What bbolt answered instead of a result; `code` is bbolt's name for it ('ErrTimeout',
 * 'ErrChecksum', ...).
 */
export class BboltError extends Error {
  override readonly name = 'BboltError'
  readonly code: string

  constructor(code: string, message: string) {
    super(message)
    this.code = code
  }
}

const sourceDir = join(repositoryRoot, 'test/oracle/bbolt')
const buildDir = join(repositoryRoot, 'build/oracle')

/** Whether there is a Go toolchain to build the judge with. */
export function bboltAvailable(): boolean {
  return spawnSync('go', ['version'], { stdio: 'ignore', env: goEnvironment() }).status === 0
}

/** Go's own installer puts it where an ordinary PATH may not look. */
function goEnvironment(): NodeJS.ProcessEnv {
  const path = [process.env['PATH'], '/usr/local/go/bin'].filter(Boolean).join(delimiter)
  return { ...process.env, PATH: path }
}

let built: Promise<string> | undefined

/** The path of the judge's binary, which is built if its sources changed since the last build. */
export function buildBboltJudge(): Promise<string> {
  built ??= build()
  return built
}

// Test workers may build at the same time: each under a name of its own, renamed when complete. The
// name says which sources it is made of, so nothing stale is ever run.
async function build(): Promise<string> {
  const binary = join(buildDir, `bbolt-judge-${await hashOfSources()}`)
  if (existsSync(binary)) return binary
  await mkdir(buildDir, { recursive: true })
  const temporary = `${binary}.${process.pid}`
  const args = ['build', '-buildvcs=false', '-trimpath', '-o', temporary, '.']
  try {
    await promisify(execFile)('go', args, { cwd: sourceDir, env: goEnvironment() })
    await rename(temporary, binary)
  } finally {
    await rm(temporary, { force: true })
  }
  return binary
}

async function hashOfSources(): Promise<string> {
  const hash = createHash('sha256').update(`${process.platform} ${process.arch}`)
  for (const name of (await readdir(sourceDir)).toSorted()) {
    hash.update(name).update(await readFile(join(sourceDir, name)))
  }
  return hash.digest('hex').slice(0, 12)
}

type Answer = { id: number; result?: unknown; error?: { name: string; message: string } }
type Waiting = { resolve: (result: unknown) => void; reject: (error: Error) => void }

export class BboltJudge {
  readonly #process: ChildProcessWithoutNullStreams
  readonly #waiting = new Map<number, Waiting>()
  readonly #exited: Promise<unknown>
  #lastId = 0
  #errors = ''
  #gone = false

  static async start(): Promise<BboltJudge> {
    return new BboltJudge(await buildBboltJudge())
  }

  private constructor(binary: string) {
    this.#process = spawn(binary)
    this.#exited = once(this.#process, 'close').catch(() => {})
    this.#process.on('error', (error) => this.#fail(error.message))
    this.#process.on('close', () => this.#fail(this.#errors || 'the judge has ended'))
    this.#process.stdin.on('error', () => {}) // reported by 'close'
    this.#process.stderr.on('data', (text) => (this.#errors += text))
    createInterface({ input: this.#process.stdout }).on('line', (line) => this.#settle(line))
  }

  /** The version of bbolt that judges. */
  async version(): Promise<string> {
    const answer = await this.#ask<{ bbolt: string }>('version', {})
    return answer.bbolt
  }

  /** bbolt's check. Rejects only if the file is absent or locked; all else is in the verdict. */
  check(path: string, options: { timeoutMs?: number } = {}): Promise<Verdict> {
    return this.#ask('check', { path, ...options })
  }

  /**
   * The hash of the canonical dump (see dump.ts), and the dump itself as a file if `out` is given.
   */
  dump(path: string, options: { out?: string } = {}): Promise<DumpSummary> {
    return this.#ask('dump', { path, ...options })
  }

  info(path: string): Promise<FileInfo> {
    return this.#ask('info', { path })
  }

  /** Overwrites the free pages with zeros. */
  clearFree(path: string): Promise<{ cleared: number }> {
    return this.#ask('clearFree', { path })
  }

  /**
   * Runs the steps; the file is created if it is absent. An operation that bbolt refuses does not
   * stop the others.
   */
  async script(
    path: string,
    steps: readonly JudgeStep[],
    options: FormatOptions = {},
  ): Promise<Refusal[]> {
    const answer = await this.#ask<{ refused: Refusal[] }>('script', {
      path,
      steps: steps.map(encodeStep),
      ...options,
    })
    return answer.refused
  }

  /** A random database with every shape of the format; tells what is in it. */
  generate(path: string, options: GenerateOptions): Promise<DumpSummary> {
    const { pageSize, freelist, noFreelistSync, ...content } = options
    return this.#ask('generate', { path, pageSize, freelist, noFreelistSync, generate: content })
  }

  /** Holds the file open, for writing or for reading, until released. */
  async lock(
    path: string,
    mode: 'rw' | 'ro' = 'rw',
    options: { timeoutMs?: number } = {},
  ): Promise<HeldLock> {
    const { lock } = await this.#ask<{ lock: number }>('lock', { path, mode, ...options })
    const release = async (): Promise<void> => {
      await this.#ask('unlock', { lock })
    }
    return { release, [Symbol.asyncDispose]: release }
  }

  /** A foreign program that waits for the file's lock, opens it for writing and closes it. */
  waitOpen(path: string, timeoutMs: number): Promise<WaitResult> {
    return this.#ask('waitOpen', { path, timeoutMs })
  }

  /** A foreign program that competes for a file: it waits for the lock and puts `key` into 'b'. */
  writeKey(path: string, key: string, timeoutMs: number): Promise<Contest> {
    return this.#ask('writeKey', { path, key, timeoutMs })
  }

  /** The process that holds locks and waits for them. */
  get pid(): number | undefined {
    return this.#process.pid
  }

  async close(): Promise<void> {
    this.#process.stdin.end()
    await this.#exited
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async #ask<Result>(verb: string, details: object): Promise<Result> {
    if (this.#gone) throw new BboltError('Closed', 'the judge has ended')
    const id = ++this.#lastId
    const answer = new Promise<unknown>((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject })
    })
    this.#process.stdin.write(`${JSON.stringify({ ...details, id, verb })}\n`)
    return (await answer) as Result
  }

  #settle(line: string): void {
    const answer = JSON.parse(line) as Answer
    const waiting = this.#waiting.get(answer.id)
    this.#waiting.delete(answer.id)
    if (answer.error) waiting?.reject(new BboltError(answer.error.name, answer.error.message))
    else waiting?.resolve(answer.result)
  }

  #fail(reason: string): void {
    this.#gone = true
    for (const { reject } of this.#waiting.values()) reject(new BboltError('Closed', reason))
    this.#waiting.clear()
  }
}

function encodeStep(step: JudgeStep): object {
  if (step === 'reopen') return { reopen: true }
  return { ops: step.ops.map(encodeOp), rollback: step.rollback ?? false }
}

function encodeOp(op: JudgeOp): object {
  const { kind } = op
  const path = op.path.map(base64)
  if (kind === 'put') return { kind, path, key: base64(op.key), value: base64(op.value) }
  if (kind === 'delete') return { kind, path, key: base64(op.key) }
  if (kind === 'setSequence') return { kind, path, sequence: String(op.sequence) }
  return { kind, path }
}

function base64(bytes: Bytes): string {
  return Buffer.from(bytes).toString('base64')
}
