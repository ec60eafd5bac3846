// The durable record of one backup's freezes, and of what else a run leaves when it dies: the file
// `<state directory>/<backup>.freezes`, a database of ours.
//
// Its lock is the lock "one backup of a name at a time", and the sign that the run is alive. What
// is recorded is there after any crash before the source is asked for the freeze; a record goes
// when the source has been seen to hold nothing. A file in which nothing is left is removed.

import { randomUUID } from 'node:crypto'
import { link, readdir, rm, stat, unlink } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { openDatabase, type Database } from '../database/database.ts'
import { HotboltError, toHotboltError } from '../errors.ts'
import { backupName } from '../names.ts'
import type { OpenOptions } from '../options.ts'
import { DirectorySyncs, makeDirectories } from './files.ts'
import type { Freeze, FreezeSource } from './freeze-source.ts'
import { StoreMaintainer } from '../maintenance/store-maintainer.ts'

/** Which source a freeze is of. */
export type SourceIdentity = Pick<FreezeSource, 'kind' | 'id'>

export interface RecordedFreeze {
  readonly source: SourceIdentity
  readonly freeze: Freeze
}

/** What a run that has not come to its end may have left besides freezes. */
export interface JournaledRun {
  /** Location of the target in which there may be objects of the backup. */
  readonly target: string
  /** The run's own directory. */
  readonly staging: string
}

const suffix = '.freezes'
const removingSuffix = '.removing'
/** Others look into a journal for a moment: that is no reason to refuse. */
const lockTimeoutMs = 250
const openAttemptsMax = 1000

export class FreezeJournal {
  readonly name: string
  readonly #db: Database
  /** Of the same name in another directory; closed with this one. */
  #other: FreezeJournal | undefined

  /**
   * The exclusive owner of the name. Makes the directory and the file. ERR_LOCKED: a backup of this
   * name is running.
   */
  static async create(directory: string, name: string): Promise<FreezeJournal> {
    await makeStateDirectory(directory)
    for (let attempt = 1; ; attempt++) {
      try {
        return await FreezeJournal.open(directory, name, { create: true, lockTimeoutMs })
      } catch (error) {
        // Its last owner has removed it while we waited for it.
        if (!HotboltError.is(error, 'ERR_NOT_FOUND') || attempt === openAttemptsMax) throw error
      }
    }
  }

  /** ERR_NOT_FOUND, ERR_LOCKED. */
  static async open(
    directory: string,
    name: string,
    options: Pick<OpenOptions, 'create' | 'readOnly' | 'lockTimeoutMs'>,
  ): Promise<FreezeJournal> {
    const path = join(directory, `${name}${suffix}`)
    return new FreezeJournal(name, await openFile(path, options))
  }

  private constructor(name: string, db: Database) {
    this.name = name
    this.#db = db
  }

