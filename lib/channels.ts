// What happens inside, for whoever listens: the diagnostics channels and their messages.
//
//   import { subscribe } from 'node:diagnostics_channel'
//   subscribe('hotbolt:poisoned', (message) => alert(message.path, message.error))
//
// Messages are published on the JS thread, synchronously; a subscriber must be quick.

import { channel, type Channel } from 'node:diagnostics_channel'
import type { HotboltError } from './errors.ts'

export interface ChannelMessages {
  'hotbolt:open': { readonly path: string; readonly readOnly: boolean }
  'hotbolt:close': { readonly path: string }
  /**
   * A catalog closed a store and could not write everything into its file: what was acknowledged is
   * in the journal, and is read from there when the store is opened again.
   */
  'hotbolt:close-failed': { readonly path: string; readonly error: HotboltError }
  'hotbolt:checkpoint': {
    readonly path: string
    readonly memtables: number
    /** Bytes of the memtables that were merged. */
    readonly bytes: number
    readonly durationMs: number
  }
  /** The memtables are kept; it is tried again when the next one is sealed. */
  'hotbolt:checkpoint-failed': { readonly path: string; readonly error: HotboltError }
  /** The journal failed: nothing can be written until the database is opened again. */
  'hotbolt:poisoned': { readonly path: string; readonly error: HotboltError }
  /** A defragmentation went from one phase to the next. */
  'hotbolt:defrag': { readonly path: string; readonly from: string; readonly to: string }
  /** A backup of one database to a file is complete. */
  'hotbolt:backup': {
    readonly path: string
    readonly target: string
    readonly sizeBytes: number
    readonly durationMs: number
  }
  /** A backup is done with a table, which may still be frozen. */
  'hotbolt:backup-table': {
    readonly backup: string
    readonly table: string
    readonly outcome: 'copied' | 'reused' | 'gone'
    readonly sizeBytes: number
    readonly durationMs: number
  }
  /** Something went wrong that does not make a backup fail, or as a failed one was cleaned up. */
  'hotbolt:backup-warning': { readonly backup: string; readonly message: string }
}

export type ChannelName = keyof ChannelMessages

const channels: { readonly [Name in ChannelName]: Channel } = {
  'hotbolt:open': channel('hotbolt:open'),
  'hotbolt:close': channel('hotbolt:close'),
  'hotbolt:close-failed': channel('hotbolt:close-failed'),
  'hotbolt:checkpoint': channel('hotbolt:checkpoint'),
  'hotbolt:checkpoint-failed': channel('hotbolt:checkpoint-failed'),
  'hotbolt:poisoned': channel('hotbolt:poisoned'),
  'hotbolt:defrag': channel('hotbolt:defrag'),
  'hotbolt:backup': channel('hotbolt:backup'),
  'hotbolt:backup-table': channel('hotbolt:backup-table'),
  'hotbolt:backup-warning': channel('hotbolt:backup-warning'),
}

/** The names of all channels. */
export const channelNames: readonly ChannelName[] = Object.keys(channels) as ChannelName[]

/** Costs next to nothing when nobody listens. */
export function publish<Name extends ChannelName>(
  name: Name,
  message: ChannelMessages[Name],
): void {
  const target = channels[name]
  if (target.hasSubscribers) target.publish(message)
}
