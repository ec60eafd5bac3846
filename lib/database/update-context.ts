// Whether who calls is inside an update's callback: in its own turn, or in anything that it has
// begun, across awaits.
//
// Without an open update the answer costs nothing, which every write relies on.

import { AsyncLocalStorage } from 'node:async_hooks'

export interface OpenScope {
  readonly open: boolean
}

export class UpdateContext {
  readonly #scopes = new AsyncLocalStorage<OpenScope>()
  #isUsed = false

  get isInside(): boolean {
    return this.#isUsed && this.#scopes.getStore()?.open === true
  }

  /** Runs the callback inside, until the scope is not open any more. */
  run<Argument, Result>(
    scope: OpenScope,
    callback: (argument: Argument) => Result,
    argument: Argument,
  ): Result {
    this.#isUsed = true
    return this.#scopes.run(scope, callback, argument)
  }

  /** No update is open. Ends the tracking of every promise of the process, which a scope needs. */
  end(): void {
    this.#isUsed = false
    this.#scopes.disable()
  }
}