  /** ERR_CORRUPT for what is no record. */
  freezes(): RecordedFreeze[] {
    return [...this.#db.bucket('freezes', { value: 'json' }).range()].map(([, record]) =>
      proven<RecordedFreeze>(record, isRecordedFreeze, this.#db.path),
    )
  }

  /** Undefined: all that is left is freezes. */
  run(): JournaledRun | undefined {
    const run: unknown = this.#db.bucket('run', { value: 'json' }).get('run')
    return run === undefined ? undefined : proven<JournaledRun>(run, isRun, this.#db.path)
  }

  /** From now on there may be objects and a staging directory. Resolves when that is durable. */
  async beginRun(run: JournaledRun): Promise<void> {
    await this.#db.bucket('run', { value: 'json' }).put('run', run)
  }

  /** There is nothing that a manifest does not name. */
  async endRun(): Promise<void> {
    await this.#db.bucket('run').delete('run')
  }

  /** Resolves when they are durable. */
  async record(source: SourceIdentity, freezes: readonly Freeze[]): Promise<void> {
    const { kind, id } = source
    const bucket = this.#db.bucket('freezes', { value: 'json' })
    await Promise.all(
      freezes.map((freeze) => bucket.put(freeze.id, { source: { kind, id }, freeze })),
    )
  }

  async forget(freeze: Freeze): Promise<void> {
    await this.#db.bucket('freezes').delete(freeze.id)
  }

  /** Owns that as long as this one, whose run it stands for in another place. */
  holdAlso(other: FreezeJournal): void {
    this.#other = other
  }

  /** Removes the file when nothing is left in it. */
  async close(): Promise<void> {
    try {
      const { path, readOnly } = this.#db
      const isEmpty = isEmptyJournal(this.#db)
      await this.#db.close()
      if (isEmpty && !readOnly) await removeJournal(path)
    } finally {
      await this.#other?.close()
    }
  }
}

/** The names of the backups that have a journal, in order; none where there is no directory. */
export async function journalNames(directory: string): Promise<string[]> {
  const files = await filesIn(directory)
  const names = files.map((file) => (file.endsWith(suffix) ? file.slice(0, -suffix.length) : ''))
  return names.filter((name) => backupName.accepts(name)).toSorted()
}

async function filesIn(directory: string): Promise<string[]> {
  try {
    return await readdir(directory)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw toHotboltError(error)
  }
}

/** Removes what a process left that died as it made or removed a journal. */
export async function removeHalfJournals(directory: string): Promise<void> {
  const files = await filesIn(directory)
  const half = files.filter((file) => /\.freezes(?:-create-[0-9a-f]+|\.removing)$/.test(file))
  for (const file of half) await rm(join(directory, file), { force: true })
}

/** Its name is durable, as what is recorded in it has to be. */
async function makeStateDirectory(directory: string): Promise<void> {
  try {
    await makeDirectories(resolve(directory), new DirectorySyncs())
  } catch (error) {
    throw toHotboltError(error)
  }
}

function openFile(path: string, options: OpenOptions): Promise<Database> {
  return openDatabase(path, { pageSize: 4096, create: false, ...options }, (store) => {
    return new StoreMaintainer(store)
  })
}

function isEmptyJournal(db: Database): boolean {
  return db.bucket('freezes').count() === 0 && db.bucket('run').count() === 0
}

/**
 * The name may only go while its file is locked, or another process could lose a file that it has
 * just opened; but a close removes journal segments by name, which may be another one's by then. So
 * the file is locked through a second name, which has no segments.
 */
async function removeJournal(path: string): Promise<void> {
  const second = `${path.slice(0, -suffix.length)}-${randomUUID()}${suffix}${removingSuffix}`
  try {
    await link(path, second)
    const db = await openFile(second, {})
    try {
      const isSame = (await stat(path)).ino === (await stat(second)).ino
      if (isSame && isEmptyJournal(db) && !(await hasSegments(path))) await unlink(path)
    } finally {
      await db.close()
    }
  } catch {
    // Another run has taken or removed it, or the system cannot link: an empty file does no harm.
  } finally {
    await rm(second, { force: true }).catch(() => {})
  }
}

/** Something that has been written and is not in the file. */
async function hasSegments(path: string): Promise<boolean> {
  const files = await readdir(dirname(path))
  return files.some((file) => join(dirname(path), file).startsWith(`${path}-`))
}

function proven<T>(value: unknown, isProven: (value: unknown) => value is T, path: string): T {
  if (isProven(value)) return value
  throw new HotboltError('ERR_CORRUPT', `${path} holds something that is no record`, { path })
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null

function hasTexts(value: unknown, ...names: readonly string[]): value is Record<string, unknown> {
  return isObject(value) && names.every((name) => typeof value[name] === 'string')
}

function isRecordedFreeze(value: unknown): value is RecordedFreeze {
  if (!isObject(value)) return false
  const { source, freeze } = value
  if (!hasTexts(source, 'kind', 'id') || !hasTexts(freeze, 'id', 'table', 'createdAt')) return false
  return /^\w+$/.test(String(freeze['id']))
}

function isRun(value: unknown): value is JournaledRun {
  return hasTexts(value, 'target', 'staging')
}
