// Updates: callbacks that are run one at a time, each as one atomic transaction.
//
// A synchronous callback runs, and its writes become visible, within the call of update() unless an
// asynchronous one is under way. An asynchronous one is run again when something that it had read was
// changed meanwhile by writes that are transactions of their own.

import { AsyncLocalStorage, AsyncResource } from 'node:async_hooks'
import { HotboltError } from '../errors.ts'
import type { ResolvedUpdateOptions } from '../options.ts'
import type { Store } from './store.ts'
import { Transaction, TransactionScope } from './transaction.ts'

export type UpdateCallback<T> = (tx: Transaction) => T | PromiseLike<T>

export class Updates {
  readonly #store: Store
  readonly #queue: (() => void)[] = []
  /** Set in all that a callback does, across awaits: an update begun in there would wait for ever. */
  readonly #inside = new AsyncLocalStorage<TransactionScope>()
  #running = false

  constructor(store: Store) {
    this.#store = store
  }

  /** Resolves with what the callback returned when its writes are durable. */
  run<T>(callback: UpdateCallback<T>, options: ResolvedUpdateOptions): Promise<T> {
    if (this.#inside.getStore()?.open === true) {
      const message = 'An update may not be started inside an update: pass on its transaction'
      throw new HotboltError('ERR_TX_NESTED', message)
    }
    const start = (): Promise<T> => this.#execute(callback, options.retries)
    if (!this.#running) return start()
    return new Promise((resolve) => {
      // Runs in the asynchronous context of its caller, not of the update that ends before it.
      this.#queue.push(AsyncResource.bind(() => resolve(start())))
    })
  }

  async #execute<T>(callback: UpdateCallback<T>, retries: number): Promise<T> {
    let durable: Promise<void>
    let value: T
    this.#running = true
    try {
      // Without an await before the commit when the callback is synchronous.
      const attempted = this.#attempt(callback)
      const committed = isThenable(attempted) ? await attempted : attempted
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
    const scope = new TransactionScope(this.#store)
    let returned: T | PromiseLike<T>
    try {
      returned = this.#inside.run(scope, callback, new Transaction(scope))
      if (!isThenable(returned)) return commit(scope, returned)
    } catch (error) {
      scope.rollback()
      throw error
    }
    return finish(scope, returned)
  }

  #end(): void {
    this.#running = false
    // Ends the tracking of every promise of the process, which the storage needs.
    this.#inside.disable()
    while (!this.#running && this.#queue.length > 0) this.#queue.shift()?.()
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
