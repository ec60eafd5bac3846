// The freezes of a catalog's stores: which state of which store stays as it is, until it is
// released.
//
// A freeze pins a snapshot of its store, if that is open. A closed store cannot be written, so its
// freeze needs nothing but the promise that whoever opens the store pins it first (onOpen), and one
// that has not been written since may be closed again. So a cut across any number of stores takes
// one turn of the event loop and no more open stores than before.
//
// A drop or rename puts what is frozen aside first, into a file of its own: an open store belongs
// to its path. Pins live in memory: they end with the catalog.

import { rm } from 'node:fs/promises'
import { HotboltError, onDisk, toHotboltError } from '../errors.ts'
import type { CopyOptions, Freeze, TableFile } from '../backup/freeze-source.ts'
import { copyFile } from '../backup/transfer.ts'
import type { NativeSnapshotInfo } from '../native.ts'
import type { CatalogDirectory } from './catalog-directory.ts'
import {} from './files.ts'
import type { NameLocks } from './name-locks.ts'
import type { OpenStore, OpenStores } from './open-stores.ts'
import { PinnedState, type CopyStyle } from './pinned-state.ts'

const asideStyle: CopyStyle = { compact: false, verify: true }

class StoreFreeze {
  readonly name: string
  pinned: { readonly open: OpenStore; readonly state: PinnedState } | undefined
  /** Once it has been pinned: which state is frozen. */
  info: NativeSnapshotInfo | undefined
  version: string | undefined
  /** The newest write of a store that was being closed: an update may have ended after it. */
  seqAtClose: number | undefined
  /** The file that has the content, when the store has been dropped or renamed. */
  aside: string | undefined
  /** The state is gone. */
  failure: HotboltError | undefined
  isCopied = false
  /** With its store. */
  working: Promise<unknown> | undefined

  constructor(name: string) {
    this.name = name
  }

  /** The store has the content, and nothing else has. */
  get needsStore(): boolean {
    return this.aside === undefined && this.failure === undefined && !this.isCopied
  }

  pin(open: OpenStore): void {
    try {
      const state = new PinnedState(open.store)
      if (!this.#isFrozenState(state)) {
        state.close()
        throw new HotboltError('ERR_SOURCE', `${open.db.path} was closed while it was frozen`)
      }
      this.info = state.info
      this.pinned = { open, state }
    } catch (error) {
      this.failure = toHotboltError(error)
    }
  }

  unpin(): void {
    this.pinned?.state.close()
    this.pinned = undefined
  }

  #isFrozenState(state: PinnedState): boolean {
    if (this.info !== undefined) return state.isSameAs(this.info)
    return this.seqAtClose === undefined || this.seqAtClose === state.info.seq
  }
}

export interface StoreFreezesParts {
  readonly directory: CatalogDirectory
  readonly stores: OpenStores
  readonly locks: NameLocks
}

export class StoreFreezes {
  readonly #parts: StoreFreezesParts
  /** That are being made. */
  readonly #copies = new Set<AbortController>()
  readonly #byId = new Map<string, StoreFreeze>()
  readonly #byName = new Map<string, Set<StoreFreeze>>()

  constructor(parts: StoreFreezesParts) {
    this.#parts = parts
  }

  get size(): number {
    return this.#byId.size
  }

  has(id: string): boolean {
    return this.#byId.has(id)
  }

  /** How often stores have been renamed. */
  renames = 0

  /** Freezes the store as it is in this turn of the event loop, or was when it was closed. */
  begin({ id, table }: Freeze): void {
    if (this.#byId.has(id)) throw new HotboltError('ERR_EXISTS', `There is a freeze ${id}`)
    const freeze = new StoreFreeze(table)
    this.#byId.set(id, freeze)
    const same = this.#byName.get(table) ?? new Set()
    this.#byName.set(table, same.add(freeze))
    const open = this.#parts.stores.find(table)
    if (open !== undefined) freeze.pin(open)
    else freeze.seqAtClose = this.#parts.stores.seqOfClosing(table)
  }

  /** Proves that the store is there; gives the frozen state's version. */
  settle(id: string): Promise<string> {
    const freeze = this.#get(id)
    return this.#work(
      freeze,
      async (state) => (freeze.version ??= await state.version()),
      async () => freeze.version ?? '',
    )
  }

