// Many stores in one directory, opened on demand.
//
// A store is used through a lease: as long as there is one the store is open. Without leases it
// stays open until its place is needed (open-stores.ts). What a store's name stands for is changed
// under the name's lock; names are independent of each other.

import { realpath, stat } from 'node:fs/promises'
import type { Database } from '../database/database.ts'
import { HotboltError, onDisk } from '../errors.ts'
import type { FreezeSource } from '../backup/freeze-source.ts'
import { requireName } from '../names.ts'
import { pathOf } from '../paths.ts'
import { invalid, rule } from '../rules.ts'
import { CatalogDirectory } from './catalog-directory.ts'
import {
  resolveCatalogOpenOptions,
  resolveCatalogOptions,
  type CatalogOpenOptions,
  type CatalogOptions,
  type ResolvedCatalogOptions,
} from './catalog-options.ts'
import { mendExchange } from './exchange.ts'
import { lookAt, makeDirectories } from './files.ts'
import { openMarker, openStoreFile } from './marker.ts'
import { NameLocks } from './name-locks.ts'
import { descriptorsOfStores, OpenStores, type OpenStore } from './open-stores.ts'
import { StoreFreezes } from './store-freezes.ts'
import { CatalogSource, type StoreSourceOptions } from './store-source.ts'

export interface CatalogStats {
  /** The directory's real path. */
  readonly path: string
  readonly maxOpen: number
  /** Stores that are open, or being closed; those of them that are leased or being copied. */
  readonly openStores: number
  readonly usedStores: number
  /** The most that were open at a time; above `maxOpen` when so many were in use. */
  readonly openStoresPeak: number
  /** Since the catalog was opened. */
  readonly opens: number
  readonly evictions: number
  /** States that backups hold on to. */
  readonly freezes: number
}

/** A store that is in use. */
export class CatalogStore {
  readonly name: string
  readonly #open: OpenStore
  readonly #stores: OpenStores
  #isReleased = false

  /** @internal */
  constructor(open: OpenStore, stores: OpenStores) {
    this.name = open.name
    this.#open = open
    this.#stores = stores
    stores.use(open, 'leases')
  }

  /**
   * The same for all who lease the store; ERR_CLOSED after close(). Whoever closes it closes it for
   * all: it is opened again for the next lease.
   */
  get db(): Database {
    if (this.#isReleased) throw new HotboltError('ERR_CLOSED', 'The lease of the store has ended')
    return this.#open.db
  }

  /** Ends the lease: the store may be closed. What was written becomes durable all the same. */
  close(): void {
    if (this.#isReleased) return
    this.#isReleased = true
    this.#stores.release(this.#open, 'leases')
  }

  [Symbol.dispose](): void {
    this.close()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close()
  }
}

export class Catalog {
  readonly #marker: Database
  readonly #directory: CatalogDirectory
  readonly #options: ResolvedCatalogOptions
  readonly #locks = new NameLocks()
  readonly #stores: OpenStores
  readonly #freezes: StoreFreezes
  readonly #working = new Set<Promise<unknown>>()
  #closed: Promise<void> | undefined

  /** @internal */
  constructor(
    marker: Database,
    directory: CatalogDirectory,
    options: ResolvedCatalogOptions,
    maxDescriptors: number,
  ) {
    this.#marker = marker
    this.#directory = directory
    this.#options = options
    this.#stores = new OpenStores(options.maxOpen, maxDescriptors, {
      requireFile: (name) => this.#requireStore(name),
      openFile: (name) => openStoreFile(directory.fileOf(name), options.store),
      onOpen: (open) => this.#freezes.onOpen(open),
      isHeld: (open) => this.#freezes.isHeld(open),
      onClose: (open) => this.#freezes.onClose(open),
    })
    const locks = this.#locks
    this.#freezes = new StoreFreezes({ directory, stores: this.#stores, locks })
  }

  /** The directory's real path. */
  get path(): string {
    return this.#directory.path
  }

  get readOnly(): boolean {
    return this.#options.readOnly
  }

