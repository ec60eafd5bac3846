// The options of a catalog and of what is asked of it.

import { resolveOpenOptions, type OpenOptions, type ResolvedOpenOptions } from '../options.ts'
import {
  checked,
  invalid,
  milliseconds,
  rule,
  withDefaults,
  type Defaults,
  type Resolved,
  type Rules,
} from '../rules.ts'

export interface CatalogOptions {
  /** Make the directory when it does not exist (default true); otherwise ERR_NOT_FOUND. */
  readonly create?: boolean | undefined
  /** Nothing is written or removed. Several may read at a time, while nobody writes. */
  readonly readOnly?: boolean | undefined
  /**
   * Stores that are open at a time; those that are leased may be more, and fewer are open where the
   * process may have few descriptors: an idle store has one, one that is written needs four. 1,000.
   */
  readonly maxOpen?: number | undefined
  /** Permission bits of new files; directories may be entered by whoever may read. 0o600. */
  readonly mode?: number | undefined
  /** How long to wait for another owner of the directory before ERR_LOCKED; 0. */
  readonly lockTimeoutMs?: number | undefined
  /** Of every store. */
  readonly store?: CatalogStoreOptions | undefined
}

/** What a catalog does not decide itself. */
export type CatalogStoreOptions = Omit<OpenOptions, 'create' | 'readOnly' | 'mode'>

export interface CatalogOpenOptions {
  /** Make the store when it does not exist (default true); otherwise ERR_NOT_FOUND. */
  readonly create?: boolean | undefined
}

const catalogRules: Rules<CatalogOptions> = {
  create: rule.boolean,
  readOnly: rule.boolean,
  maxOpen: rule.positiveInteger,
  mode: rule.permissions,
  lockTimeoutMs: milliseconds(0),
  store: {
    expected: 'an object of options',
    accepts: (value) => typeof value === 'object' && value !== null,
  },
}
const openRules: Rules<CatalogOpenOptions> = { create: rule.boolean }

const catalogDefaults: Defaults<CatalogOptions, Exclude<keyof CatalogOptions, 'store'>> = {
  create: true,
  readOnly: false,
  maxOpen: 1000,
  mode: 0o600,
  lockTimeoutMs: 0,
}
const openDefaults: Defaults<CatalogOpenOptions, 'create'> = { create: true }

export interface ResolvedCatalogOptions extends Resolved<
  Omit<CatalogOptions, 'store'>,
  Exclude<keyof CatalogOptions, 'store'>
> {
  readonly store: ResolvedOpenOptions
}

export function resolveCatalogOptions(given?: CatalogOptions): ResolvedCatalogOptions {
  const options = withDefaults(catalogDefaults, checked(catalogRules, given))
  const { mode, readOnly } = options
  const decided = { create: false, readOnly, mode }
  const twice = Object.keys(decided).find((name) => Object.hasOwn(options.store ?? {}, name))
  if (twice !== undefined) throw invalid(`store.${twice}`, 'left to the catalog', 'given')
  return { ...options, store: resolveOpenOptions({ ...options.store, ...decided }) }
}

export const resolveCatalogOpenOptions = (
  given?: CatalogOpenOptions,
): Resolved<CatalogOpenOptions, 'create'> => withDefaults(openDefaults, checked(openRules, given))
