// The options and reports of backups of many tables.

import { backupName } from '../names.ts'
import {
  checked,
  milliseconds,
  oneOf,
  required,
  rule,
  withDefaults,
  type Defaults,
  type Resolved,
  type Rule,
  type Rules,
} from '../rules.ts'
import type { Freeze } from './freeze-source.ts'
import type { Target } from './target.ts'

/** When the pool that unfreezes works: at once, when all is copied, or inside the table's slot. */
export type UnfreezeMode = 'pipelined' | 'deferred' | 'inline'

/** Which tables: names with `*` and `?`; excluding wins. All, without any. */
export interface TableFilter {
  readonly include?: readonly string[] | undefined
  readonly exclude?: readonly string[] | undefined
}

export interface CreateBackupOptions extends TableFilter {
  /** A directory, which is made if it does not exist, or another kind of target. */
  readonly target: string | URL | Target
  /** Letters, digits, '.', '_', '-', not beginning with '.'; the time in UTC. */
  readonly name?: string | undefined
  /** Tables that are frozen and copied at a time; 4. */
  readonly tableConcurrency?: number | undefined
  /** Freezes that are released at a time; 8. */
  readonly unfreezeConcurrency?: number | undefined
  /** 'pipelined': tables that may be frozen at a time, but for those given up; 64. */
  readonly maxFrozen?: number | undefined
  /** Default: 'pipelined'. */
  readonly unfreeze?: UnfreezeMode | undefined
  /** One moment for all tables: all are frozen before the first is copied. */
  readonly freezeAllFirst?: boolean | undefined
  /** An earlier backup in the same target: tables that have not changed since are not copied. */
  readonly diffFrom?: string | undefined
  /** Numbers of the source's errors that mean "is not there any more"; 60, 81, 218. */
  readonly ignoreErrors?: readonly number[] | undefined
  /**
   * Of one attempt to release a freeze, also when the backup is cancelled; and for how long what
   * has been cancelled is waited for; 60,000.
   */
  readonly unfreezeTimeoutMs?: number | undefined
  /** Where freezes are recorded; a directory target has a place of its own. */
  readonly stateDirectory?: string | URL | undefined
  /** Limit of the copies' speed, all together; 0: none. */
  readonly bytesPerSecond?: number | undefined
  /** Cancels until the manifest is written. Freezes are released all the same. */
  readonly signal?: AbortSignal | undefined
  readonly onProgress?: ((progress: BackupProgress) => void) | undefined
}

export interface BackupProgress {
  readonly phase: 'listing' | 'copying' | 'publishing' | 'unfreezing' | 'done'
  readonly tablesTotal: number
  readonly tablesCopied: number
  /** Tables that are frozen now. */
  readonly frozen: number
  readonly bytesCopied: number
  readonly elapsedMs: number
}

export interface BackupReport {
  readonly name: string
  readonly tables: readonly TableReport[]
  readonly bytesCopied: number
  /** Of unchanged tables, which the backup of `diffFrom` has. */
  readonly bytesReused: number
  readonly durationMs: number
  /** Until the backup was complete; what comes after it is the unfreezing. */
  readonly completeMs: number
  readonly maxFrozen: number
  /** What went wrong without making the backup fail. */
  readonly warnings: readonly string[]
  /** Freezes that could not be released: cleanFreezes() tries again. */
  readonly leftover: readonly Freeze[]
}

export interface TableReport {
  readonly name: string
  /** 'gone': it was dropped before it could be frozen, or as it was being copied. */
  readonly outcome: 'copied' | 'reused' | 'gone'
  readonly files: number
  readonly sizeBytes: number
  readonly freezeMs: number
  readonly copyMs: number
  readonly unfreezeMs: number
  /**
   * 'ignored': the source answered with one of `ignoreErrors`, and nothing was left. 'refused': it
   * answered with another error, which is a warning, and nothing was left. 'failed': a leftover.
   */
  readonly unfreeze: 'released' | 'ignored' | 'refused' | 'failed'
  /** The source's number of the error that the release ended with. */
  readonly unfreezeError?: number
}

export interface CleanFreezesOptions {
  readonly target?: string | URL | Target | undefined
  readonly stateDirectory?: string | URL | undefined
  readonly ignoreErrors?: readonly number[] | undefined
  readonly unfreezeConcurrency?: number | undefined
  readonly unfreezeTimeoutMs?: number | undefined
  /** Only says what would be done. */
  readonly dryRun?: boolean | undefined
}

export interface CleanReport {
  /** Freezes that were released, or would be. */
  readonly released: readonly Freeze[]
  readonly leftover: readonly Freeze[]
  /** Names of backups whose owner is alive: left alone. */
  readonly running: readonly string[]
  /** Names of backups that were never completed; their objects were deleted. */
  readonly abandoned: readonly string[]
  /** Keys of uploads to them that were never completed, if there were any: removed too. */
  readonly unfinished?: readonly string[]
  readonly warnings: readonly string[]
}