  /**
   * Leases the store: close the lease, or declare it with `await using`. The store is made if it
   * does not exist, unless `create` is false: ERR_NOT_FOUND. And what open() throws.
   */
  async open(name: string, options?: CatalogOpenOptions): Promise<CatalogStore> {
    requireName(name)
    const { create } = resolveCatalogOpenOptions(options)
    this.#requireOpen()
    const open = this.#stores.find(name)
    if (open !== undefined) return new CatalogStore(open, this.#stores)
    return this.#exclusive(name, () => this.#openOrCreate(name, create && !this.readOnly))
  }

  /** Calls back with the store; the lease ends with the callback. */
  async use<T>(
    name: string,
    callback: (db: Database) => T | Promise<T>,
    options?: CatalogOpenOptions,
  ): Promise<T> {
    if (!rule.callback.accepts(callback)) throw invalid('callback', 'a function', callback)
    await using store = await this.open(name, options)
    return await callback(store.db)
  }

  /** The names of all stores, in the order of their UTF-8 bytes. */
  async list(): Promise<string[]> {
    return this.#work(() => this.#directory.list())
  }

  async has(name: string): Promise<boolean> {
    requireName(name)
    return this.#work(() => this.#directory.has(name))
  }

  /** An empty store. ERR_EXISTS. Durable when it resolves, and there whole or not at all. */
  async create(name: string): Promise<void> {
    this.#requireWritable(name)
    await this.#exclusive(name, () => this.#create(name))
  }

  /**
   * Removes the store with everything in it. ERR_NOT_FOUND; ERR_BUSY while it is leased. What a
   * backup has frozen of it is put aside first.
   */
  async drop(name: string): Promise<void> {
    this.#requireWritable(name)
    await this.#exclusive(name, async () => {
      await this.#vacate(name)
      await this.#directory.drop(name)
    })
  }

  /** ERR_NOT_FOUND, ERR_EXISTS; ERR_BUSY while `from` is leased. */
  async rename(from: string, to: string): Promise<void> {
    this.#requireWritable(from)
    requireName(to)
    if (from === to) throw new HotboltError('ERR_EXISTS', 'The store has this name already')
    await this.#work(() =>
      this.#locks.holdBoth(from, to, async () => {
        await this.#directory.requireFree(to)
        await this.#vacate(from)
        // Before it is seen: whoever lists it may freeze it at once.
        this.#freezes.onCreate(to)
        this.#freezes.renames++
        await this.#directory.rename(from, to)
      }),
    )
  }

  stats(): CatalogStats {
    this.#requireOpen()
    const { open, inUse, peak, opens, evictions } = this.#stores.stats
    return {
      path: this.path,
      maxOpen: this.#options.maxOpen,
      openStores: open,
      usedStores: inUse,
      openStoresPeak: peak,
      opens,
      evictions,
      freezes: this.#freezes.size,
    }
  }

  /**
   * For createBackup(): tables are the stores. What it has frozen is released when the catalog is
   * closed.
   */
  freezeSource(options?: StoreSourceOptions): FreezeSource {
    const work = <T>(run: () => Promise<T>): Promise<T> => this.#work(run)
    return new CatalogSource({ directory: this.#directory, freezes: this.#freezes, work }, options)
  }

  /**
   * Refuses new calls, waits for those that have begun, and closes all stores, also leased ones:
   * their databases throw ERR_CLOSED then. Copies of a backup are cancelled. Rejects with the first
   * store's failure, once all are closed; the directory is free in any case. May be called twice.
   * ERR_TX_NESTED inside an update of one of its stores.
   */
  close(): Promise<void> {
    if (this.#stores.usable().some((open) => open.db.isInsideUpdate)) {
      const message = 'The catalog may not be closed inside an update: close it afterwards'
      return Promise.reject(new HotboltError('ERR_TX_NESTED', message))
    }
    this.#closed ??= this.#close()
    return this.#closed
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async #close(): Promise<void> {
    try {
      this.#freezes.cancel()
      while (this.#working.size > 0) await Promise.allSettled(this.#working)
      await this.#stores.closeAll()
    } finally {
      await this.#freezes.endAll()
      await this.#marker.close()
    }
  }

  #requireOpen(): void {
    if (this.#closed !== undefined) throw new HotboltError('ERR_CLOSED', 'The catalog is closed')
  }

  #requireWritable(name: string): void {
    requireName(name)
    this.#requireOpen()
    if (!this.readOnly) return
    throw new HotboltError('ERR_READ_ONLY', 'The catalog was opened read-only')
  }

  /** What postpones the close. Throws ERR_CLOSED. */
  #work<T>(run: () => Promise<T>): Promise<T> {
    this.#requireOpen()
    const work = run()
    this.#working.add(work)
    const end = (): void => {
      this.#working.delete(work)
    }
    void work.then(end, end)
    return work
  }

  #exclusive<T>(name: string, run: () => Promise<T>): Promise<T> {
    return this.#work(() => this.#locks.hold(name, run))
  }

  async #openOrCreate(name: string, create: boolean): Promise<CatalogStore> {
    try {
      return new CatalogStore(await this.#stores.open(name), this.#stores)
    } catch (error) {
      if (!create || !HotboltError.is(error, 'ERR_NOT_FOUND')) throw error
    }
    await this.#create(name)
    return new CatalogStore(await this.#stores.open(name), this.#stores)
  }

  async #create(name: string): Promise<void> {
    const options = { ...this.#options.store, create: true }
    await this.#directory.create(name, async (file) => {
      const db = await openStoreFile(file, options)
      await db.close()
      this.#freezes.onCreate(name)
    })
  }

  /** What is somebody else's, or a link, is none. */
  async #requireStore(name: string): Promise<void> {
    if (await this.#directory.has(name)) return
    throw new HotboltError('ERR_NOT_FOUND', `There is no store ${JSON.stringify(name)}`)
  }

  /** The store is there, closed, and nobody needs it under this name. Requires: the name's lock. */
  async #vacate(name: string): Promise<void> {
    await this.#requireStore(name)
    this.#requireIdle(name)
    await this.#freezes.leave(name)
    // Somebody may have leased it meanwhile; from here on to the close nobody can.
    this.#requireIdle(name)
    await this.#stores.closeName(name)
  }

  #requireIdle(name: string): void {
    if (this.#stores.find(name)?.leases) {
      throw new HotboltError('ERR_BUSY', `The store ${JSON.stringify(name)} is leased`)
    }
  }
}

