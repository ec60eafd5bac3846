// What the database asks of the maintenance above it (lib/maintenance implements it).

import type { DefragOptions, DefragPhase } from '../options.ts'

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

/** One maintenance operation at a time. */
export interface Maintainer {
  /** Of the defragmentation that runs, or of the last one. */
  readonly phase: DefragPhase
  /** Rejects with ERR_BUSY while another operation runs. */
  defrag(options?: DefragOptions): Promise<DefragReport>
  /** Cancels what runs, or waits for it where there is no way back. */
  stop(): Promise<void>
}
