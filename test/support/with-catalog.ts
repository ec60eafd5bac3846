// A catalog of its own for each test, and the end that every test has to reach: it closes, nothing
// but whole stores is left in its directory, no descriptor is open, and every store passes our
// check and bbolt's.

import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'vitest'
import { openCatalog, type Catalog, type CatalogOptions } from '../../lib/index.ts'
import { encodeName } from '../../lib/names.ts'
import { inDirectory, openFilesIn, verifyFile } from './with-database.ts'

export class TestCatalog {
  /** Of the test; the catalog is in it. */
  readonly directory: string
  readonly path: string
  readonly #options: CatalogOptions
  #catalog: Catalog | undefined

  constructor(directory: string, options: CatalogOptions) {
    this.directory = directory
    this.path = join(directory, 'catalog')
    this.#options = options
  }

  get catalog(): Catalog {
    if (this.#catalog === undefined) throw new Error('the test has closed its catalog')
    return this.#catalog
  }

  async open(options: CatalogOptions = {}): Promise<Catalog> {
    this.#catalog = await openCatalog(this.path, { ...this.#options, ...options })
    return this.#catalog
  }

  async close(): Promise<void> {
    await this.#catalog?.close()
    this.#catalog = undefined
  }

  async reopen(options: CatalogOptions = {}): Promise<Catalog> {
    await this.close()
    return this.open(options)
  }
}

/** A test's body with a catalog. */
export function withCatalog(
  run: (context: TestCatalog) => Promise<void>,
  options: CatalogOptions = {},
  parent?: string,
): () => Promise<void> {
  return () =>
    inDirectory(async (directory) => {
      const context = new TestCatalog(directory, options)
      await context.open()
      try {
        await run(context)
      } finally {
        await context.close()
      }
      expect(openFilesIn(directory), 'no descriptor stays open').toEqual([])
      await verifyCatalog(context.path)
    }, parent)
}

/** The file of a closed store. */
export const storeFile = (catalog: string, name: string): string =>
  join(catalog, encodeName(name), 'store.db')

/** Checks every store of a closed catalog; gives their hashes by name. */
export async function verifyCatalog(path: string): Promise<Map<string, string>> {
  const catalog = await openCatalog(path, { readOnly: true })
  const names = await catalog.list()
  await catalog.close()
  const hidden = readdirSync(path).filter((entry) => entry.startsWith('.'))
  expect(hidden, 'nothing is left beside the stores').toEqual(['.catalog'])
  const hashes = new Map<string, string>()
  for (const name of names) {
    const file = storeFile(path, name)
    const beside = readdirSync(join(file, '..')).filter((entry) => !entry.startsWith('name'))
    expect(beside, `nothing is left beside ${name}`).toEqual(['store.db'])
    hashes.set(name, await verifyFile(file))
  }
  return hashes
}

/** Puts a key into a store of the catalog, durably. */
export async function put(
  catalog: Catalog,
  store: string,
  key: string,
  value: string,
): Promise<void> {
  await catalog.use(store, (db) => db.bucket('b').put(key, value))
}

export function get(catalog: Catalog, store: string, key: string): Promise<string | undefined> {
  return catalog.use(store, (db) => db.bucket('b', { value: 'utf8' }).get(key), { create: false })
}