export type VerifyDepth = 'quick' | 'full' | 'deep'

export interface VerifyBackupOptions {
  readonly target: string | URL | Target
  readonly name: string
  /**
   * 'quick': manifest, set of files, sizes; 'full': and every byte (default); 'deep': and every
   * store is opened and checked.
   */
  readonly depth?: VerifyDepth | undefined
  readonly concurrency?: number | undefined
  readonly signal?: AbortSignal | undefined
  readonly onProgress?: ((progress: TransferProgress) => void) | undefined
}

export interface TransferProgress {
  readonly tablesTotal: number
  readonly tablesDone: number
  readonly bytesTotal: number
  readonly bytesDone: number
  readonly elapsedMs: number
}

export interface VerifyReport {
  readonly ok: boolean
  readonly name: string
  readonly depth: VerifyDepth
  readonly files: number
  readonly sizeBytes: number
  readonly issues: readonly BackupIssue[]
}

export interface BackupIssue {
  /** Of the object; the manifest's for damage to it. */
  readonly key: string
  readonly message: string
}

export interface BackupSummary {
  readonly name: string
  /** 'broken': its manifest cannot be believed; `problem` says why. */
  readonly state: 'complete' | 'broken'
  readonly problem?: string
  readonly createdAt: string
  readonly kind: string
  readonly tables: number
  /** Of all its tables, and of those that it holds itself. */
  readonly sizeBytes: number
  readonly ownBytes: number
  readonly requires: readonly string[]
  readonly cut: boolean
}

export interface RestoreBackupOptions extends TableFilter {
  readonly target: string | URL | Target
  readonly name: string
  /** Takes the place of what is there; otherwise ERR_EXISTS. */
  readonly overwrite?: boolean | undefined
  readonly tableConcurrency?: number | undefined
  readonly bytesPerSecond?: number | undefined
  readonly signal?: AbortSignal | undefined
  readonly onProgress?: ((progress: TransferProgress) => void) | undefined
}

export interface RestoreReport {
  readonly name: string
  readonly tables: number
  readonly sizeBytes: number
  readonly durationMs: number
}

export interface DeleteBackupOptions {
  readonly target: string | URL | Target
  readonly name: string
}

/** What is kept; a backup that a kept one depends on is kept too. */
export interface PruneBackupsOptions {
  readonly target: string | URL | Target
  /** The newest so many; and of each of the last so many days, weeks, months (UTC) the newest. */
  readonly keepLast?: number | undefined
  readonly keepDaily?: number | undefined
  readonly keepWeekly?: number | undefined
  readonly keepMonthly?: number | undefined
  /** Only says what would be done. */
  readonly dryRun?: boolean | undefined
}

export interface PruneReport {
  readonly kept: readonly { readonly name: string; readonly reasons: readonly string[] }[]
  readonly deleted: readonly string[]
}

export const targetRule: Rule = {
  expected: 'a path or a target',
  accepts: (value) =>
    rule.path.accepts(value) ||
    (typeof value === 'object' &&
      value !== null &&
      ['put', 'get', 'list', 'delete'].every(
        (verb) => typeof (value as Record<string, unknown>)[verb] === 'function',
      )),
}
const listOf = (expected: string, accepts: (value: unknown) => boolean): Rule => ({
  expected,
  accepts: (value) => Array.isArray(value) && value.every((each) => accepts(each)),
})
const texts = listOf('an array of strings', (value) => typeof value === 'string')
const numbers = listOf('an array of integers', Number.isInteger)

