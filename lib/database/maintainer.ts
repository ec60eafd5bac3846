// What the database asks of the maintenance above it (lib/maintenance implements it).

import type { Readable } from 'node:stream'
import type {
  BackupStreamOptions,
  DefragOptions,
  DefragPhase,
  StoreBackupOptions,
} from '../options.ts'

export interface DefragReport {
  readonly sizeBeforeBytes: number
  readonly sizeAfterBytes: number
  /** Of the bulk copy. */
  readonly bytesCopied: number
  readonly entriesCopied: number
  /** Rounds of replaying what was written meanwhile. */
  readonly rounds: readonly DefragRound[]
  readonly phases: readonly DefragPhaseTime[]
  readonly durationMs: number
  /** The longest time from a write to its acknowledgement during the run. */
  readonly longestWriteWaitMs: number
  /** The longest stretch for which the defragmentation held the JS thread: reads waited then. */
  readonly longestReadWaitMs: number
  /** Bytes of the old file that its last readers still hold. */
  readonly pendingReclaimBytes: number
  /** What went wrong without making the defragmentation fail. */
  readonly warnings: readonly string[]
}

export interface DefragRound {
  readonly bytes: number
  readonly entries: number
  readonly durationMs: number
}

export interface DefragPhaseTime {
  readonly phase: DefragPhase
  readonly durationMs: number
}

export interface StoreBackupReport {
  /** Of the new file, absolute. */
  readonly path: string
  readonly sizeBytes: number
  /** Written on the way: of a page-by-page copy also what was merged into it. */
  readonly bytesCopied: number
  /** Of the new file's newest transaction; its numbers are its own. */
  readonly txid: number
  /** Of an etcd snapshot only: the hash that it ends with, of everything before. */
  readonly sha256?: string
  readonly durationMs: number
  /** What went wrong without making the backup fail. */
  readonly warnings: readonly string[]
}

export interface Maintainer {
  /** Of the defragmentation that runs, or of the last one. */
  readonly phase: DefragPhase
  /** Rejects with ERR_BUSY while another one runs. */
  defrag(options?: DefragOptions): Promise<DefragReport>
  /** Any number at once, beside a defragmentation too. The state is that of the call's turn. */
  backup(path: string, options?: StoreBackupOptions): Promise<StoreBackupReport>
  backupStream(options?: BackupStreamOptions): Readable
  /** Cancels what runs, or waits for it where there is no way back. */
  stop(): Promise<void>
}
