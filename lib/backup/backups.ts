// Which backups a target has, and what each of them is.

import type { ErrorCode } from '../errors.ts'
import { backupName } from '../names.ts'
import type { BackupSummary } from './backup-options.ts'
import { targetError } from './backup-error.ts'
import { hasObjects } from './backup-objects.ts'
import { targetFrom } from './directory-target.ts'
import { readManifest, type Manifest } from './manifest.ts'
import { forEachOf } from './semaphore.ts'
import type { Target } from './target.ts'
import { sizeOf } from './transfer-meter.ts'

/** Manifests that are read at a time. */
const manifestsAtOnce = 4

export interface FoundBackup {
  readonly summary: BackupSummary
  /** Why it is broken; ERR_NOT_FOUND: it has objects, but no manifest. */
  readonly problemCode?: ErrorCode
  /** Of what it is, when that is known. */
  readonly source?: Manifest['source']
}

/**
 * The backups in the target, the oldest first. A broken one is among them, with the reason; its
 * `createdAt` is '', so it comes before the others.
 */
export async function listBackups(target: string | URL | Target): Promise<BackupSummary[]> {
  return (await findBackups(targetFrom(target))).map(({ summary }) => summary)
}

/** The same, with what deleting has to know; without those that are complete and `known`. */
export async function findBackups(
  target: Target,
  known: readonly FoundBackup[] = [],
): Promise<FoundBackup[]> {
  const found: FoundBackup[] = []
  try {
    const names = await namesIn(target)
    for (const { summary } of known) if (summary.state === 'complete') names.delete(summary.name)
    await forEachOf(names, manifestsAtOnce, async (name) => {
      const backup = await lookAtBackup(target, name)
      if (backup !== undefined) found.push(backup)
    })
  } catch (error) {
    throw targetError(error, `Listing the backups in ${target.location}`)
  }
  return found.toSorted((one, other) => compare(one.summary, other.summary))
}

/** Undefined when there is no object of it. */
export async function lookAtBackup(target: Target, name: string): Promise<FoundBackup | undefined> {
  try {
    const manifest = await readManifest(target, name)
    return { summary: summaryOf(manifest), source: manifest.source }
  } catch (error) {
    const { code, message } = targetError(error, `Reading the manifest of ${name}`)
    if (code !== 'ERR_NOT_FOUND') return { summary: brokenOf(name, message), problemCode: code }
    if (!(await hasObjects(target, name))) return undefined
    const problem = 'It has no manifest: it is not complete yet, or not deleted completely'
    return { summary: brokenOf(name, problem), problemCode: code }
  }
}

function summaryOf(manifest: Manifest): BackupSummary {
  const { name, createdAt, source, tables, requires, cut } = manifest
  return {
    name,
    state: 'complete',
    createdAt,
    kind: source.kind,
    tables: tables.length,
    sizeBytes: sizeOf(tables),
    ownBytes: sizeOf(tables.filter(({ owner }) => owner === name)),
    requires,
    cut,
  }
}

function brokenOf(name: string, problem: string): BackupSummary {
  const unknown = { createdAt: '', kind: '', tables: 0, sizeBytes: 0, ownBytes: 0 }
  return { name, state: 'broken', problem, ...unknown, requires: [], cut: false }
}

function compare(one: BackupSummary, other: BackupSummary): number {
  const key = ({ createdAt, name }: BackupSummary): string => `${createdAt} ${name}`
  return key(one) < key(other) ? -1 : 1
}

/** What could be a backup: hidden and foreign names are none. */
async function namesIn(target: Target): Promise<Set<string>> {
  const names = new Set<string>()
  for await (const folder of target.listFolders?.() ?? foldersOf(target)) {
    if (backupName.accepts(folder)) names.add(folder)
  }
  return names
}

async function* foldersOf(target: Target): AsyncIterable<string> {
  for await (const { key } of target.list('')) {
    const end = key.indexOf('/')
    if (end !== -1) yield key.slice(0, end)
  }
}