  copy(id: string, target: string, style: CopyStyle, options: CopyOptions): Promise<CopiedStore> {
    const freeze = this.#get(id)
    return this.#cancellable(options.signal, (signal) => {
      const copyPinned = async (state: PinnedState): Promise<CopiedStore> => {
        const copied = await state.copy(target, style, { ...options, signal })
        freeze.isCopied = true
        this.#parts.stores.reconsider(freeze.name)
        return copied
      }
      const copyAside = (aside: string): Promise<CopiedStore> =>
        copyFile(aside, target, { ...options, signal })
      return this.#work(freeze, copyPinned, copyAside)
    })
  }

  /** Copies end with ERR_ABORTED. */
  cancel(): void {
    const reason = new HotboltError('ERR_CLOSED', 'The catalog is being closed')
    for (const copy of this.#copies) copy.abort(reason)
  }

  /** All; what cannot be removed is removed by the next owner. */
  async endAll(): Promise<void> {
    await Promise.allSettled([...this.#byId.keys()].map((id) => this.end(id)))
  }

  /** Without effect when there is none. */
  async end(id: string): Promise<void> {
    const freeze = this.#byId.get(id)
    if (freeze === undefined) return
    const { aside } = freeze
    if (aside !== undefined) await onDisk(() => rm(aside, { force: true }))
    freeze.unpin()
    this.#byId.delete(id)
    const same = this.#byName.get(freeze.name)
    same?.delete(freeze)
    if (same?.size === 0) this.#byName.delete(freeze.name)
    this.#parts.stores.reconsider(freeze.name)
  }

  /** Whoever opens a store pins it for the freezes that wait for that. */
  onOpen(open: OpenStore): void {
    for (const freeze of this.#of(open.name)) if (freeze.needsStore) freeze.pin(open)
  }

  /** The store has been written since it was frozen, and nobody else has what it was. */
  isHeld(open: OpenStore): boolean {
    return this.#of(open.name).some(
      (freeze) =>
        freeze.needsStore && freeze.pinned?.open === open && !freeze.pinned.state.canBeReopened,
    )
  }

  onClose(open: OpenStore): void {
    for (const freeze of this.#of(open.name)) if (freeze.pinned?.open === open) freeze.unpin()
  }

  /** Requires: the name's lock. What is frozen does not need the store any more afterwards. */
  async leave(name: string): Promise<void> {
    const freezes = this.#of(name)
    await Promise.allSettled(freezes.flatMap((freeze) => freeze.working ?? []))
    for (const freeze of freezes) if (freeze.needsStore) await this.#putAside(freeze)
  }

  /** A store of this name comes into being: those who wait for one wait for one that has gone. */
  onCreate(name: string): void {
    for (const freeze of this.#of(name)) if (freeze.needsStore) freeze.failure = gone(name)
  }

  #get(id: string): StoreFreeze {
    const freeze = this.#byId.get(id)
    if (freeze === undefined) throw new HotboltError('ERR_CLOSED', 'The freeze has been released')
    return freeze
  }

  #of(name: string): StoreFreeze[] {
    return [...(this.#byName.get(name) ?? [])]
  }

  /** With the pinned state; or with the file that has it, where the store is not needed. */
  async #work<T>(
    freeze: StoreFreeze,
    withState: (state: PinnedState) => Promise<T>,
    withFile: (aside: string) => Promise<T>,
  ): Promise<T> {
    const { locks, stores } = this.#parts
    const open = await locks.hold(freeze.name, () => this.#hold(freeze))
    if (open === undefined) return withFile(freeze.aside ?? '')
    try {
      const working = withState(pinnedOf(freeze))
      freeze.working = working
      return await working
    } finally {
      freeze.working = undefined
      stores.release(open, 'holds')
    }
  }

  /** Undefined: the store is not needed. Requires: the name's lock. */
  async #hold(freeze: StoreFreeze): Promise<OpenStore | undefined> {
    if (freeze.failure !== undefined) throw freeze.failure
    if (freeze.aside !== undefined) return undefined
    const { stores } = this.#parts
    const open = await stores.open(freeze.name)
    stores.use(open, 'holds')
    return open
  }

  async #putAside(freeze: StoreFreeze): Promise<void> {
    const { directory, stores } = this.#parts
    const open = await this.#hold(freeze)
    if (open === undefined) return
    try {
      const state = pinnedOf(freeze)
      const path = directory.newAsidePath()
      freeze.version ??= await state.version()
      await this.#cancellable(undefined, (signal) =>
        state.copy(path, asideStyle, { signal, bytesPerSecond: 0, onBytes: () => {} }),
      )
      freeze.aside = path
      freeze.unpin()
    } finally {
      stores.release(open, 'holds')
    }
  }

  /** By the caller and by cancel(). (AbortSignal.any() would leave a trace in a long-lived one.) */
  async #cancellable<T>(
    given: AbortSignal | undefined,
    work: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    const copy = new AbortController()
    const abort = (): void => copy.abort(given?.reason)
    this.#copies.add(copy)
    given?.addEventListener('abort', abort, { once: true })
    if (given?.aborted === true) abort()
    try {
      return await work(copy.signal)
    } finally {
      given?.removeEventListener('abort', abort)
      this.#copies.delete(copy)
    }
  }
}

type CopiedStore = Omit<TableFile, 'path'>

function pinnedOf({ name, pinned, failure }: StoreFreeze): PinnedState {
  if (pinned !== undefined) return pinned.state
  const message = `The frozen state of ${JSON.stringify(name)} is lost`
  throw failure ?? new HotboltError('ERR_SOURCE', message)
}

function gone(name: string): HotboltError {
  const message = `The store ${JSON.stringify(name)} was dropped before it was frozen`
  return new HotboltError('ERR_NOT_FOUND', message)
}
