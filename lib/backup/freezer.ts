// Freezes of a source, each released once and for all: recorded before it is asked for, registered
// before it is copied, released on every path, and seen to be released.
//
// The life of a pin: register() records it, freeze() asks the source, release() hands it over;
// drain() waits for what was handed over. A release has a deadline of its own, whatever becomes of
// the backup. What the source answers to it is not believed: isFrozen() decides whether anything is
// left, and that stays in the journal. A refusal is a warning in any case.

import { randomUUID } from 'node:crypto'
import { HotboltError } from '../errors.ts'
import { messageOf, sourceError } from './backup-error.ts'
import type { TableReport, UnfreezeMode } from './backup-options.ts'
import { GivenUp, type Clock } from './clock.ts'
import type { FreezeJournal } from './freeze-journal.ts'
import type { Freeze, FrozenTable, SourceTable } from './freeze-source.ts'
import type { GuardedSource } from './guarded-source.ts'
import { Semaphore } from './semaphore.ts'

/** How often a release is tried, with pauses that double and vary. */
const attemptsMax = 4
const firstPauseMs = 100
/** As in a manifest. */
const versionLengthMax = 4096

export interface FreezerOptions {
  readonly unfreeze: UnfreezeMode
  readonly unfreezeConcurrency: number
  readonly maxFrozen: number
}

export interface FreezerEvents {
  readonly onWarning: (message: string) => void
  /** The number of frozen tables has changed. */
  readonly onChange: () => void
}

/** One freeze. */
export interface Pin {
  readonly freeze: Freeze
  readonly freezeMs: number
  /** From the first attempt to release it on. */
  readonly unfreezeMs: number
  /** Undefined before its release has come to an end. */
  readonly outcome: TableReport['unfreeze'] | undefined
  /** The source's number of the error that its last release ended with, if it has one. */
  readonly errorNumber: number | undefined
}

type Mutable<T> = { -readonly [Name in keyof T]: T[Name] }
interface OwnPin extends Mutable<Pin> {
  /** The source may hold something. */
  asked: boolean
  handedOver: boolean
  frozen: FrozenTable | Error | undefined
  /** 'pipelined': counts in `maxFrozen`. */
  readonly hasPermit: boolean
}

/** How one attempt ended; 'again': it may be tried again. */
type Attempt = NonNullable<Pin['outcome']> | 'again'

export class Freezer {
  /** Of this run, in the order in which they were recorded. */
  readonly pins: readonly Pin[]
  readonly #pins: OwnPin[] = []
  readonly #source: GuardedSource
  readonly #journal: FreezeJournal
  readonly #options: FreezerOptions
  readonly #events: FreezerEvents
  readonly #clock: Clock
  readonly #permits: Semaphore
  readonly #pool: Semaphore
  /** 'deferred': handed over, and waiting for drain(). */
  readonly #pending: OwnPin[] = []
  readonly #releasing = new Set<Promise<void>>()
  #frozen = 0
  #frozenMax = 0

  constructor(
    source: GuardedSource,
    journal: FreezeJournal,
    options: FreezerOptions,
    events: FreezerEvents,
    clock: Clock,
  ) {
    this.pins = this.#pins
    this.#source = source
    this.#journal = journal
    this.#options = options
    this.#events = events
    this.#clock = clock
    this.#permits = new Semaphore(options.maxFrozen)
    this.#pool = new Semaphore(options.unfreezeConcurrency)
  }

  /** Freezes that were asked for and are neither released nor given up. */
  get frozen(): number {
    return this.#frozen
  }

  /** The largest number of them so far. */
  get frozenMax(): number {
    return this.#frozenMax
  }

  /** Those that could not be released. */
  get leftover(): Freeze[] {
    return this.#pins.filter((pin) => pin.outcome === 'failed').map((pin) => pin.freeze)
  }

  /**
   * Records a freeze that is going to be asked for; the caller releases it, whatever happens.
   * 'pipelined': waits while `maxFrozen` are frozen.
   */
  async register(table: SourceTable, signal: AbortSignal): Promise<Pin> {
    const hasPermit = this.#options.unfreeze === 'pipelined'
    if (hasPermit) await this.#permits.acquire(signal)
    try {
      const [pin] = await this.#record([table], hasPermit)
      return pin as OwnPin
    } catch (error) {
      if (hasPermit) this.#permits.release()
      throw error
    }
  }

