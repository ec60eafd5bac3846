// A source whose calls may be given up: one that does not end when it is told to is not waited for
// for ever, and as long as it is at work on a freeze it is not asked about that freeze again.

import { invalid } from '../rules.ts'
import { GivenUp, withDeadline, withGrace, type Clock } from './clock.ts'
import type {
  CopyOptions,
  Freeze,
  FreezeSource,
  FrozenTable,
  SourceTable,
  TableFile,
} from './freeze-source.ts'
import type { SourceIdentity } from './freeze-journal.ts'

/** Freezes on which a source of this process is at work, of all sources. */
const busy = new Set<string>()

const keyOf = ({ kind, id }: SourceIdentity, freeze: Freeze): string =>
  JSON.stringify([kind, id, freeze.id])

/** Throws ERR_INVALID_ARGUMENT for what is no source. */
export function requireSource(source: unknown): asserts source is FreezeSource {
  const methods = ['listTables', 'freeze', 'unfreeze', 'isFrozen']
  const given = (typeof source === 'object' ? (source ?? {}) : {}) as Record<string, unknown>
  const isSource =
    typeof given['kind'] === 'string' &&
    typeof given['id'] === 'string' &&
    methods.every((method) => typeof given[method] === 'function')
  if (!isSource)
    throw invalid('source', 'a catalog, a database or another source of tables', source)
}

export interface GuardOptions {
  /** Of a release, and of anything once it has been cancelled. */
  readonly unfreezeTimeoutMs: number
  readonly ignoreErrors: readonly number[]
}

export class GuardedSource {
  readonly identity: SourceIdentity
  readonly #source: FreezeSource
  readonly #options: GuardOptions
  readonly #clock: Clock

  constructor(source: FreezeSource, options: GuardOptions, clock: Clock) {
    this.identity = { kind: source.kind, id: source.id }
    this.#source = source
    this.#options = options
    this.#clock = clock
  }

  isBusy(freeze: Freeze): boolean {
    return busy.has(keyOf(this.identity, freeze))
  }

  listTables(signal: AbortSignal): Promise<readonly SourceTable[]> {
    return this.#cancellable([], () => this.#source.listTables(signal), signal)
  }

  freeze(freeze: Freeze, signal: AbortSignal): Promise<FrozenTable> {
    return this.#cancellable([freeze], () => this.#source.freeze(freeze, signal), signal)
  }

  /** Requires a source that has it. */
  freezeAll(
    freezes: readonly Freeze[],
    signal: AbortSignal,
  ): Promise<readonly (FrozenTable | Error)[]> {
    const run = async (): Promise<readonly (FrozenTable | Error)[]> =>
      (await this.#source.freezeAll?.(freezes, signal)) ?? []
    return this.#cancellable(freezes, run, signal)
  }

  copy(
    freeze: Freeze,
    frozen: FrozenTable,
    directory: string,
    options: CopyOptions,
  ): Promise<readonly TableFile[]> {
    return this.#cancellable([freeze], () => frozen.copy(directory, options), options.signal)
  }

  unfreeze(freeze: Freeze): Promise<void> {
    return this.#limited(freeze, (signal) => this.#source.unfreeze(freeze, signal))
  }

  isFrozen(freeze: Freeze): Promise<boolean> {
    return this.#limited(freeze, (signal) => this.#source.isFrozen(freeze, signal))
  }

  /** The source's own number for an error; undefined when it has none. */
  errorNumber(error: unknown): number | undefined {
    if (error === undefined || error instanceof GivenUp) return undefined
    try {
      return this.#source.errorNumber?.(error)
    } catch {
      return undefined // an error that the source cannot even read
    }
  }

  /** Whether its number is one of those that mean "is not there any more". */
  isIgnorable(error: unknown): boolean {
    const number = this.errorNumber(error)
    return number !== undefined && this.#options.ignoreErrors.includes(number)
  }

  #cancellable<T>(
    freezes: readonly Freeze[],
    call: () => Promise<T>,
    signal: AbortSignal,
  ): Promise<T> {
    return withGrace(
      this.#track(freezes, call),
      signal,
      this.#options.unfreezeTimeoutMs,
      this.#clock,
    )
  }

  #limited<T>(freeze: Freeze, call: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const tracked = (signal: AbortSignal): Promise<T> => this.#track([freeze], () => call(signal))
    return withDeadline(tracked, this.#options.unfreezeTimeoutMs, this.#clock)
  }

  async #track<T>(freezes: readonly Freeze[], call: () => Promise<T>): Promise<T> {
    const keys = freezes.map((freeze) => keyOf(this.identity, freeze))
    for (const key of keys) busy.add(key)
    try {
      return await call()
    } finally {
      for (const key of keys) busy.delete(key)
    }
  }
}