const filterRules: Rules<TableFilter> = { include: texts, exclude: texts }
const createRules: Rules<CreateBackupOptions> = {
  ...filterRules,
  target: targetRule,
  name: backupName,
  tableConcurrency: rule.positiveInteger,
  unfreezeConcurrency: rule.positiveInteger,
  maxFrozen: rule.positiveInteger,
  unfreeze: oneOf('pipelined', 'deferred', 'inline'),
  freezeAllFirst: rule.boolean,
  diffFrom: backupName,
  ignoreErrors: numbers,
  unfreezeTimeoutMs: milliseconds(1),
  stateDirectory: rule.path,
  bytesPerSecond: rule.nonNegativeInteger,
  signal: rule.signal,
  onProgress: rule.callback,
}
const cleanRules: Rules<CleanFreezesOptions> = {
  target: targetRule,
  stateDirectory: rule.path,
  ignoreErrors: numbers,
  unfreezeConcurrency: rule.positiveInteger,
  unfreezeTimeoutMs: milliseconds(1),
  dryRun: rule.boolean,
}
const verifyRules: Rules<VerifyBackupOptions> = {
  target: targetRule,
  name: backupName,
  depth: oneOf('quick', 'full', 'deep'),
  concurrency: rule.positiveInteger,
  signal: rule.signal,
  onProgress: rule.callback,
}
const restoreRules: Rules<RestoreBackupOptions> = {
  ...filterRules,
  target: targetRule,
  name: backupName,
  overwrite: rule.boolean,
  tableConcurrency: rule.positiveInteger,
  bytesPerSecond: rule.nonNegativeInteger,
  signal: rule.signal,
  onProgress: rule.callback,
}
const deleteRules: Rules<DeleteBackupOptions> = { target: targetRule, name: backupName }
const pruneRules: Rules<PruneBackupsOptions> = {
  target: targetRule,
  keepLast: rule.nonNegativeInteger,
  keepDaily: rule.nonNegativeInteger,
  keepWeekly: rule.nonNegativeInteger,
  keepMonthly: rule.nonNegativeInteger,
  dryRun: rule.boolean,
}

const createDefaults: Defaults<
  CreateBackupOptions,
  | 'tableConcurrency'
  | 'unfreezeConcurrency'
  | 'maxFrozen'
  | 'unfreeze'
  | 'freezeAllFirst'
  | 'ignoreErrors'
  | 'unfreezeTimeoutMs'
  | 'bytesPerSecond'
> = {
  tableConcurrency: 4,
  unfreezeConcurrency: 8,
  maxFrozen: 64,
  unfreeze: 'pipelined',
  freezeAllFirst: false,
  ignoreErrors: [60, 81, 218],
  unfreezeTimeoutMs: 60_000,
  bytesPerSecond: 0,
}
const cleanDefaults: Defaults<
  CleanFreezesOptions,
  'ignoreErrors' | 'unfreezeConcurrency' | 'unfreezeTimeoutMs' | 'dryRun'
> = {
  ignoreErrors: createDefaults.ignoreErrors,
  unfreezeConcurrency: createDefaults.unfreezeConcurrency,
  unfreezeTimeoutMs: createDefaults.unfreezeTimeoutMs,
  dryRun: false,
}
const verifyDefaults: Defaults<VerifyBackupOptions, 'depth' | 'concurrency'> = {
  depth: 'full',
  concurrency: 2,
}
const restoreDefaults: Defaults<
  RestoreBackupOptions,
  'overwrite' | 'tableConcurrency' | 'bytesPerSecond'
> = { overwrite: false, tableConcurrency: 4, bytesPerSecond: 0 }
const pruneDefaults: Defaults<
  PruneBackupsOptions,
  'keepLast' | 'keepDaily' | 'keepWeekly' | 'keepMonthly' | 'dryRun'
> = { keepLast: 0, keepDaily: 0, keepWeekly: 0, keepMonthly: 0, dryRun: false }

export type ResolvedCreateBackupOptions = Resolved<CreateBackupOptions, keyof typeof createDefaults>
export type ResolvedCleanFreezesOptions = Resolved<CleanFreezesOptions, keyof typeof cleanDefaults>
export type ResolvedVerifyBackupOptions = Resolved<VerifyBackupOptions, keyof typeof verifyDefaults>
export type ResolvedRestoreBackupOptions = Resolved<
  RestoreBackupOptions,
  keyof typeof restoreDefaults
>
export type ResolvedPruneBackupsOptions = Resolved<PruneBackupsOptions, keyof typeof pruneDefaults>

export const resolveCreateBackupOptions = (
  given: CreateBackupOptions,
): ResolvedCreateBackupOptions =>
  withDefaults(createDefaults, required(checked(createRules, given), 'target'))
export const resolveCleanFreezesOptions = (
  given: CleanFreezesOptions,
): ResolvedCleanFreezesOptions => withDefaults(cleanDefaults, checked(cleanRules, given))
export const resolveVerifyBackupOptions = (
  given: VerifyBackupOptions,
): ResolvedVerifyBackupOptions =>
  withDefaults(verifyDefaults, required(checked(verifyRules, given), 'target', 'name'))
export const resolveRestoreBackupOptions = (
  given: RestoreBackupOptions,
): ResolvedRestoreBackupOptions =>
  withDefaults(restoreDefaults, required(checked(restoreRules, given), 'target', 'name'))
export const checkDeleteBackupOptions = (given: DeleteBackupOptions): DeleteBackupOptions =>
  required(checked(deleteRules, given), 'target', 'name')
export const resolvePruneBackupsOptions = (
  given: PruneBackupsOptions,
): ResolvedPruneBackupsOptions =>
  withDefaults(pruneDefaults, required(checked(pruneRules, given), 'target'))
