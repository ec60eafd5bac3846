// One open file, as the nouns of this folder share it: native's handle, the gate that closes, the
// write groups and the checkpointer.
//
// Life: open -> closing -> closed. Public calls are refused from closing on; work that has begun
// goes on and postpones the close.

import { native, type SnapshotHandle, type StoreHandle } from '../native.ts'
import { HotboltError, withStackOfCall } from '../errors.ts'
import { publish } from '../channels.ts'
import type { ResolvedOpenOptions } from '../options.ts'
import type { BucketSource } from './read-source.ts'
import { Checkpointer } from './checkpointer.ts'
import { UpdateContext } from './update-context.ts'
import { WriteGroups } from './write-groups.ts'

export class Store implements BucketSource {
  /** For work that has begun before the close. */
  readonly handle: StoreHandle
  readonly path: string
  readonly readOnly: boolean
  readonly groups: WriteGroups
  readonly checkpointer: Checkpointer
  readonly updateContext: UpdateContext = new UpdateContext()
  readonly #checkpointsOnFlush: boolean
  readonly #working = new Set<Promise<unknown>>()
  #closing = false

  static async open(path: string, options: ResolvedOpenOptions): Promise<Store> {
    const groups = new WriteGroups()
    const settings = { ...options, pageSize: options.pageSize ?? 0 }
    const handle = await withStackOfCall(() => native.open(path, settings, groups))
    const store = new Store(handle, options, groups)
    // What a leftover journal held is served, and goes into the page file now.
    if (!store.readOnly) store.checkpointer.considerSealed()
    publish('hotbolt:open', { path: store.path, readOnly: store.readOnly })
    return store
  }

  private constructor(handle: StoreHandle, options: ResolvedOpenOptions, groups: WriteGroups) {
    this.handle = handle
    this.path = native.stats(handle).path
    this.readOnly = options.readOnly
    this.#checkpointsOnFlush = options.checkpoint === 'flush'
    this.groups = groups
    this.checkpointer = new Checkpointer(handle, this.path, options, groups.onRoom)
    const { consider, relieve } = this.checkpointer
    groups.attach(handle, options.sync, consider, relieve)
  }

  /** Itself: for the newest state. */
  get store(): this {
    return this
  }

  get reader(): StoreHandle {
    if (this.#closing) throw new HotboltError('ERR_CLOSED', 'The database is closed')
    return this.handle
  }

  get writer(): StoreHandle {
    if (this.#closing) throw new HotboltError('ERR_CLOSED', 'The database is closed')
    if (this.readOnly) throw new HotboltError('ERR_READ_ONLY', 'The database was opened read-only')
    return this.handle
  }

  /**
   * For a write that is a transaction of its own: inside an update, which it would not be part of,
   * ERR_TX_OUTER_WRITE. `call` is what the transaction has instead.
   */
  writerFor(call: string): StoreHandle {
    if (this.updateContext.isInside) throw outerWrite(call)
    return this.writer
  }

  /** New calls are refused. */
  get isClosing(): boolean {
    return this.#closing
  }

  /** Something is at work that a close would wait for. */
  get isBusy(): boolean {
    return this.#working.size > 0
  }

  /** Work that postpones the close. Throws ERR_CLOSED. */
  async work<T>(run: () => Promise<T>): Promise<T> {
    void this.reader
    return await withStackOfCall(() => this.track(run()))
  }

  /** Lets a thread look at everything written so far. */
  async survey<T>(run: (state: SnapshotHandle) => Promise<T>): Promise<T> {
    return await this.work(async () => {
      const state = native.snapshot(this.handle)
      try {
        return await run(state)
      } finally {
        native.closeSnapshot(state)
        // What the thread had to read was sealed for it.
        if (!this.readOnly) this.checkpointer.considerSealed()
      }
    })
  }

  /** The same for work that was begun before. */
  track<T>(work: Promise<T>): Promise<T> {
    this.#working.add(work)
    const end = (): void => {
      this.#working.delete(work)
    }
    void work.then(end, end)
    return work
  }

  /** Everything written so far is durable, and in the page file if every flush is to do that. */
  async flush(): Promise<void> {
    await this.groups.flush()
    if (this.#checkpointsOnFlush) await this.checkpointer.run()
  }

  /**
   * Refuses new calls, waits for those that have begun, writes everything into the page file and
   * releases it. `stopMaintenance` ends what would take long.
   */
  async close(stopMaintenance: () => Promise<void>): Promise<void> {
    this.#closing = true
    this.checkpointer.end()
    await stopMaintenance()
    while (this.#working.size > 0) await Promise.allSettled(this.#working)
    await this.groups.settled()
    await this.checkpointer.idle()
    await withStackOfCall(() => native.close(this.handle))
    publish('hotbolt:close', { path: this.path })
  }
}

function outerWrite(call: string): HotboltError {
  const verb = call.slice(call.lastIndexOf('.') + 1)
  const way = `use ${call}, or await the update first`
  const message = `${verb} inside an update would not be part of it: ${way}`
  return new HotboltError('ERR_TX_OUTER_WRITE', message)
}
