// Where reads go: the store's newest state, a snapshot, or a transaction's own view of it.

import type { Reader } from '../native.ts'

export interface ReadSource {
  /** Throws ERR_CLOSED or ERR_TX_CLOSED when it can be read no more. */
  readonly reader: Reader
}

/** What handles of buckets read through. */
export interface BucketSource extends ReadSource {
  /** The database, as an identity: a handle of one is not taken by another. */
  readonly store: object
}
