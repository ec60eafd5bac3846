// Any target, of which a test sees every call, and says which of them fail, and when they go on.

import type { Readable } from 'node:stream'
import type { Target, TargetBody, TargetObject } from '../../lib/index.ts'

export interface TargetCall {
  readonly verb: 'put' | 'get' | 'list' | 'delete'
  /** Or the prefix of a list. */
  readonly key: string
}

export class WatchedTarget<Inner extends Target = Target> implements Target {
  readonly inner: Inner
  readonly location: string
  readonly stagingDirectory: string
  readonly stateDirectory: string
  readonly calls: TargetCall[] = []
  /** Whether it goes on when it is cancelled. */
  ignoresSignals = false
  /** Awaited before each call does its work; throws instead of it. */
  intercept: (call: TargetCall) => Promise<void> | void = () => {}
  /** The same afterwards: what was done is done. */
  afterwards: (call: TargetCall) => Promise<void> | void = () => {}

  constructor(inner: Inner, directories: { readonly staging: string; readonly state: string }) {
    this.inner = inner
    this.location = inner.location
    this.stagingDirectory = directories.staging
    this.stateDirectory = directories.state
  }

  put(key: string, body: TargetBody, signal?: AbortSignal): Promise<void> {
    return this.#call({ verb: 'put', key }, () => this.inner.put(key, body, this.#seen(signal)))
  }

  get(key: string, signal?: AbortSignal): Promise<Readable> {
    return this.#call({ verb: 'get', key }, () => this.inner.get(key, this.#seen(signal)))
  }

  async *list(prefix: string, signal?: AbortSignal): AsyncIterable<TargetObject> {
    yield* await this.#call({ verb: 'list', key: prefix }, async () => {
      const found: TargetObject[] = []
      for await (const object of this.inner.list(prefix, this.#seen(signal))) found.push(object)
      return found
    })
  }

  delete(key: string, signal?: AbortSignal): Promise<void> {
    return this.#call({ verb: 'delete', key }, () => this.inner.delete(key, this.#seen(signal)))
  }

  #seen(signal: AbortSignal | undefined): AbortSignal | undefined {
    return this.ignoresSignals ? undefined : signal
  }

  async #call<T>(call: TargetCall, work: () => Promise<T>): Promise<T> {
    this.calls.push(call)
    await this.intercept(call)
    const result = await work()
    await this.afterwards(call)
    return result
  }
}