/**
 * Opens the catalog in the directory, or makes it. ERR_LOCKED while another process, or another
 * catalog in this one, has it; ERR_NOT_FOUND, ERR_NOT_A_DATABASE, ERR_VERSION, ...
 */
export async function openCatalog(
  directory: string | URL,
  options?: CatalogOptions,
): Promise<Catalog> {
  const absolute = pathOf(directory, 'directory')
  const resolved = resolveCatalogOptions(options)
  const { create, readOnly, mode, lockTimeoutMs } = resolved
  const path = await findDirectory(absolute, resolved)
  const marker = await openMarker(path, { create, readOnly, mode, lockTimeoutMs })
  const found = new CatalogDirectory(path, mode)
  try {
    if (!readOnly) await found.removeLeftovers()
  } catch (error) {
    await marker.close()
    throw error
  }
  return new Catalog(marker, found, resolved, await descriptorsOfStores())
}

/** The real path of the directory, which is made if it may be. */
async function findDirectory(path: string, options: ResolvedCatalogOptions): Promise<string> {
  const { readOnly, mode } = options
  const create = options.create && !readOnly
  const isThere = (await lookAt(path)) !== undefined || (!readOnly && (await mendExchange(path)))
  if (!isThere && create) await makeDirectories(path, mode)
  const real = await onDisk(() => realpath(path))
  if ((await onDisk(() => stat(real))).isDirectory()) return real
  throw new HotboltError('ERR_NOT_A_DATABASE', `${real} is no directory`, { path: real })
}
