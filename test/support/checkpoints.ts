// Awaiting the checkpoints that begin by themselves.

import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import type { Database } from '../../lib/index.ts'

export class Checkpoints {
  readonly #paths: string[] = []
  #wake = (): void => {}

  constructor() {
    subscribe('hotbolt:checkpoint', this.#note)
  }

  /** Resolves when the database has had `count` since this was made. */
  async of(database: Database, count: number): Promise<void> {
    while (this.count(database) < count) {
      await new Promise<void>((resolve) => (this.#wake = resolve))
    }
  }

  /** So far. */
  count(database: Database): number {
    return this.#paths.filter((path) => path === database.path).length
  }

  [Symbol.dispose](): void {
    unsubscribe('hotbolt:checkpoint', this.#note)
  }

  readonly #note = (message: unknown): void => {
    this.#paths.push((message as { readonly path: string }).path)
    this.#wake()
  }
}
