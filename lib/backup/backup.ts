// A backup of many tables: freeze, copy, release, for a few tables at a time.
//
// In `tableConcurrency` slots each table is frozen, copied into the target, and its freeze handed
// to the freezer. The manifest is put when all are copied: that makes the backup complete. The
// steps on which a crash depends are in this order: the name is locked, what the run may leave is
// recorded, each freeze is recorded before it is asked for, the manifest is put last, records go
// when what they say is gone.
//
// A failure cancels what still runs, waits for it, releases every freeze, and deletes what was put.
// It is told as what it is; what goes wrong after it is added to its message.

import { setMaxListeners } from 'node:events'
import { mkdir } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import type { Thrown } from '../callbacks.ts'
import { HotboltError, onDisk, toHotboltError } from '../errors.ts'
import { directoryMode } from '../safe-files.ts'
import {
  claimName,
  deadFreezes,
  removeStaging,
  requireStagingPlace,
  stagingPlaceOf,
  stateDirectoryOf,
} from './backup-claim.ts'
import { messageOf, sourceError, targetError } from './backup-error.ts'
import { deleteObjects, requireOwners } from './backup-objects.ts'
import { BackupObserver } from './backup-observer.ts'
import { BaseBackup } from './base-backup.ts'
import {
  resolveCreateBackupOptions,
  type BackupReport,
  type CreateBackupOptions,
  type ResolvedCreateBackupOptions,
  type TableReport,
} from './backup-options.ts'
import { cancelled, throwIfAborted } from './cancellation.ts'
import { isGivenUp, systemClock, withDeadline, withGrace, type Clock } from './clock.ts'
import { targetFrom } from './directory-target.ts'
import { bytesOf, entryOf, sizeOf, tableReport, type DoneTable } from './done-table.ts'
import { DirectorySyncs, isInside, makeDirectories, realPlace } from './files.ts'
import type { FreezeJournal } from './freeze-journal.ts'
import type { Freeze, FreezeSource, FrozenTable, SourceTable, TableFile } from './freeze-source.ts'
import { Freezer, type Pin } from './freezer.ts'
import { GuardedSource, requireSource } from './guarded-source.ts'
import { encodeManifest, manifestKey } from './manifest.ts'
import type { Manifest, ManifestTable } from './manifest.ts'
import { claimKey, runFolder } from './names.ts'
import { RateLimit } from './rate-limit.ts'
import { TableCopier } from './table-copier.ts'
import { listTables } from './table-list.ts'
import { claimInTarget, newClaim, otherClaim, requireClaim } from './target-claim.ts'
import type { Target } from './target.ts'

/**
 * Copies the tables of `source` into a new backup. When it resolves, the backup is complete; a
 * freeze that could not be released is a warning in the report, and in `leftover`.
 *
 * A source without tables gives an empty backup. ERR_NOT_FOUND: none of its tables is meant by
 * `include` and `exclude`, or there is no backup `diffFrom`. ERR_EXISTS: there is a backup of this
 * name; ERR_LOCKED: one is being made. ERR_SOURCE, or a code of ours: what the source said.
 * ERR_ABORTED: cancelled, with the reason as the cause. Whenever it rejects, nothing is in the
 * target, and every freeze is released or recorded for cleanFreezes().
 */
export function createBackup(
  source: FreezeSource,
  options: CreateBackupOptions,
): Promise<BackupReport> {
  return runBackup(source, options, systemClock)
}

