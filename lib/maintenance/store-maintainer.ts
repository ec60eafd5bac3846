// The maintenance of one store: at most one operation at a time, ended when the database closes.

import { HotboltError } from '../errors.ts'
import type { DefragReport, Maintainer } from '../database/maintainer.ts'
import type { Store } from '../database/store.ts'
import { resolveDefragOptions, type DefragOptions, type DefragPhase } from '../options.ts'
import { Defragmenter } from './defragmenter.ts'

export class StoreMaintainer implements Maintainer {
  readonly #store: Store
  #defragmenter: Defragmenter | undefined
  #running: Promise<unknown> | undefined

  constructor(store: Store) {
    this.#store = store
  }

  get phase(): DefragPhase {
    return this.#defragmenter?.phase ?? 'idle'
  }

  async defrag(options?: DefragOptions): Promise<DefragReport> {
    const resolved = resolveDefragOptions(options)
    if (this.#running !== undefined) {
      throw new HotboltError('ERR_BUSY', 'Another maintenance operation is running')
    }
    const defragmenter = new Defragmenter(this.#store, resolved)
    // Begins when it is known to run: its first progress event may ask for another one.
    const running = Promise.resolve().then(() => defragmenter.run())
    this.#defragmenter = defragmenter
    this.#running = running
    try {
      return await running
    } finally {
      this.#running = undefined
    }
  }

  async stop(): Promise<void> {
    if (this.#running === undefined) return
    this.#defragmenter?.cancel(new HotboltError('ERR_CLOSED', 'The database is being closed'))
    await Promise.allSettled([this.#running])
  }
}
