// The durable record of one backup's freezes, and of what else a run leaves when it dies: the file
// `<state directory>/<backup>.freezes`, a database of ours.
//
// Its lock is the lock "one backup of a name at a time", and the sign that the run is alive. What
// is recorded is there after any crash before the source is asked for the freeze; a record goes
// when the source has been seen to hold nothing. A file in which nothing is left is removed.
//
// Nothing is believed to be a record because of its name: it is no link, has no other name, is our
// own, and holds the marker that comes with the first write, or nothing at all. Whatever else is
// there is left as it is.

import type { Stats } from 'node:fs'
import { link, lstat, readdir, realpath, unlink } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { openDatabase, type Database } from '../database/database.ts'
import { HotboltError, onDisk } from '../errors.ts'
import { StoreMaintainer } from '../maintenance/store-maintainer.ts'
import type { OpenOptions } from '../options.ts'
import { lookAt, removeOwnFile, requireOwnDirectory, requireOwnFile } from '../safe-files.ts'
import { DirectorySyncs, makeDirectories } from './files.ts'
import type { Freeze, FreezeSource } from './freeze-source.ts'
import {
  backupOfRecord,
  isHalfRecordFile,
  isSecondRecordFile,
  recordFile,
  secondRecordFile,
} from './names.ts'

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
  /** The name of the run's own directory, among those of the target's runs. */
  readonly staging: string
  /** What it has put, or was to put, into the target as the owner of the name. */
  readonly claim?: string
}

const markerBucket = 'hotbolt-freezes'
const formatVersion = '1'
/** Others look into a journal for a moment: that is no reason to refuse. */
const lockTimeoutMs = 250
const openAttemptsMax = 1000
/** At the names of a record, while removals give it a second one and take it away. */
const looksMax = 50

export class FreezeJournal {
  readonly name: string
  readonly #directory: string
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
    return new FreezeJournal(name, directory, await openRecord(directory, name, options))
  }

  private constructor(name: string, directory: string, db: Database) {
    this.name = name
    this.#directory = directory
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
    await Promise.all([this.#mark(), this.#db.bucket('run', { value: 'json' }).put('run', run)])
  }

  /** There is nothing that a manifest does not name. */
  async endRun(): Promise<void> {
    await this.#db.bucket('run').delete('run')
  }

  /** Resolves when they are durable. */
  async record(source: SourceIdentity, freezes: readonly Freeze[]): Promise<void> {
    const { kind, id } = source
    const bucket = this.#db.bucket('freezes', { value: 'json' })
    await Promise.all([
      this.#mark(),
      ...freezes.map((freeze) => bucket.put(freeze.id, { source: { kind, id }, freeze })),
    ])
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
      const { readOnly } = this.#db
      const isEmpty = isEmptyJournal(this.#db)
      await this.#db.close()
      if (isEmpty && !readOnly) await removeJournal(this.#directory, this.name)
    } finally {
      await this.#other?.close()
    }
  }

  /** In one journal frame with what is written in the same turn, or before it. */
  async #mark(): Promise<void> {
    const marker = this.#db.bucket(markerBucket)
    if (marker.get('format') === undefined) await marker.put('format', formatVersion)
  }
}

/** The names of the backups that have a journal, in order; none where there is no directory. */
export async function journalNames(directory: string): Promise<string[]> {
  const files = await filesIn(directory)
  return files.flatMap((file) => backupOfRecord(file) ?? []).toSorted()
}

async function filesIn(directory: string): Promise<string[]> {
  try {
    return await onDisk(async () => {
      await requireOwnDirectory(directory)
      return readdir(directory)
    })
  } catch (error) {
    if (HotboltError.is(error, 'ERR_NOT_FOUND')) return []
    throw error
  }
}

/**
 * Removes what a process left that died as it made or removed a journal. What is no file of ours
 * stays; gives why.
 */
export async function removeHalfJournals(directory: string): Promise<readonly HotboltError[]> {
  const half = (await filesIn(directory)).filter(isHalfRecordFile)
  const removals = half.map((file) => onDisk(() => removeOwnFile(directory, file)))
  const outcomes = await Promise.allSettled(removals)
  return outcomes.flatMap((each) => (each.status === 'rejected' ? [each.reason] : []))
}

/** Its name is durable, as what is recorded in it has to be. */
async function makeStateDirectory(directory: string): Promise<void> {
  await onDisk(() => makeDirectories(resolve(directory), new DirectorySyncs()))
}

/** Proves what is there before it is opened, and what was opened before it is believed. */
async function openRecord(
  directory: string,
  name: string,
  options: OpenOptions,
): Promise<Database> {
  const path = join(directory, recordFile(name))
  const realDirectory = await onDisk(async () => {
    await requireOwnDirectory(directory)
    await requireOwnRecord(directory, path)
    return realpath(directory)
  })
  const db = await openFile(path, options)
  try {
    requireRecord(db, join(realDirectory, recordFile(name)))
    return db
  } catch (error) {
    await db.close()
    throw error
  }
}

/** There may be nothing. ERR_NOT_A_FILE, ERR_PERMISSION. */
async function requireOwnRecord(directory: string, path: string): Promise<void> {
  for (let look = 1; ; look++) {
    const stats = await lookAt(path)
    if (stats === undefined) return
    const names = stats.nlink === 1 ? 1 : await countNames(directory, stats)
    // A removal may come or go between the two looks.
    if (stats.nlink <= names || look === looksMax) return requireOwnFile(path, stats, names)
  }
}

/** Its own, and those that removals have made which are under way or were killed. */
async function countNames(directory: string, { dev, ino }: Stats): Promise<number> {
  const second = (await readdir(directory)).filter(isSecondRecordFile)
  const looks = await Promise.all(second.map((file) => lookAt(join(directory, file))))
  return 1 + looks.filter((stats) => stats?.dev === dev && stats.ino === ino).length
}

/** ERR_NOT_A_DATABASE: it is something else; ERR_VERSION: a later hotbolt made it. */
function requireRecord(db: Database, path: string): void {
  const details = { path }
  const format = db.bucket(markerBucket, { value: 'utf8' }).get('format')
  if (db.path === path && (format === formatVersion || db.buckets().length === 0)) return
  if (db.path === path && format !== undefined) {
    const message = `${path} has format ${format}, which this hotbolt does not know`
    throw new HotboltError('ERR_VERSION', message, details)
  }
  const message = `${path} is a database, but no record of freezes`
  throw new HotboltError('ERR_NOT_A_DATABASE', message, details)
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
async function removeJournal(directory: string, name: string): Promise<void> {
  const file = recordFile(name)
  const second = secondRecordFile(name)
  const [path, secondPath] = [join(directory, file), join(directory, second)]
  try {
    await link(path, secondPath)
    const db = await openFile(secondPath, {})
    try {
      const isSame = (await lstat(path)).ino === (await lstat(secondPath)).ino
      if (isSame && isEmptyJournal(db) && !(await hasSegments(directory, file))) await unlink(path)
    } finally {
      await db.close()
    }
  } catch {
    // Another run has taken or removed it, or the system cannot link: an empty file does no harm.
  } finally {
    await removeOwnFile(directory, second).catch(() => {})
  }
}

/** Something that has been written and is not in the file. */
async function hasSegments(directory: string, file: string): Promise<boolean> {
  return (await readdir(directory)).some((each) => each.startsWith(`${file}-`))
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
  return (
    hasTexts(value, 'target', 'staging') && ['string', 'undefined'].includes(typeof value['claim'])
  )
}
