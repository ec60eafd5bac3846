// Which backups to keep of each source: the newest ones, and the newest of each of the last days,
// weeks and months; and all that these need. One source's backups never take another's place.
//
// Only days, weeks and months of which there is a backup are counted: when backups were not made
// for a time, the old ones do not vanish for that. All are in UTC; weeks are those of ISO 8601.

import { HotboltError, toHotboltError } from '../errors.ts'
import { resolvePruneBackupsOptions } from './backup-options.ts'
import type {
  BackupSummary,
  PruneBackupsOptions,
  PruneReport,
  ResolvedPruneBackupsOptions,
} from './backup-options.ts'
import { findBackups, type FoundBackup } from './backups.ts'
import { needsOf, removeBackup } from './delete.ts'
import { targetFrom } from './directory-target.ts'
import type { Target } from './target.ts'

export type Retention = Pick<
  ResolvedPruneBackupsOptions,
  'keepLast' | 'keepDaily' | 'keepWeekly' | 'keepMonthly'
>

/**
 * Deletes the backups that no rule keeps. Broken ones are kept, and those that a kept one needs, or
 * may need. ERR_INVALID_ARGUMENT when all rules are 0, for that would delete everything.
 */
export async function pruneBackups(options: PruneBackupsOptions): Promise<PruneReport> {
  const resolved = resolvePruneBackupsOptions(options)
  const { keepLast, keepDaily, keepWeekly, keepMonthly, dryRun } = resolved
  if (keepLast + keepDaily + keepWeekly + keepMonthly === 0) {
    const message =
      'Expected one of `keepLast`, `keepDaily`, `keepWeekly`, `keepMonthly` to be more than 0'
    throw new HotboltError('ERR_INVALID_ARGUMENT', message)
  }
  const target = targetFrom(resolved.target)
  const backups = await findBackups(target)
  const reasons = reasonsToKeep(backups, resolved)
  const deleted: string[] = []
  let left = backups
  for (;;) {
    const next = await nextToDelete(target, left, reasons)
    if (next === undefined) break
    const { name } = next.summary
    const whyNot = dryRun ? undefined : await removeUnlessNeeded(target, next, left)
    if (whyNot === undefined) {
      deleted.push(name)
      left = left.filter((each) => each !== next)
    } else {
      reasons.set(name, [whyNot])
    }
  }
  for (const backup of left) await addNeeds(target, backup, left, reasons)
  const kept = left.map(({ summary: { name } }) => ({ name, reasons: reasons.get(name) ?? [] }))
  return { kept, deleted }
}

/** The newest that no rule keeps and that none of those left needs: who needs goes before. */
async function nextToDelete(
  target: Target,
  left: readonly FoundBackup[],
  reasons: ReadonlyMap<string, readonly string[]>,
): Promise<FoundBackup | undefined> {
  for (const backup of left.toReversed()) {
    if (reasons.has(backup.summary.name)) continue
    if ((await needsOf(target, backup, left)).length === 0) return backup
  }
  return undefined
}

/** Gives why it was not deleted, when something has begun meanwhile. It may have gone before. */
async function removeUnlessNeeded(
  target: Target,
  backup: FoundBackup,
  left: readonly FoundBackup[],
): Promise<string | undefined> {
  try {
    await removeBackup(target, backup, left)
    return undefined
  } catch (error) {
    const { code, message } = toHotboltError(error)
    if (code === 'ERR_NOT_FOUND') return undefined
    if (code === 'ERR_LOCKED' || code === 'ERR_BACKUP_REQUIRED') return message
    throw error
  }
}

async function addNeeds(
  target: Target,
  backup: FoundBackup,
  left: readonly FoundBackup[],
  reasons: Map<string, readonly string[]>,
): Promise<void> {
  const { name } = backup.summary
  const needs = await needsOf(target, backup, left)
  const known = reasons.get(name) ?? []
  reasons.set(name, [...known, ...needs.map(({ reason }) => reason)])
}

/** By the rules, and of broken ones; a backup without a reason has no entry. */
export function reasonsToKeep(
  backups: readonly FoundBackup[],
  retention: Retention,
): Map<string, readonly string[]> {
  const reasons = new Map<string, string[]>()
  const keep = (name: string, reason: string): void => {
    reasons.set(name, [...(reasons.get(name) ?? []), reason])
  }
  for (const { summary } of backups) if (summary.state === 'broken') keep(summary.name, 'broken')
  for (const summaries of newestFirstBySource(backups)) keepOf(summaries, retention, keep)
  return reasons
}

/** The complete ones. */
function newestFirstBySource(backups: readonly FoundBackup[]): Iterable<BackupSummary[]> {
  const found = new Map<string, BackupSummary[]>()
  for (const { summary, source } of backups.toReversed()) {
    if (summary.state !== 'complete') continue
    const key = JSON.stringify([source?.kind, source?.id])
    found.set(key, [...(found.get(key) ?? []), summary])
  }
  return found.values()
}

function keepOf(
  newestFirst: readonly BackupSummary[],
  retention: Retention,
  keep: (name: string, reason: string) => void,
): void {
  for (const { name } of newestFirst.slice(0, retention.keepLast)) keep(name, 'last')
  const periods: [string, number, (time: Date) => string][] = [
    ['daily', retention.keepDaily, dayOf],
    ['weekly', retention.keepWeekly, weekOf],
    ['monthly', retention.keepMonthly, monthOf],
  ]
  for (const [rule, count, periodOf] of periods) {
    const seen = new Set<string>()
    for (const { name, createdAt } of newestFirst) {
      const period = periodOf(new Date(createdAt))
      if (seen.size === count || seen.has(period)) continue
      seen.add(period)
      keep(name, `${rule} ${period}`)
    }
  }
}

const dayOf = (time: Date): string => time.toISOString().split('T')[0] ?? ''
const monthOf = (time: Date): string => dayOf(time).replace(/-\d\d$/, '')

/** '2026-W53': a week belongs to the year that its Thursday is in. */
function weekOf(time: Date): string {
  const dayMs = 86_400_000
  const daysAfterMonday = (time.getUTCDay() + 6) % 7
  const thursday = new Date(time.getTime() + (3 - daysAfterMonday) * dayMs)
  const year = thursday.getUTCFullYear()
  const week = Math.floor((thursday.getTime() - Date.UTC(year, 0, 1)) / (7 * dayMs)) + 1
  return `${year}-W${String(week).padStart(2, '0')}`
}
