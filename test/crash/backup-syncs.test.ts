// What a power cut may not take away: when a target or a restore says that something is done, every
// file under a new name has been synced before it got the name, and the directory afterwards.
//
// Seen from outside, by the system calls of a process (strace); the states that a disk may be left
// in without one of these syncs are what crash/kernel.test.ts shows for the database.

import { readFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { expect } from 'vitest'
import { Child } from '../support/child.ts'
import { testIf, toolPath } from '../support/tools.ts'
import { inDirectory } from '../support/with-database.ts'

interface Call {
  readonly name: string
  readonly text: string
}

/** In the order in which they ended; calls that others interrupt in the trace are made whole. */
function callsOf(trace: string): Call[] {
  const begun = new Map<string, string>()
  const calls: Call[] = []
  for (const line of trace.split('\n')) {
    const [, thread = '', rest = ''] = /^(\d+)\s+(.*)$/.exec(line) ?? []
    const unfinished = /^(.*)<unfinished \.\.\.>$/.exec(rest)
    if (unfinished !== null) {
      begun.set(thread, unfinished[1] ?? '')
      continue
    }
    const text = rest.replace(/^<\.\.\. \w+ resumed>/, () => begun.get(thread) ?? '')
    const name = /^(\w+)\(/.exec(text)?.[1]
    if (name !== undefined && !/= -1 E/.test(text)) calls.push({ name, text })
  }
  return calls
}

/** What has changed and would be lost. */
class Unsynced {
  readonly #files = new Set<string>()
  /** Names that have come or gone: directory and name. */
  readonly #names = new Set<string>()
  /** Directories that are removed: another thread's removal of what was in there may end later. */
  readonly #gone = new Set<string>()

  take({ name, text }: Call): void {
    const [path = '', other = ''] = [...text.matchAll(/"([^"]*)"/g)].map(([, quoted]) => quoted)
    const opened = /= \d+<([^>]*)>/.exec(text)?.[1] ?? ''
    const synced = /\(\d+<([^>]*)>/.exec(text)?.[1] ?? ''
    if (name === 'openat' && text.includes('O_CREAT')) this.#files.add(opened)
    if (name === 'openat' && text.includes('O_CREAT')) this.#names.add(opened)
    if (name === 'mkdir') this.#gone.delete(path)
    if (name === 'mkdir' || name === 'unlink') this.#change(path)
    if (name === 'unlink') this.#files.delete(path)
    if (name === 'rmdir') this.#remove(path)
    if (name === 'fsync' || name === 'fdatasync') this.#sync(synced)
    if (name.startsWith('rename')) this.#rename(path, other)
  }

  /** What may not be lost; a directory that is only removed again by the next restore may. */
  get left(): string[] {
    return [...this.#files, ...this.#names].filter(
      (path) => !/\.hotbolt-restore|\.staging|\.state|\.freezes/.test(path),
    )
  }

  #change(path: string): void {
    if (!this.#gone.has(dirname(path))) this.#names.add(path)
  }

  #sync(path: string): void {
    this.#files.delete(path)
    for (const name of this.#names) if (dirname(name) === path) this.#names.delete(name)
  }

  /** A name must not be given to what would not be there. */
  #rename(from: string, to: string): void {
    const isBelow = (path: string): boolean => path === from || path.startsWith(`${from}/`)
    const lost = [...this.#files].filter(isBelow)
    expect([...lost, ...[...this.#names].filter((path) => isBelow(path) && path !== from)]).toEqual(
      [],
    )
    this.#names.delete(from)
    this.#names.add(to)
    this.#gone.clear()
  }

  #remove(path: string): void {
    for (const name of this.#names) if (dirname(name) === path) this.#names.delete(name)
    this.#gone.add(path)
    this.#change(path)
  }
}

testIf('strace', 'what is done is synced, names and all', () =>
  inDirectory(async (directory) => {
    const trace = join(directory, 'trace')
    const calls = 'openat,mkdir,rmdir,unlink,rename,renameat,renameat2,fsync,fdatasync,write'
    const strace = `${toolPath('strace')} -f -y -s 100 -e trace=${calls} -o ${trace}`
    const root = join(directory, 'root')
    await using child = new Child('syncs', [root], {
      before: `mkdir ${root}; exec ${strace} "$0" "$@"`,
    })
    const lines = await child.rest()
    expect((await child.exit()).code, child.errors).toBe(0)
    expect(lines).toHaveLength(11)

    const unsynced = new Unsynced()
    let done = 0
    let changes = 0
    for (const call of callsOf(await readFile(trace, 'utf8'))) {
      const step = /^write\(1<[^>]*>, "done: ([^\\]*)/.exec(call.text)?.[1]
      if (step !== undefined) {
        expect(unsynced.left, `after ${step}`).toEqual([])
        done++
      } else if (call.name !== 'write' && call.text.includes(root)) {
        unsynced.take(call)
        changes++
      }
    }
    expect(done).toBe(lines.length)
    expect(changes).toBeGreaterThan(100)
  }),
)
