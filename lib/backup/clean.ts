// Cleaning up after runs that have died: their freezes are released, the objects of backups that
// were never completed are deleted, and so are the directories in which they were made.
//
// What a dead run has left is in its journal, whose lock says that it is dead. Each step may be
// repeated, and is forgotten when it is done: who dies here has lost nothing either.

import { HotboltError, toHotboltError } from '../errors.ts'
import { isOf, lockInTarget, removeStaging, stateDirectoryOf } from './backup-claim.ts'
import { deleteObjects, hasManifest, unfinishedOf } from './backup-objects.ts'
import {
  resolveCleanFreezesOptions,
  type CleanFreezesOptions,
  type CleanReport,
  type ResolvedCleanFreezesOptions,
} from './backup-options.ts'
import { systemClock, type Clock } from './clock.ts'
import { targetFrom } from './directory-target.ts'
import {
  FreezeJournal,
  journalNames,
  removeHalfJournals,
  type JournaledRun,
} from './freeze-journal.ts'
import type { Freeze, FreezeSource } from './freeze-source.ts'
import { Freezer } from './freezer.ts'
import { GuardedSource, requireSource } from './guarded-source.ts'
import { claimKey } from './names.ts'
import { otherClaim } from './target-claim.ts'
import type { Target } from './target.ts'

/**
 * Releases the freezes of `source` that runs have left which died, and removes what else is left of
 * them. Backups that are being made are not touched, nor freezes of other sources. Without a target
 * objects cannot be deleted: that is a warning.
 *
 * ERR_INVALID_ARGUMENT unless the options say where freezes are recorded.
 */
export function cleanFreezes(
  source: FreezeSource,
  options: CleanFreezesOptions,
): Promise<CleanReport> {
  return runClean(source, options, systemClock)
}

/** The same, with a time that tests make. */
export async function runClean(
  source: FreezeSource,
  options: CleanFreezesOptions,
  clock: Clock,
): Promise<CleanReport> {
  requireSource(source)
  const resolved = resolveCleanFreezesOptions(options)
  const target = resolved.target === undefined ? undefined : targetFrom(resolved.target)
  const stateDirectory = await stateDirectoryOf(resolved.stateDirectory, target)
  return new Cleaner(source, resolved, target, stateDirectory, clock).run()
}

class Cleaner {
  readonly #source: FreezeSource
  readonly #options: ResolvedCleanFreezesOptions
  readonly #target: Target | undefined
  readonly #stateDirectory: string
  readonly #clock: Clock
  readonly #released: Freeze[] = []
  readonly #leftover: Freeze[] = []
  readonly #running: string[] = []
  readonly #abandoned: string[] = []
  readonly #unfinished: string[] = []
  readonly #warnings: string[] = []

  constructor(
    source: FreezeSource,
    options: ResolvedCleanFreezesOptions,
    target: Target | undefined,
    stateDirectory: string,
    clock: Clock,
  ) {
    this.#source = source
    this.#options = options
    this.#target = target
    this.#stateDirectory = stateDirectory
    this.#clock = clock
  }

  async run(): Promise<CleanReport> {
    const names = await journalNames(this.#stateDirectory)
    for (const name of names) await this.#cleanAfter(name)
    if (!this.#options.dryRun) {
      await this.#attempt('Removing what is left of records', async () => {
        for (const { message } of await removeHalfJournals(this.#stateDirectory)) {
          this.#warnings.push(`What is left of a record was not removed: ${message}`)
        }
      })
    }
    return {
      released: this.#released,
      leftover: this.#leftover,
      running: this.#running,
      abandoned: this.#abandoned,
      ...(this.#unfinished.length > 0 && { unfinished: this.#unfinished }),
      warnings: this.#warnings,
    }
  }

  async #cleanAfter(name: string): Promise<void> {
    await this.#attempt(`Cleaning up after the run for "${name}"`, async () => {
      const journal = await this.#open(name)
      if (journal === undefined) return
      try {
        const hasOthers = await this.#cleanFreezes(journal)
        const run = journal.run()
        if (run !== undefined && !hasOthers) await this.#cleanRun(journal, run)
      } finally {
        await journal.close()
      }
    })
  }

  /** Undefined: there is none any more, or its run is alive. */
  async #open(name: string): Promise<FreezeJournal | undefined> {
    try {
      const { dryRun: readOnly } = this.#options
      return await FreezeJournal.open(this.#stateDirectory, name, { readOnly })
    } catch (error) {
      if (HotboltError.is(error, 'ERR_NOT_FOUND')) return undefined
      if (!HotboltError.is(error, 'ERR_LOCKED')) throw error
      this.#running.push(name)
      return undefined
    }
  }

  /** Whether freezes of other sources are left. */
  async #cleanFreezes(journal: FreezeJournal): Promise<boolean> {
    const records = journal.freezes()
    const isOwn = isOf(this.#source)
    const others = records.filter((record) => !isOwn(record))
    if (others.length > 0) {
      const sources = new Set(others.map(({ source }) => `${source.kind} ${source.id}`))
      const what = `the run for "${journal.name}" are of other sources`
      this.#warnings.push(`${others.length} freezes of ${what}: ${[...sources].join(', ')}`)
    }
    const freezes = records.filter(isOwn).map(({ freeze }) => freeze)
    if (this.#options.dryRun) this.#released.push(...freezes)
    else await this.#release(journal, freezes)
    return others.length > 0
  }

  async #release(journal: FreezeJournal, freezes: readonly Freeze[]): Promise<void> {
    const source = new GuardedSource(this.#source, this.#options, this.#clock)
    const { unfreezeConcurrency } = this.#options
    const options = { unfreeze: 'pipelined', unfreezeConcurrency, maxFrozen: Infinity } as const
    const onWarning = (message: string): void => void this.#warnings.push(message)
    const events = { onWarning, onChange: () => {} }
    const freezer = new Freezer(source, journal, options, events, this.#clock)
    freezer.adopt(freezes)
    await freezer.releaseAll()
    await freezer.drain()
    for (const { freeze, outcome } of freezer.pins) {
      if (outcome === 'failed') this.#leftover.push(freeze)
      else this.#released.push(freeze)
    }
  }

  async #cleanRun(journal: FreezeJournal, run: JournaledRun): Promise<void> {
    const { name } = journal
    const { dryRun, unfreezeTimeoutMs } = this.#options
    const target = this.#target
    if (target === undefined || target.location !== run.target) {
      const message = `The run for "${name}" may have left objects in ${run.target}`
      this.#warnings.push(`${message}: they can only be deleted with that as the target`)
      return
    }
    const held = dryRun ? undefined : await lockInTarget(target, this.#stateDirectory, name)
    try {
      const isComplete = await hasManifest(target, name)
      const isOthers = (await otherClaim(target, run, name)) !== undefined
      const isAbandoned = !isComplete && !isOthers
      if (isAbandoned) {
        this.#unfinished.push(...(await unfinishedOf(target, name)).map(({ key }) => key))
      }
      if (!dryRun) {
        if (isAbandoned) await deleteObjects(target, name, unfreezeTimeoutMs, this.#clock)
        else if (!isOthers) await target.delete(claimKey(name))
        await removeStaging(target, name, run)
        await journal.endRun()
      }
      if (isAbandoned) this.#abandoned.push(name)
    } finally {
      await held?.close()
    }
  }

  async #attempt(doing: string, step: () => Promise<void>): Promise<void> {
    try {
      await step()
    } catch (error) {
      this.#warnings.push(`${doing} failed: ${toHotboltError(error).message}`)
    }
  }
}
