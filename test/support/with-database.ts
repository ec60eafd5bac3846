// A database of its own for each test, and the end that every test has to reach: the file closes,
// nothing is left beside it, no descriptor stays open, it opens again read-only with the same
// content, our check and bbolt's find nothing wrong with it.
//
//   test('a put is visible at once', withDatabase(async ({ db }) => { ... }))

import { existsSync, readdirSync, readlinkSync, statfsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'vitest'

import { open, type Bucket, type Database, type OpenOptions } from '../../lib/index.ts'
import type { DefragReport } from '../../lib/index.ts'
import type { InternalDefragOptions, PausePoint } from '../../lib/options.ts'
import type { Path } from './model.ts'
import { tier } from './tiers.ts'
import { judgeFilesIn, leftovers, verifyFile } from './verdict.ts'

export { damagedOnPurpose, judgeFilesIn, leftovers, sharedJudge, verifyFile } from './verdict.ts'

/** The smallest page gives the deepest trees; the small memtable makes checkpoints frequent. */
export const smallPages: OpenOptions = { pageSize: 1024, checkpointBytes: 16 << 10 }

/** No checkpoint begins because of time, however slow the machine is. */
export const untimed: OpenOptions = { checkpointIntervalMs: 0, checkpointIdleMs: 0 }

/** Containers have a /dev/shm too, but often a small one. */
const memoryBytesMin = 4 * 2 ** 30

function findMemory(): string {
  const place = '/dev/shm'
  if (!existsSync(place)) return tmpdir()
  const { bavail, bsize } = statfsSync(place)
  return bavail * bsize < memoryBytesMin ? tmpdir() : place
}

/** In memory where there is room: what a kill leaves is with the kernel, not on a disk. */
export const memoryDirectory: string = findMemory()

/** Syncs are what most tests would wait for, and what they are not about; CI's tier makes them. */
const usualParent = tier === 'short' ? memoryDirectory : tmpdir()

/** On another file system than the directories of tests, where there is a second one. */
export const otherDirectory: string = tier === 'short' ? tmpdir() : memoryDirectory

/** Calls `run` with a new directory; has the databases in it judged, and removes it. */
export async function inDirectory<T>(
  run: (directory: string) => Promise<T>,
  parent: string = usualParent,
): Promise<T> {
  const directory = await mkdtemp(join(parent, 'hotbolt-test-'))
  try {
    const result = await run(directory)
    await judgeFilesIn(directory)
    return result
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}

export class TestDatabase {
  readonly directory: string
  readonly path: string
  readonly #options: OpenOptions
  #db: Database | undefined

  constructor(path: string, directory: string, options: OpenOptions) {
    this.path = path
    this.directory = directory
    this.#options = options
  }

  get db(): Database {
    if (this.#db === undefined) throw new Error('the test has closed its database')
    return this.#db
  }

  async open(options: OpenOptions = {}): Promise<Database> {
    this.#db = await open(this.path, { ...untimed, ...this.#options, ...options })
    return this.#db
  }

  async close(): Promise<void> {
    await this.#db?.close()
    this.#db = undefined
  }

  async reopen(options: OpenOptions = {}): Promise<Database> {
    await this.close()
    return this.open(options)
  }

  /** The end of a test; gives the content's hash. */
  async finish(): Promise<string> {
    const before = await this.#db?.hash().catch(() => undefined) // the test may have closed it
    await this.close()
    expect(leftovers(this.path), 'nothing is left beside the closed file').toEqual([])
    return verifyFile(this.path, before)
  }

  /** After a failure: what the test still holds must not keep the database from closing. */
  async abandon(): Promise<void> {
    for (const release of held) release()
    await this.close().catch(() => {})
  }
}

/** A test's body with a database. `options` also hold when it is opened again. */
export function withDatabase(
  run: (context: TestDatabase) => Promise<void>,
  options: OpenOptions = {},
): () => Promise<void> {
  return () =>
    inDirectory(async (directory) => {
      const context = new TestDatabase(join(directory, 'data.db'), directory, options)
      await context.open()
      try {
        await run(context)
        await context.finish()
      } finally {
        await context.abandon()
      }
      expect(openFilesIn(directory), 'no descriptor stays open').toEqual([])
    })
}

/** What a process, this one, has open inside a directory; [] where /proc does not tell. */
export function openFilesIn(directory: string, pid: number | 'self' = 'self'): string[] {
  const folder = `/proc/${pid}/fd`
  if (!existsSync(folder)) return []
  return readdirSync(folder).flatMap((descriptor) => {
    try {
      const target = readlinkSync(`${folder}/${descriptor}`)
      return target.startsWith(directory) ? [target] : []
    } catch {
      return [] // the descriptor of the listing itself
    }
  })
}

export function bucketAt(db: Database, path: Path): Bucket {
  const [first, ...rest] = path
  let bucket = db.bucket(first!)
  for (const name of rest) bucket = bucket.bucket(name)
  return bucket
}

/** Where a defragmentation can be held, in order, while it may still be aborted... */
export const pointsBeforeRename: readonly PausePoint[] = [
  'before-copy',
  'copy-started',
  'after-copy',
  'round',
  'before-publish',
]
/** ... and when the new file has its name. */
export const pointsAfterRename: readonly PausePoint[] = [
  'after-publish',
  'before-install',
  'after-install',
  'before-clean',
]
export const pausePoints: readonly PausePoint[] = [...pointsBeforeRename, ...pointsAfterRename]

/** The releases of the defragmentations that stand still. */
const held = new Set<() => void>()

/** A defragmentation of which a test decides when it goes on. */
export interface HeldDefrag {
  /** Resolves when the named point is reached; rejects if the run ends before. */
  readonly reached: Promise<void>
  readonly release: () => void
  readonly report: Promise<DefragReport>
}

/** Starts a defragmentation that stops at the first `point` until it is released. */
export function holdDefragAt(
  db: Database,
  point: PausePoint,
  options: InternalDefragOptions = {},
): HeldDefrag {
  let arrive = (): void => {}
  let release = (): void => {}
  const arrived = new Promise<void>((resolve) => (arrive = resolve))
  const released = new Promise<void>((resolve) => (release = resolve))
  const report = defragWith(db, {
    ...options,
    pausePoint: async (at) => {
      await options.pausePoint?.(at)
      if (at !== point) return
      arrive()
      await released
    },
  })
  held.add(release)
  const forget = (): unknown => held.delete(release)
  report.then(forget, forget)
  const ended = report.then(() => {
    throw new Error(`the defragmentation ended without reaching '${point}'`)
  })
  const reached = Promise.race([arrived, ended])
  for (const promise of [report, ended, reached]) promise.catch(() => {})
  return { reached, release, report }
}

/** db.defrag with the options that only tests know. */
export function defragWith(db: Database, options: InternalDefragOptions): Promise<DefragReport> {
  return db.defrag(options)
}

/** The code of the error that `run` throws or rejects with; undefined when there is none. */
export async function codeOf(run: () => unknown): Promise<string | undefined> {
  try {
    await run()
    return undefined
  } catch (error) {
    return (error as { code?: string }).code ?? String(error)
  }
}

/** The same for what does not wait. */
export function refusalOf(run: () => unknown): string | undefined {
  try {
    run()
    return undefined
  } catch (error) {
    return (error as { code?: string }).code ?? String(error)
  }
}