/** The same, with a time that tests make. */
export async function runBackup(
  source: FreezeSource,
  options: CreateBackupOptions,
  clock: Clock,
): Promise<BackupReport> {
  requireSource(source)
  const resolved = resolveCreateBackupOptions(options)
  if (resolved.freezeAllFirst && source.freezeAll === undefined) {
    const message = `A source of kind "${source.kind}" cannot freeze all tables at one moment`
    throw new HotboltError('ERR_INVALID_ARGUMENT', `${message}: leave \`freezeAllFirst\` out`)
  }
  const { name, signal, unfreezeTimeoutMs: timeoutMs } = resolved
  const target = targetFrom(resolved.target)
  throwIfAborted(signal, 'The backup')
  const stateDirectory = await stateDirectoryOf(resolved.stateDirectory, target)
  await requireApart(source, target)
  const stagingPlace = await stagingPlaceOf(target)
  await requireStagingPlace(stagingPlace)
  const journal = await claimName({ target, stateDirectory, name, timeoutMs, clock, signal })
  const places = { target, stateDirectory, stagingPlace }
  return new Backup(source, { ...resolved, ...places }, journal, clock).run()
}

/** In a catalog's directory, backups would be in the way of its stores. */
async function requireApart({ location }: FreezeSource, target: Target): Promise<void> {
  if (location === undefined || target.stagingDirectory === undefined) return
  const place = await realPlace(resolve(target.stagingDirectory, '..'))
  if (!isInside(place, await realPlace(resolve(location)))) return
  const message = `The backups of ${location} may not be kept in it`
  throw new HotboltError('ERR_INVALID_ARGUMENT', message)
}

interface BackupOptions extends ResolvedCreateBackupOptions {
  readonly target: Target
  readonly stateDirectory: string
  readonly stagingPlace: string
}

class Backup {
  readonly #options: BackupOptions
  readonly #target: Target
  readonly #journal: FreezeJournal
  readonly #clock: Clock
  readonly #source: GuardedSource
  readonly #freezer: Freezer
  readonly #observer: BackupObserver
  readonly #claim = newClaim()
  readonly #createdAt = new Date().toISOString()
  /** The name of its directory. */
  readonly #staging: string
  /** Of the caller's signal, of a failed table, and of an error in a callback. */
  readonly #cancellation = new AbortController()
  readonly #done: DoneTable[] = []
  readonly #limit: RateLimit
  readonly #deadFreezes: Freeze[] = []
  #base: BaseBackup | undefined
  /** The first one, which is what the caller is told. */
  #failure: HotboltError | undefined
  /** By onProgress: the first failure as the caller knows it. */
  #thrown: Thrown | undefined
  #completeMs: number | undefined
  /** There may be objects in the target. */
  #hasPut = false
  /** What has been cancelled and has not ended may still put something somewhere, ... */
  #hasGivenUp = false
  /** ... even the manifest. */
  #hasGivenUpManifest = false

