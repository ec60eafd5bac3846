// What the journal beside a closed database holds: to be looked at before open() merges it, or
// because open() refuses it.

import { realpath } from 'node:fs/promises'
import { onDisk, withStackOfCall } from '../errors.ts'
import { native } from '../native.ts'
import type { JournalOperation, JournalSegment, LeftoverHandle, NativeLeftover } from '../native.ts'
import { pathOf } from '../paths.ts'

/** Given out at a time: small enough for the turn of the event loop in which that happens. */
const batchOperations = 1000

export class Journal {
  /** Of the database, absolute. */
  readonly path: string
  /**
   * 'leftover': open() merges it. 'stale': another program has written since, or it belongs to
   * another database; it is refused.
   */
  readonly state: 'none' | 'leftover' | 'stale'
  readonly segments: readonly JournalSegment[]
  /**
   * Of the newest write that the page file holds; undefined: that cannot be known any more, and the
   * file may have held some of the transactions before the other program wrote.
   */
  readonly coveredSeq: number | undefined
  /** How many there are that the page file lacks. */
  readonly transactions: number
  /** Of the first and the last of them; 0 without one. */
  readonly firstSeq: number
  readonly lastSeq: number
  readonly #handle: LeftoverHandle

  /** @internal */
  constructor(path: string, { handle, isBound, ...found }: NativeLeftover) {
    this.path = path
    this.state = found.segments.length === 0 ? 'none' : isBound ? 'leftover' : 'stale'
    this.segments = found.segments
    this.coveredSeq = found.coveredSeq
    this.transactions = found.transactions
    this.firstSeq = found.firstSeq
    this.lastSeq = found.lastSeq
    this.#handle = handle
  }

  /** In the order in which they were done. One iteration at a time. */
  *operations(): IterableIterator<JournalOperation> {
    for (let fromStart = true; ; fromStart = false) {
      const batch = native.leftoverOperations(this.#handle, fromStart, batchOperations)
      if (batch.length === 0) return
      yield* batch
    }
  }
}

/**
 * Reads the journal beside a database that is not open, without writing anything; it is held in
 * memory. ERR_LOCKED while somebody has the database open for writing, ERR_JOURNAL_CORRUPT, and
 * what open() throws.
 */
export async function readJournal(path: string | URL): Promise<Journal> {
  const given = pathOf(path, 'path')
  // The journal lies beside the file, not beside a link to it.
  const absolute = await onDisk(() => realpath(given))
  const reading = (): Promise<NativeLeftover> => native.readLeftover(absolute, absolute, undefined)
  return new Journal(absolute, await withStackOfCall(reading))
}