  /** The same for all tables of one cut, which `maxFrozen` does not limit. */
  registerAll(tables: readonly SourceTable[]): Promise<readonly Pin[]> {
    return this.#record(tables, false)
  }

  /** Asks the source, unless freezeAll() has. Rejects as the source does. */
  async freeze(pin: Pin, signal: AbortSignal): Promise<FrozenTable> {
    const own = pin as OwnPin
    signal.throwIfAborted()
    if (!own.asked) {
      this.#ask([own])
      const startMs = this.#clock.nowMs()
      try {
        own.frozen = await this.#source.freeze(own.freeze, signal)
      } finally {
        own.freezeMs = this.#clock.nowMs() - startMs
      }
    }
    if (own.frozen instanceof Error) throw own.frozen
    if (isFrozenTable(own.frozen)) return own.frozen
    const message = `The source gave no frozen table for "${pin.freeze.table}"`
    throw new HotboltError(
      'ERR_SOURCE',
      `${message}, or a version or metadata that no manifest holds`,
    )
  }

  /** Asks for one cut. Requires a source that can. */
  async freezeAll(pins: readonly Pin[], signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    const own = pins as readonly OwnPin[]
    this.#ask(own)
    const startMs = this.#clock.nowMs()
    const freezes = own.map((pin) => pin.freeze)
    const frozen = await this.#source.freezeAll(freezes, signal)
    const freezeMs = this.#clock.nowMs() - startMs
    for (const [index, pin] of own.entries()) {
      pin.freezeMs = freezeMs
      pin.frozen = frozen[index]
    }
  }

  /** Hands the pin over; 'inline' waits until it is released or given up. Never rejects. */
  async release(pin: Pin): Promise<void> {
    const own = pin as OwnPin
    own.handedOver = true
    if (!own.asked) return this.#settle(own, 'released')
    if (this.#options.unfreeze === 'deferred') {
      this.#pending.push(own)
      return
    }
    const released = this.#start(own)
    if (this.#options.unfreeze === 'inline') await released
  }

  /** The freezes of a run that has died: to be released like one's own. */
  adopt(freezes: readonly Freeze[]): void {
    const pins = freezes.map((freeze) => newPin(freeze, false))
    this.#pins.push(...pins)
    this.#ask(pins)
  }

  /** Hands over all that have not been. No register() or freeze() may be running. */
  async releaseAll(): Promise<void> {
    const kept = this.#pins.filter((pin) => !pin.handedOver)
    await Promise.all(kept.map((pin) => this.release(pin)))
  }

  /** Releases what is pending and waits for all that was handed over. Never rejects. */
  async drain(): Promise<void> {
    while (this.#pending.length + this.#releasing.size > 0) {
      for (const pin of this.#pending.splice(0)) void this.#start(pin)
      await Promise.all(this.#releasing)
    }
  }

  async #record(tables: readonly SourceTable[], hasPermit: boolean): Promise<OwnPin[]> {
    const createdAt = new Date().toISOString()
    const pins = tables.map(({ name, details }) => {
      const freeze = { id: newFreezeId(), table: name, ...plain(name, details), createdAt }
      return newPin(freeze, hasPermit)
    })
    const freezes = pins.map((pin) => pin.freeze)
    await this.#journal.record(this.#source.identity, freezes)
    this.#pins.push(...pins)
    return pins
  }

  #ask(pins: readonly OwnPin[]): void {
    for (const pin of pins) pin.asked = true
    this.#frozen += pins.length
    this.#frozenMax = Math.max(this.#frozenMax, this.#frozen)
    this.#events.onChange()
  }

  #start(pin: OwnPin): Promise<void> {
    const released = this.#release(pin).finally(() => this.#releasing.delete(released))
    this.#releasing.add(released)
    return released
  }

