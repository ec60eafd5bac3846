// What has become of a table in a backup: its entry in the manifest, and its line in the report.

import type { TableReport } from './backup-options.ts'
import type { FrozenTable } from './freeze-source.ts'
import type { Pin } from './freezer.ts'
import type { ManifestTable } from './manifest.ts'

/** `entry` is undefined when it is gone. */
export interface DoneTable {
  readonly pin: Pin
  readonly outcome: TableReport['outcome']
  readonly entry: ManifestTable | undefined
  readonly copyMs: number
}

export const sizeOf = (entry: ManifestTable | undefined): number =>
  (entry?.files ?? []).reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)

export function entryOf(
  name: string,
  { version, metadata }: FrozenTable,
  owner: string,
  files: ManifestTable['files'],
): ManifestTable {
  const details = {
    ...(version === undefined ? {} : { version }),
    ...(metadata === undefined ? {} : { metadata }),
  }
  return { name, ...details, owner, files }
}

/** Its freeze has been released or given up. */
export function tableReport({ pin, outcome, entry, copyMs }: DoneTable): TableReport {
  return {
    name: pin.freeze.table,
    outcome,
    files: entry?.files.length ?? 0,
    sizeBytes: sizeOf(entry),
    freezeMs: pin.freezeMs,
    copyMs,
    unfreezeMs: pin.unfreezeMs,
    unfreeze: pin.outcome ?? 'failed',
    ...(pin.errorNumber === undefined ? {} : { unfreezeError: pin.errorNumber }),
  }
}

/** Of all tables with this outcome. */
export function bytesOf(tables: readonly TableReport[], outcome: TableReport['outcome']): number {
  return tables
    .filter((table) => table.outcome === outcome)
    .reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
}
