// Where reads go: the store's newest state, a snapshot, or a transaction's own view of it.

import type { Reader } from '../native.ts'

export interface ReadSource {
  /** Throws ERR_CLOSED or ERR_TX_CLOSED when it can be read no more. */
  readonly reader: Reader
}
