// Updates: callbacks that are run one at a time, each as one atomic transaction.
//
// A synchronous callback runs, and its writes become visible, within the call of update() unless an
// asynchronous one is under way. An asynchronous one is run again when something that it had read
// was changed meanwhile by writes that are transactions of their own.

import { AsyncResource } from 'node:async_hooks'
import { HotboltError } from '../errors.ts'
import type { ResolvedUpdateOptions } from '../options.ts'
import type { Store } from './store.ts'
import { Transaction, TransactionScope } from './transaction.ts'

/** A timer of more would fire at once. */
const timerMsMax = 2 ** 31 - 1

export type UpdateCallback<T> = (tx: Transaction) => T | PromiseLike<T>

export class Updates {
  readonly #store: Store
  readonly #queue: (() => void)[] = []
  #running = false
  #starting = false
  /** Of the closes that wait. */
  readonly #timers: NodeJS.Timeout[] = []
  /** Ends the wait for the callback that runs. */
  #giveUp: (reason: HotboltError) => void = () => {}
  #refusal: HotboltError | undefined

  constructor(store: Store) {
    this.#store = store
  }

  /**
   * Resolves with what the callback returned when its writes are durable. Throws, and rejects, what
   * the callback does.
   */
  run<T>(callback: UpdateCallback<T>, { retries }: ResolvedUpdateOptions): Promise<T> {
    if (this.#store.updateContext.isInside) {
      const message = 'An update may not be started inside an update: pass on its transaction'
      throw new HotboltError('ERR_TX_NESTED', message)
    }
    if (!this.#running) return this.#execute(callback, retries)
    return this.#store.work(() => this.#enqueue(async () => this.#execute(callback, retries)))
  }

  /**
   * What has not settled after this time is rolled back, and nothing starts any more. Requires: the
   * store takes no new ones. May be called again, for a shorter time.
   */
  endWithin(timeoutMs: number): void {
    if (!this.#running) return
    const timer = setTimeout(() => this.#abandon(), Math.min(timeoutMs, timerMsMax))
    this.#timers.push(timer)
  }

  #abandon(): void {
    const message = 'The database was closed before the update had settled: it is rolled back'
    this.#refusal = new HotboltError('ERR_CLOSED', message)
    this.#giveUp(this.#refusal)
  }

  /** Runs in the asynchronous context of its caller, not of the update that ends before it. */
  #enqueue<T>(start: () => Promise<T>): Promise<T> {
    return new Promise((resolve) => {
      this.#queue.push(AsyncResource.bind(() => resolve(start())))
    })
  }

  /** Commits before it returns when the callback is synchronous. */
  #execute<T>(callback: UpdateCallback<T>, retries: number): Promise<T> {
    this.#running = true
    let attempt: Attempt<T> | Promise<Attempt<T>>
    try {
      attempt = this.#attempt(callback)
    } catch (error) {
      this.#end()
      throw error
    }
    if (attempt instanceof Promise || attempt === undefined) {
      return this.#store.track(this.#continue(attempt, callback, retries))
    }
    const { value } = attempt
    const durable = this.#store.groups.join()
    this.#end()
    return durable.then(() => value)
  }

  async #continue<T>(
    attempt: Attempt<T> | Promise<Attempt<T>>,
    callback: UpdateCallback<T>,
    retries: number,
  ): Promise<T> {
    let durable: Promise<void>
    let value: T
    try {
      const committed = await attempt
      value = committed === undefined ? await this.#retry(callback, retries) : committed.value
      durable = this.#store.groups.join()
    } finally {
      this.#end()
    }
    await durable
    return value
  }

  async #retry<T>(callback: UpdateCallback<T>, retries: number): Promise<T> {
    for (let retry = 0; retry < retries; retry++) {
      const committed = await this.#attempt(callback)
      if (committed !== undefined) return committed.value
    }
    const message = `What the update had read was changed by others in ${retries + 1} attempts`
    throw new HotboltError('ERR_CONFLICT', message)
  }

  /** undefined: a conflict. A promise only if the callback returned one. */
  #attempt<T>(callback: UpdateCallback<T>): Attempt<T> | Promise<Attempt<T>> {
    if (this.#refusal !== undefined) throw this.#refusal
    const scope = new TransactionScope(this.#store)
    let returned: T | PromiseLike<T>
    try {
      returned = this.#store.updateContext.run(scope, callback, new Transaction(scope))
      if (!isThenable(returned)) return commit(scope, returned)
    } catch (error) {
      scope.rollback()
      throw error
    }
    return finish(scope, this.#unlessAbandoned(returned))
  }

  #unlessAbandoned<T>(returned: PromiseLike<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#giveUp = reject
      returned.then(resolve, reject)
    })
  }

  #end(): void {
    this.#running = false
    this.#store.updateContext.end()
    this.#startNext()
  }

  /** A loop, and no recursion: those that end in their own turn come back here. */
  #startNext(): void {
    if (this.#starting) return
    this.#starting = true
    while (!this.#running && this.#queue.length > 0) this.#queue.shift()?.()
    this.#starting = false
    if (!this.#running) for (const timer of this.#timers.splice(0)) clearTimeout(timer)
  }
}

/** What a committed callback returned; boxed, because that may be undefined. */
type Attempt<T> = { readonly value: T } | undefined

function commit<T>(scope: TransactionScope, value: T): Attempt<T> {
  return scope.commit() ? { value } : undefined
}

async function finish<T>(scope: TransactionScope, returned: PromiseLike<T>): Promise<Attempt<T>> {
  try {
    return commit(scope, await returned)
  } catch (error) {
    scope.rollback()
    throw error
  }
}

export function isThenable(value: unknown): value is PromiseLike<unknown> {
  if (value === null || (typeof value !== 'object' && typeof value !== 'function')) return false
  return typeof (value as { then?: unknown }).then === 'function'
}
