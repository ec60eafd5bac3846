// What backups have to say when they are done, for a person.

import type { BackupReport, Freeze, TableReport } from '../../index.ts'
import { exitCodes } from '../command.ts'
import { formatBytes, formatDuration } from '../format.ts'
import { counted, toColumns, toTable } from '../output.ts'

/** What did not go well, and still did not make it fail. */
export interface Aftermath {
  readonly warnings: readonly string[]
  readonly leftover: readonly Freeze[]
}

/** 3 when somebody should look. */
export function aftermathCode({ warnings, leftover }: Aftermath): number {
  return warnings.length + leftover.length > 0 ? exitCodes.warnings : exitCodes.ok
}

/** A line for each; nothing when all went well. */
export function describeAftermath({ warnings, leftover }: Aftermath): string[] {
  const lines = [
    ...warnings.map((warning) => `warning: ${warning}`),
    ...leftover.map(({ table, id }) => `still frozen: ${table} (${id})`),
  ]
  if (leftover.length > 0) lines.push('hotbolt backup clean tries again to release them.')
  return lines.length === 0 ? [] : ['', ...lines]
}

export function describeBackup(report: BackupReport, place: string, verbose: boolean): string[] {
  const { name, tables, bytesCopied, bytesReused, durationMs, completeMs, maxFrozen } = report
  const count = (outcome: TableReport['outcome']): number =>
    tables.filter((table) => table.outcome === outcome).length
  const outcomes = (['copied', 'reused', 'gone'] as const)
    .filter((outcome) => outcome === 'copied' || count(outcome) > 0)
    .map((outcome) => `${count(outcome)} ${outcome}`)
  const reused = bytesReused > 0 ? `, ${formatBytes(bytesReused)} reused` : ''
  const rows = [
    ['backup', name],
    ['kept in', place],
    ['tables', outcomes.join(', ')],
    ['size', `${formatBytes(bytesCopied)} copied${reused}`],
    ['took', `${formatDuration(durationMs)}, complete after ${formatDuration(completeMs)}`],
    ['frozen', `at most ${maxFrozen} at a time`],
    ...describeReleases(tables),
  ] as const
  return [...toTable(rows), ...(verbose ? ['', ...describeTables(tables)] : [])]
}

/** How many releases the source answered with which error; nothing when all went well. */
function describeReleases(tables: readonly TableReport[]): readonly (readonly [string, string])[] {
  const counts = new Map<string, number>()
  for (const table of tables.filter(({ unfreezeError }) => unfreezeError !== undefined)) {
    const what = releaseOf(table)
    counts.set(what, (counts.get(what) ?? 0) + 1)
  }
  if (counts.size === 0) return []
  return [['releases', [...counts].map(([what, count]) => `${count} ${what}`).join(', ')]]
}

/** `ignored (error 60)`; '' when it went well. */
function releaseOf({ unfreeze, unfreezeError }: TableReport): string {
  const outcome = unfreeze === 'released' ? '' : unfreeze
  return unfreezeError === undefined ? outcome : `${unfreeze} (error ${unfreezeError})`
}

function describeTables(tables: readonly TableReport[]): string[] {
  const columns = [
    { title: 'TABLE' },
    { title: 'OUTCOME' },
    { title: 'FILES', right: true },
    { title: 'SIZE', right: true },
    { title: 'FREEZE', right: true },
    { title: 'COPY', right: true },
    { title: 'UNFREEZE', right: true },
    { title: '' },
  ]
  const rows = tables.map((table) => [
    table.name,
    table.outcome,
    String(table.files),
    formatBytes(table.sizeBytes),
    formatDuration(table.freezeMs),
    formatDuration(table.copyMs),
    formatDuration(table.unfreezeMs),
    releaseOf(table),
  ])
  return rows.length === 0 ? ['There are no tables.'] : toColumns(columns, rows)
}

/** '20261120T153000Z' is hard to read: `2026-11-20 15:30:00`, in UTC. */
export function formatTime(iso: string): string {
  return iso === '' ? '-' : iso.slice(0, 19).replace('T', ' ')
}

export const countedTables = (count: number): string => counted(count, 'table')