  constructor(source: FreezeSource, options: BackupOptions, journal: FreezeJournal, clock: Clock) {
    this.#options = options
    this.#target = options.target
    this.#journal = journal
    this.#clock = clock
    this.#limit = new RateLimit(options.bytesPerSecond)
    // One for each call that is under way: not a leak, however many.
    setMaxListeners(0, this.#signal)
    this.#source = new GuardedSource(source, options, clock)
    const onError = (error: unknown): void => this.#failInCallback(error)
    this.#observer = new BackupObserver(journal.name, options.onProgress, onError, () => {
      return this.#freezer.frozen
    })
    const { warn: onWarning, changed: onChange } = this.#observer
    this.#freezer = new Freezer(this.#source, journal, options, { onWarning, onChange }, clock)
    this.#staging = runFolder(journal.name)
  }

  get #signal(): AbortSignal {
    return this.#cancellation.signal
  }

  async run(): Promise<BackupReport> {
    const { signal } = this.#options
    const onAbort = (): void => this.#fail(cancelled(signal as AbortSignal, 'The backup'))
    signal?.addEventListener('abort', onAbort, { once: true })
    if (signal?.aborted === true) onAbort()
    try {
      await this.#publish(await this.#copyAll())
    } catch (error) {
      this.#fail(error)
    } finally {
      signal?.removeEventListener('abort', onAbort)
    }
    try {
      if (this.#completeMs === undefined) throw await this.#undo()
      await this.#finish()
      return this.#report()
    } finally {
      this.#observer.end()
    }
  }

  /** Gives the tables in the order in which the source lists them. */
  async #copyAll(): Promise<readonly SourceTable[]> {
    this.#signal.throwIfAborted()
    this.#observer.enter('listing')
    const { location } = this.#target
    const claim = this.#claim
    await this.#journal.beginRun({ target: location, staging: this.#staging, claim })
    this.#hasPut = this.#target.create !== undefined
    await claimInTarget(this.#target, this.#journal.name, claim, this.#signal)
    const { stateDirectory, freezeAllFirst } = this.#options
    this.#deadFreezes.push(
      ...(await deadFreezes(
        stateDirectory,
        this.#source.identity,
        this.#journal,
        this.#observer.warn,
      )),
    )
    await this.#readBase()
    const tables = await listTables(this.#source, this.#options, this.#signal)
    await this.#makeStaging()
    this.#observer.tablesTotal = tables.length
    this.#observer.enter('copying')
    const pins = freezeAllFirst ? await this.#freezer.registerAll(tables) : undefined
    if (pins !== undefined) await this.#freezeAll(pins)
    await this.#copyInSlots(tables, pins)
    return tables
  }

  async #readBase(): Promise<void> {
    const { diffFrom } = this.#options
    if (diffFrom === undefined) return
    const { identity } = this.#source
    this.#base = await BaseBackup.read(this.#target, diffFrom, identity, this.#signal)
  }

  async #makeStaging(): Promise<void> {
    const { stagingPlace } = this.#options
    await onDisk(async () => {
      await makeDirectories(stagingPlace, new DirectorySyncs())
      await requireStagingPlace(stagingPlace)
      await mkdir(join(stagingPlace, this.#staging), { mode: directoryMode })
    })
  }

  async #freezeAll(pins: readonly Pin[]): Promise<void> {
    try {
      await this.#freezer.freezeAll(pins, this.#signal)
    } catch (error) {
      throw this.#explain(error, 'The tables could not be frozen')
    }
  }

  async #copyInSlots(
    tables: readonly SourceTable[],
    pins: readonly Pin[] | undefined,
  ): Promise<void> {
    const queue = tables.entries()
    const slots = Math.min(this.#options.tableConcurrency, tables.length)
    const work = Array.from({ length: slots }, () => this.#copyInSlot(queue, pins, slots))
    await Promise.all(work)
    this.#signal.throwIfAborted()
  }

  /** One slot: takes tables until there are no more. Never rejects. */
  async #copyInSlot(
    queue: IterableIterator<[number, SourceTable]>,
    pins: readonly Pin[] | undefined,
    slots: number,
  ): Promise<void> {
    const copier = this.#newCopier(slots)
    try {
      for (const [index, table] of queue) {
        this.#signal.throwIfAborted()
        const pin = pins?.[index] ?? (await this.#freezer.register(table, this.#signal))
        try {
          this.#done[index] = await this.#copyTable(pin, copier)
        } catch (error) {
          this.#fail(error)
        }
        await this.#freezer.release(pin)
        const { outcome, entry } = this.#done[index] ?? {}
        if (outcome === 'copied') await this.#limit.keep(sizeOf(entry), this.#signal)
      }
    } catch (error) {
      this.#fail(error)
    } finally {
      copier.close()
    }
  }

  /** The limit of the speed is shared out evenly: a source is told its own once. */
  #newCopier(slots: number): TableCopier {
    const { bytesPerSecond, unfreezeTimeoutMs: graceMs } = this.#options
    return new TableCopier({
      backup: this.#journal.name,
      source: this.#source,
      target: this.#target,
      staging: join(this.#options.stagingPlace, this.#staging),
      bytesPerSecond: Math.ceil(bytesPerSecond / slots),
      graceMs,
      clock: this.#clock,
      signal: this.#signal,
      onBytes: (bytes) => this.#observer.addBytes(bytes),
    })
  }

  async #copyTable(pin: Pin, copier: TableCopier): Promise<DoneTable> {
    const { freeze } = pin
    const { table } = freeze
    let startMs = this.#clock.nowMs()
    const done = (outcome: TableReport['outcome'], entry?: ManifestTable): DoneTable => {
      const copyMs = this.#clock.nowMs() - startMs
      this.#observer.tableDone({ name: table, outcome, sizeBytes: sizeOf(entry), copyMs })
      return { pin, outcome, entry, copyMs }
    }
    let frozen: FrozenTable
    let staged: readonly TableFile[]
    try {
      frozen = await this.#freezer.freeze(pin, this.#signal)
      startMs = this.#clock.nowMs()
      const base = this.#reusable(table, frozen)
      if (base !== undefined) {
        return done('reused', entryOf(table, frozen, base.owner, base.files))
      }
      staged = await copier.stage(freeze, frozen)
    } catch (error) {
      // Only what the source says: a number of the target's is none of its own.
      if (!this.#source.isIgnorable(error) || this.#signal.aborted) {
        throw this.#explain(error, `Table "${table}" could not be copied`)
      }
      this.#observer.warn(`Table "${table}" is gone: ${messageOf(error)}`)
      await this.#observer.attempt('Removing copied files', () => copier.discard(table))
      return done('gone')
    }
    this.#hasPut = true
    const files = await this.#guard(copier.store(table, staged))
    await this.#observer.attempt('Removing copied files', () => copier.discard(table))
    return done('copied', entryOf(table, frozen, this.#journal.name, files))
  }

  #reusable(table: string, { version }: FrozenTable): ManifestTable | undefined {
    const entry = this.#base?.unchanged(table, version)
    if (entry === undefined || this.#base?.isWhole(entry) === true) return entry
    const place = `its files in backup "${entry.owner}"`
    this.#observer.warn(`Table "${table}" is copied again: ${place} are missing or cut short`)
    return undefined
  }

  /** After this the backup is complete, and cannot be cancelled any more. */
  async #publish(tables: readonly SourceTable[]): Promise<void> {
    this.#observer.enter('publishing')
    const { identity: source } = this.#source
    const { name } = this.#journal
    const entries = tables.flatMap((_, index) => this.#done[index]?.entry ?? [])
    const reused = entries.filter(({ owner }) => owner !== name)
    const requires = [...new Set(reused.map(({ owner }) => owner))].toSorted()
    const manifest: Manifest = {
      format: 'hotbolt-backup',
      version: 1,
      name,
      createdAt: this.#createdAt,
      source,
      cut: this.#options.freezeAllFirst,
      tables: entries,
      requires,
    }
    await requireOwners(this.#target, reused, this.#signal)
    await requireClaim(this.#target, name, this.#claim, this.#signal)
    await this.#putManifest(await encodeManifest(manifest))
    await this.#requireStill(reused)
    this.#completeMs = this.#observer.elapsedMs
  }

  async #putManifest(bytes: Uint8Array): Promise<void> {
    this.#signal.throwIfAborted()
    const key = manifestKey(this.#journal.name)
    this.#hasPut = true
    try {
      const put = (async () => this.#target.put(key, bytes, this.#signal))()
      await withGrace(put, this.#signal, this.#options.unfreezeTimeoutMs, this.#clock)
    } catch (error) {
      this.#hasGivenUpManifest = isGivenUp(error)
      this.#hasGivenUp ||= this.#hasGivenUpManifest
      throw targetError(error, `Storing ${key} in ${this.#target.location} failed`)
    }
  }

  /** A backup that was deleted as this one came to depend on it takes this one with it. */
  async #requireStill(reused: readonly ManifestTable[]): Promise<void> {
    try {
      await requireOwners(this.#target, reused)
    } catch (error) {
      if (HotboltError.is(error, 'ERR_NOT_FOUND')) throw error
      const { message } = toHotboltError(error)
      this.#observer.warn(
        `Whether the files that are used again still exist is not known: ${message}`,
      )
    }
  }

  async #finish(): Promise<void> {
    this.#observer.enter('unfreezing')
    await this.#freezer.drain()
    if (this.#target.create !== undefined) {
      await this.#observer.attempt('Giving the name back', () =>
        this.#target.delete(claimKey(this.#journal.name)),
      )
    }
    await this.#end(await this.#removeStaging())
    this.#observer.enter('done')
  }

  /** Gives what the caller is told. Never rejects. */
  async #undo(): Promise<unknown> {
    const warningsBefore = this.#observer.warnings.length
    await this.#freezer.releaseAll()
    await this.#freezer.drain()
    const isDeleted = await this.#deleteObjects()
    const isRemoved = await this.#removeStaging()
    await this.#end(isDeleted && isRemoved && !this.#hasGivenUp)
    if (this.#thrown !== undefined) return this.#thrown.error
    const failure = this.#failure ?? new HotboltError('ERR_INTERNAL', 'The backup did not end')
    const warnings = this.#observer.warnings.slice(warningsBefore)
    if (warnings.length === 0) return failure
    const { code, message, errno, syscall, path, page, cause } = failure
    const details = { errno, syscall, path, page, cause }
    return new HotboltError(code, `${message}; then: ${warnings.join('; ')}`, details)
  }

  async #deleteObjects(): Promise<boolean> {
    if (!this.#hasPut) return true
    // Without its objects a manifest that comes late would be that of a broken backup.
    if (this.#hasGivenUpManifest) return false
    const { unfreezeTimeoutMs: timeoutMs } = this.#options
    const { name } = this.#journal
    const claim = this.#claim
    return this.#observer.attempt('Deleting what was copied', async () => {
      const look = (signal: AbortSignal): ReturnType<typeof otherClaim> =>
        otherClaim(this.#target, { claim }, name, signal)
      const isOthers = (await withDeadline(look, timeoutMs, this.#clock)) !== undefined
      if (!isOthers) await deleteObjects(this.#target, name, timeoutMs, this.#clock)
    })
  }

  #removeStaging(): Promise<boolean> {
    return this.#observer.attempt('Removing copied files', () =>
      removeStaging(this.#target, this.#journal.name, { staging: this.#staging }),
    )
  }

  /** `isResolved`: what is in the target has its manifest, and nothing else is left. */
  async #end(isResolved: boolean): Promise<void> {
    await this.#observer.attempt('Closing the record of freezes', async () => {
      try {
        if (isResolved) await this.#journal.endRun()
      } finally {
        await this.#journal.close()
      }
    })
  }

  #report(): BackupReport {
    const tables = this.#done.map(tableReport)
    return {
      name: this.#journal.name,
      tables,
      bytesCopied: bytesOf(tables, 'copied'),
      bytesReused: bytesOf(tables, 'reused'),
      durationMs: this.#observer.elapsedMs,
      completeMs: this.#completeMs ?? 0,
      maxFrozen: this.#freezer.frozenMax,
      warnings: this.#observer.warnings,
      leftover: [...this.#deadFreezes, ...this.#freezer.leftover],
    }
  }

  /** The first failure cancels the rest, and is what is told. */
  #fail(error: unknown): void {
    if (this.#failure !== undefined) return
    this.#failure = toHotboltError(error)
    this.#cancellation.abort(this.#failure)
  }

  /** An error in a callback: the caller's own, as long as there is a way back. */
  #failInCallback(error: unknown): void {
    if (this.#completeMs === undefined) {
      if (this.#failure === undefined) this.#thrown = { error }
      this.#fail(error)
    } else if (this.#failure === undefined) {
      const { message } = toHotboltError(error)
      this.#observer.warnings.push(`onProgress threw when the backup was complete: ${message}`)
    }
  }

  /** What the source threw. */
  #explain(error: unknown, doing: string): HotboltError {
    this.#hasGivenUp ||= isGivenUp(error)
    return sourceError(error, doing)
  }

  /** Notes when `work` was given up: it may go on. */
  async #guard<T>(work: Promise<T>): Promise<T> {
    try {
      return await work
    } catch (error) {
      this.#hasGivenUp ||= isGivenUp(error)
      throw error
    }
  }
}