  async #release(pin: OwnPin): Promise<void> {
    let startMs: number | undefined
    let problem = ''
    for (let attempt = 1; attempt <= attemptsMax; attempt++) {
      const outcome = await this.#pool.run(() => {
        startMs ??= this.#clock.nowMs()
        return this.#attempt(pin, (message) => (problem = message))
      })
      pin.unfreezeMs = this.#clock.nowMs() - (startMs ?? 0)
      if (outcome !== 'again') return this.#settle(pin, outcome, problem)
      if (attempt < attemptsMax) await this.#clock.delay(pauseMs(attempt))
    }
    return this.#settle(pin, 'failed', problem)
  }

  async #attempt(pin: OwnPin, onProblem: (message: string) => void): Promise<Attempt> {
    const { freeze } = pin
    if (this.#source.isBusy(freeze)) {
      onProblem('the source is still at work on it')
      return 'failed'
    }
    let error: unknown
    try {
      await this.#source.unfreeze(freeze)
    } catch (thrown) {
      error = thrown ?? 'an error without a value'
      onProblem(messageOf(error))
    }
    if (error instanceof GivenUp) return 'failed'
    pin.errorNumber = this.#source.errorNumber(error)
    return this.#verify(pin, error, onProblem)
  }

  /** After an attempt that ended with `error`, if it did: whether anything is left. */
  async #verify(
    { freeze, errorNumber }: Pin,
    error: unknown,
    onProblem: (message: string) => void,
  ): Promise<Attempt> {
    const isIgnorable = this.#source.isIgnorable(error)
    try {
      if (!(await this.#source.isFrozen(freeze))) {
        if (isIgnorable) return 'ignored'
        return errorNumber === undefined ? 'released' : 'refused'
      }
      if (error === undefined) onProblem('the source says that it is released, but it is not')
    } catch (unknown) {
      onProblem(`whether it is released could not be found out: ${messageOf(unknown)}`)
      if (unknown instanceof GivenUp) return 'failed'
    }
    return isIgnorable ? 'failed' : 'again'
  }

  /** Its end, whatever that is: room for another one, and the record goes if it may. */
  async #settle(pin: OwnPin, outcome: NonNullable<Pin['outcome']>, problem = ''): Promise<void> {
    const { id, table } = pin.freeze
    pin.outcome = outcome
    pin.frozen = undefined
    if (pin.asked) this.#frozen--
    if (pin.hasPermit) this.#permits.release()
    const freeze = `Freeze ${id} of table "${table}"`
    if (outcome === 'refused') {
      const refusal = `was refused to be released, with number ${pin.errorNumber}`
      this.#events.onWarning(`${freeze} ${refusal}, though nothing is left of it: ${problem}`)
    }
    if (outcome === 'failed') {
      this.#events.onWarning(`${freeze} could not be released: ${problem}`)
    } else {
      await this.#journal.forget(pin.freeze).catch((error: unknown) => {
        const message = `${freeze} is released, but its record could not go`
        this.#events.onWarning(`${message}: ${messageOf(error)}`)
      })
    }
    this.#events.onChange()
  }
}

function newPin(freeze: Freeze, hasPermit: boolean): OwnPin {
  return {
    freeze,
    freezeMs: 0,
    unfreezeMs: 0,
    outcome: undefined,
    errorNumber: undefined,
    asked: false,
    handedOver: false,
    frozen: undefined,
    hasPermit,
  }
}

const newFreezeId = (): string => `hotbolt_${randomUUID().replaceAll('-', '')}`

/** Looked at before the table is copied, not when the manifest is written. */
function isFrozenTable(value: unknown): value is FrozenTable {
  if (typeof value !== 'object' || value === null) return false
  const { copy, version = '', metadata = null } = value as Partial<FrozenTable>
  const isVersion = typeof version === 'string' && version.length <= versionLengthMax
  return typeof copy === 'function' && isVersion && isJson(metadata)
}

function isJson(value: unknown): boolean {
  try {
    return JSON.stringify(value) !== undefined
  } catch {
    return false
  }
}

/**
 * As the journal gives them back, so that a release by a later process is asked for in the same
 * way.
 */
function plain(table: string, details: unknown): { details?: unknown } {
  if (details === undefined) return {}
  try {
    return { details: JSON.parse(JSON.stringify(details)) as unknown }
  } catch (error) {
    throw sourceError(error, `The details of table "${table}" are not JSON`)
  }
}

/** Half of it varies, so that what failed together is not tried again together. */
function pauseMs(attempt: number): number {
  return firstPauseMs * 2 ** (attempt - 1) * (0.5 + Math.random() / 2)
}
