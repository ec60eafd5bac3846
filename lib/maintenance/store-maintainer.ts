// The maintenance of one store: at most one defragmentation at a time, any number of backups; ended
// when the database closes.

import { HotboltError } from '../errors.ts'
import type { DefragReport, Maintainer, StoreBackupReport } from '../database/maintainer.ts'
import type { Store } from '../database/store.ts'
import { native } from '../native.ts'
import {
  resolveBackupStreamOptions,
  resolveDefragOptions,
  resolveStoreBackupOptions,
  type BackupStreamOptions,
  type DefragOptions,
  type DefragPhase,
  type StoreBackupOptions,
} from '../options.ts'
import { BackupStream } from './backup-stream.ts'
import { Defragmenter } from './defragmenter.ts'
import { StoreBackup } from './store-backup.ts'

export class StoreMaintainer implements Maintainer {
  readonly #store: Store
  #defragmenter: Defragmenter | undefined
  #running: Promise<unknown> | undefined
  /** Backups that run, and their ends. */
  readonly #backups = new Map<StoreBackup | BackupStream, Promise<unknown>>()

  constructor(store: Store) {
    this.#store = store
  }

  get phase(): DefragPhase {
    return this.#defragmenter?.phase ?? 'idle'
  }

  async defrag(options?: DefragOptions): Promise<DefragReport> {
    const resolved = resolveDefragOptions(options)
    if (this.#running !== undefined) {
      const message = `A defragmentation of ${this.#store.path} is running (${this.phase})`
      throw new HotboltError('ERR_BUSY', message)
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

  async backup(path: string, options?: StoreBackupOptions): Promise<StoreBackupReport> {
    const backup = new StoreBackup(this.#store, path, resolveStoreBackupOptions(options))
    const running = backup.run()
    this.#track(backup, running)
    return running
  }

  backupStream(options?: BackupStreamOptions): BackupStream {
    const resolved = resolveBackupStreamOptions(options)
    // While it keeps memtables, or exchanges the file, a checkpoint would wait for it.
    const isFree = this.#running === undefined && !native.stats(this.#store.handle).poisoned
    const mayCheckpoint = isFree && !this.#store.readOnly
    const stream = new BackupStream(this.#store, resolved, mayCheckpoint)
    const closed = new Promise<void>((done) => stream.once('close', done))
    this.#track(stream, this.#store.track(closed))
    return stream
  }

  async stop(): Promise<void> {
    const reason = new HotboltError('ERR_CLOSED', 'The database is being closed')
    for (const backup of this.#backups.keys()) backup.cancel(reason)
    if (this.#running !== undefined) this.#defragmenter?.cancel(reason)
    await Promise.allSettled([this.#running, ...this.#backups.values()])
  }

  #track(backup: StoreBackup | BackupStream, running: Promise<unknown>): void {
    this.#backups.set(backup, running)
    const end = (): unknown => this.#backups.delete(backup)
    running.then(end, end)
  }
}
