// Stores as the source of a backup: the stores of a catalog, or one database.

import { basename, join } from 'node:path'
import { storeOf, type Database } from '../database/database.ts'
import type { Store } from '../database/store.ts'
import { HotboltError, toHotboltError } from '../errors.ts'
import type {
  CopyOptions,
  Freeze,
  FreezeSource,
  FrozenTable,
  SourceTable,
  TableFile,
} from '../backup/freeze-source.ts'
import { Semaphore } from '../backup/semaphore.ts'
import { checked, rule, withDefaults, type Defaults, type Rules } from '../rules.ts'
import { storeFileName, type CatalogDirectory } from './catalog-directory.ts'
import { PinnedState, type CopyStyle } from './pinned-state.ts'
import type { StoreFreezes } from './store-freezes.ts'

export interface StoreSourceOptions {
  /** Without the free pages: smaller, and slower. Default: false. */
  readonly compact?: boolean | undefined
  /** Every page of a copy is checked before it counts. Default: true. */
  readonly verify?: boolean | undefined
}

const rules: Rules<StoreSourceOptions> = { compact: rule.boolean, verify: rule.boolean }
const defaults: Defaults<StoreSourceOptions, 'compact' | 'verify'> = {
  compact: false,
  verify: true,
}

/** Of stores that a cut makes sure of at a time. */
const settlesMax = 8

/** ClickHouse's number for what is not there any more, which `ignoreErrors` has by default. */
const unknownTable = 60

abstract class Source {
  protected readonly style: CopyStyle

  constructor(options: StoreSourceOptions | undefined) {
    this.style = withDefaults(defaults, checked(rules, options))
  }

  errorNumber(error: unknown): number | undefined {
    return HotboltError.is(error, 'ERR_NOT_FOUND') ? unknownTable : undefined
  }
}

export interface CatalogSourceParts {
  readonly directory: CatalogDirectory
  readonly freezes: StoreFreezes
  /** Runs what postpones the catalog's close; ERR_CLOSED. */
  readonly work: <T>(run: () => Promise<T>) => Promise<T>
}

/** Freezes belong to the catalog: each source of it knows those of the others. */
export class CatalogSource extends Source implements FreezeSource {
  readonly kind = 'catalog'
  readonly id: string
  readonly location: string
  readonly #parts: CatalogSourceParts
  /** When the stores were listed. */
  #renames = 0

  constructor(parts: CatalogSourceParts, options?: StoreSourceOptions) {
    super(options)
    this.id = parts.directory.path
    this.location = parts.directory.path
    this.#parts = parts
  }

  async listTables(): Promise<SourceTable[]> {
    const { directory, work } = this.#parts
    this.#renames = this.#parts.freezes.renames
    return (await work(() => directory.list())).map((name) => ({ name }))
  }

  async freeze(freeze: Freeze): Promise<FrozenTable> {
    return this.#parts.work(() => {
      this.#parts.freezes.begin(freeze)
      return this.#settle(freeze)
    })
  }

  /**
   * One cut: what is written in one turn of the event loop is in all copies or in none. Stores that
   * have been made since listTables() are not in it.
   */
  async freezeAll(freezes: readonly Freeze[]): Promise<(FrozenTable | Error)[]> {
    return this.#parts.work(() => {
      // This is the moment: nothing may come in between.
      for (const freeze of freezes) this.#parts.freezes.begin(freeze)
      const settles = new Semaphore(settlesMax)
      const settle = (freeze: Freeze): Promise<FrozenTable | Error> =>
        settles.run(() => this.#settle(freeze).catch((error: unknown) => this.#explain(error)))
      return Promise.all(freezes.map(settle))
    })
  }

  /** A store that is not there was dropped; one that was renamed must not be missing in a cut. */
  #explain(cause: unknown): HotboltError {
    const isGone = HotboltError.is(cause, 'ERR_NOT_FOUND')
    if (!isGone || this.#renames === this.#parts.freezes.renames) return toHotboltError(cause)
    const message = `${cause.message}, or renamed: make the backup again`
    return new HotboltError('ERR_SOURCE', message, { cause })
  }

  async unfreeze(freeze: Freeze): Promise<void> {
    await this.#parts.freezes.end(freeze.id)
  }

  async isFrozen(freeze: Freeze): Promise<boolean> {
    return this.#parts.freezes.has(freeze.id)
  }

  async #settle(freeze: Freeze): Promise<FrozenTable> {
    const { freezes } = this.#parts
    try {
      const version = await freezes.settle(freeze.id)
      return { version, copy: (directory, options) => this.#copy(freeze, directory, options) }
    } catch (error) {
      await freezes.end(freeze.id)
      throw error
    }
  }

  async #copy(freeze: Freeze, directory: string, options: CopyOptions): Promise<TableFile[]> {
    const { freezes, work } = this.#parts
    const path = join(directory, storeFileName)
    const copied = await work(() => freezes.copy(freeze.id, path, this.style, options))
    return [{ path: storeFileName, ...copied }]
  }
}

/** What is frozen of each store, whichever source has asked. */
const frozen = new WeakMap<Store, Map<string, PinnedState>>()

/** One database, which is its only table. */
export class DatabaseSource extends Source implements FreezeSource {
  readonly kind = 'store'
  readonly id: string
  readonly #store: Store

  constructor(db: Database, options?: StoreSourceOptions) {
    super(options)
    this.#store = storeOf(db)
    this.id = db.path
  }

  async listTables(): Promise<SourceTable[]> {
    void this.#store.reader
    return [{ name: basename(this.id) }]
  }

  async freeze(freeze: Freeze): Promise<FrozenTable> {
    const state = new PinnedState(this.#store)
    this.#frozen.set(freeze.id, state)
    try {
      const version = await this.#store.track(state.version())
      return { version, copy: (directory, options) => this.#copy(state, directory, options) }
    } catch (error) {
      await this.unfreeze(freeze)
      throw error
    }
  }

  /** Its only table. */
  freezeAll(freezes: readonly Freeze[]): Promise<FrozenTable[]> {
    return Promise.all(freezes.map((freeze) => this.freeze(freeze)))
  }

  async unfreeze(freeze: Freeze): Promise<void> {
    this.#frozen.get(freeze.id)?.close()
    this.#frozen.delete(freeze.id)
  }

  async isFrozen(freeze: Freeze): Promise<boolean> {
    return this.#frozen.has(freeze.id)
  }

  get #frozen(): Map<string, PinnedState> {
    const known = frozen.get(this.#store) ?? new Map<string, PinnedState>()
    frozen.set(this.#store, known)
    return known
  }

  async #copy(state: PinnedState, directory: string, options: CopyOptions): Promise<TableFile[]> {
    const copied = await state.copy(join(directory, storeFileName), this.style, options)
    return [{ path: storeFileName, ...copied }]
  }
}
