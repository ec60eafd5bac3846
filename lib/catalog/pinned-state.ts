// A state of an open store that a freeze holds on to: what tells it from other states, and how it
// is copied.
//
// A state's version is compared with that of an earlier backup, perhaps after a restore, or after a
// whole disk was set back to what it was last week. So the database's id and the number of its
// newest write are not enough: two histories that part from one copy share both. With them goes
// what one history alone can have: the page file's commit, which file it is and when it was
// changed, or, for writes that are only in the journal yet, a number that this opening of the store
// has drawn. (The time of the last write alone does not do: whoever copies a file can set it.)
// While the store stays open a version that was given stays that of its state: a checkpoint or a
// defragmentation changes the page file, and nothing that a backup is about.

import { stat } from 'node:fs/promises'
import { onDisk, toHotboltError } from '../errors.ts'
import type { Store } from '../database/store.ts'
import { cancelled } from '../backup/cancellation.ts'
import type { CopyOptions, TableFile } from '../backup/freeze-source.ts'
import { native, type NativeSnapshotInfo, type SnapshotHandle } from '../native.ts'
import { randomDigits } from './files.ts'

const progressIntervalMs = 100
const fillPercent = 0.9

/** How the stores of a source are copied. */
export interface CopyStyle {
  readonly compact: boolean
  readonly verify: boolean
}

/** Of a store, from when it is opened until it is closed. */
interface Opening {
  readonly session: string
  /** The version that was given last, and the number of the newest write it stands for. */
  given?: { readonly seq: number; readonly version: string }
}

const openings = new WeakMap<Store, Opening>()

export class PinnedState {
  readonly info: NativeSnapshotInfo
  readonly #store: Store
  readonly #snapshot: SnapshotHandle

  /** In the turn of the event loop in which it is called. */
  constructor(store: Store) {
    this.#store = store
    this.#snapshot = native.snapshot(store.reader)
    this.info = native.snapshotInfo(this.#snapshot)
  }

  /**
   * Closing and opening the store gives this state again, and isSameAs() can tell: nothing has been
   * written since, and the file has its mark, or needs none.
   */
  get canBeReopened(): boolean {
    const { databaseId, seq } = this.info
    if (databaseId === '' && seq > 0) return false
    return native.stats(this.#store.handle).lastSeq === seq
  }

  /** The same state, of a store that has been closed and opened again in between. */
  isSameAs(other: NativeSnapshotInfo): boolean {
    const { databaseId, seq, txid, metaChecksum } = this.info
    if (databaseId !== other.databaseId || seq !== other.seq) return false
    return databaseId !== '' || (txid === other.txid && metaChecksum === other.metaChecksum)
  }

  /**
   * Nobody finds another content under it later. What it stands for is durable by then: after a
   * crash the number of a write that was lost would be given to another one.
   */
  async version(): Promise<string> {
    const { seq } = this.info
    if (!this.#store.readOnly) await this.#store.groups.flush()
    const opening = openingOf(this.#store)
    if (opening.given?.seq === seq) return opening.given.version
    const version = await this.#newVersion(opening.session)
    opening.given = { seq, version }
    return version
  }

  async #newVersion(session: string): Promise<string> {
    const { databaseId, seq, coveredSeq, txid, metaChecksum } = this.info
    if (seq > coveredSeq) return [databaseId, seq, session].join(':')
    const file = await onDisk(() => stat(this.#store.path, { bigint: true }))
    const { ino, mtimeNs, ctimeNs } = file
    return [databaseId, seq, txid, metaChecksum, ino, mtimeNs, ctimeNs].join(':')
  }

  /** To a new file, complete and synced under its name. ERR_ABORTED, ERR_NO_SPACE, ... */
  async copy(
    path: string,
    style: CopyStyle,
    options: CopyOptions,
  ): Promise<Omit<TableFile, 'path'>> {
    const { signal, bytesPerSecond, onBytes } = options
    if (signal.aborted) throw cancelled(signal, 'The copy')
    const format = 'bbolt'
    const details = { path, ...style, fillPercent, bytesPerSecond, format, hash: true } as const
    const backup = native.backup(this.#snapshot, details)
    let told = 0
    const tell = (): void => {
      const { bytesCopied } = native.backupProgress(backup)
      onBytes(bytesCopied - told)
      told = bytesCopied
    }
    const cancel = (): void => native.backupCancel(backup)
    const timer = setInterval(tell, progressIntervalMs).unref()
    signal.addEventListener('abort', cancel, { once: true })
    try {
      const { sizeBytes, sha256 } = await native.backupRun(backup)
      tell()
      return { sizeBytes, sha256 }
    } catch (error) {
      throw signal.aborted ? cancelled(signal, 'The copy') : toHotboltError(error)
    } finally {
      clearInterval(timer)
      signal.removeEventListener('abort', cancel)
    }
  }

  /** May be called twice, and when the store is closed. */
  close(): void {
    native.closeSnapshot(this.#snapshot)
  }
}

function openingOf(store: Store): Opening {
  const known = openings.get(store)
  if (known !== undefined) return known
  const drawn = { session: randomDigits() }
  openings.set(store, drawn)
  return drawn
}
