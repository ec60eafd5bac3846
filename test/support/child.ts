// Processes of their own, for what a test cannot do in its own: die, hold a lock, be another user,
// have limits.
//
// A child is a module in test/children. It runs as compiled by `npm run build:ts`, so that it needs
// nothing but node; whether that is newer than its sources is checked.

import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { Worker } from 'node:worker_threads'

import { repositoryRoot } from '../oracle/root.ts'

function newestSourceMs(): number {
  const folders = ['lib', 'test/children', 'test/support'].map((name) => join(repositoryRoot, name))
  const files = folders.flatMap((folder) =>
    readdirSync(folder, { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.ts'))
      .map((name) => join(folder, name)),
  )
  return Math.max(...files.map((file) => statSync(file).mtimeMs))
}

function compiled(name: string): string {
  const path = join(repositoryRoot, 'dist/test/children', `${name}.js`)
  if (!existsSync(path) || statSync(path).mtimeMs < newestSourceMs()) {
    throw new Error('The compiled children are missing or old: run `npm run build:ts`')
  }
  return path
}

/** A module of test/children as a worker thread of this process. */
export function startThread(name: string, workerData: unknown): Worker {
  return new Worker(compiled(name), { workerData })
}

export interface ChildOptions {
  /** A shell command that is run in the same process before node, such as `ulimit -f 100`. */
  readonly before?: string
}

export interface Exit {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

export class Child implements AsyncDisposable {
  readonly #process: ChildProcess
  readonly #lines: string[] = []
  readonly #exit: Promise<Exit>
  #errors = ''
  #ended = false
  #wake = (): void => {}

  constructor(name: string, args: readonly string[], options: ChildOptions = {}) {
    const script = `${options.before ?? ':'}; exec "$0" "$@"`
    const command = ['-c', script, process.execPath, compiled(name), ...args]
    this.#process = spawn('bash', command, { stdio: ['pipe', 'pipe', 'pipe'] })
    this.#process.stdin?.on('error', () => {}) // it may be gone before it has read
    this.#process.stderr?.on('data', (text) => (this.#errors += String(text)))
    createInterface({ input: this.#process.stdout! }).on('line', (line) => {
      this.#lines.push(line)
      this.#wake()
    })
    // 'close', not 'exit': what it has written by then has been read.
    this.#exit = once(this.#process, 'close').then(([code, signal]) => {
      this.#ended = true
      this.#wake()
      return { code, signal }
    })
  }

  /** What it wrote on its standard error. */
  get errors(): string {
    return this.#errors
  }

  /** The next line that it writes; undefined when it has ended. */
  async line(): Promise<string | undefined> {
    while (this.#lines.length === 0 && !this.#ended) {
      await new Promise<void>((resolve) => (this.#wake = resolve))
    }
    return this.#lines.shift()
  }

  /** The lines that have not been read, when it has ended. */
  async rest(): Promise<string[]> {
    await this.#exit
    return this.#lines.splice(0)
  }

  /** Writes a line to its standard input. */
  send(line: string): void {
    this.#process.stdin?.write(`${line}\n`)
  }

  kill(): void {
    this.#process.kill('SIGKILL')
  }

  /** Ends its standard input, on which the children that wait do so. */
  release(): void {
    this.#process.stdin?.end()
  }

  exit(): Promise<Exit> {
    return this.#exit
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#ended) this.kill()
    await this.#exit
  }
}

/** Runs a child to its end; gives its lines. Throws if it fails. */
export async function runChild(
  name: string,
  args: readonly string[],
  options?: ChildOptions,
): Promise<string[]> {
  await using child = new Child(name, args, options)
  const lines = await child.rest()
  const { code, signal } = await child.exit()
  if (code === 0) return lines
  throw new Error(`${name} ended with ${code ?? signal}: ${child.errors}`)
}
