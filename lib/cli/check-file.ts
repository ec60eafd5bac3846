// The complete check of a database file, for the commands that do it.

import { HotboltError, open, type CheckReport, type ErrorCode } from '../index.ts'
import { journalNote } from './output.ts'

/** Damage so great that the file cannot even be opened. */
const damageCodes: readonly ErrorCode[] = ['ERR_CHECKSUM', 'ERR_TRUNCATED', 'ERR_CORRUPT']

export type Findings = Pick<CheckReport, 'ok' | 'issues' | 'issueCount'> &
  Partial<CheckReport> & { journal?: string }

export async function checkFile(file: string): Promise<Findings> {
  try {
    await using database = await open(file, { readOnly: true })
    const report = await database.check()
    const journal = journalNote(database.stats())
    return journal === '' ? report : { ...report, journal }
  } catch (error) {
    if (!HotboltError.is(error) || !damageCodes.includes(error.code)) throw error
    const issue = { page: error.page ?? 0, message: error.message }
    return { ok: false, issues: [issue], issueCount: 1 }
  }
}

export function describeFindings({
  ok,
  issues,
  issueCount,
  journal,
  ...counts
}: Findings): string[] {
  const note = journal === undefined ? [] : [journal]
  if (ok) {
    const { keyCount, bucketCount, pageCount } = counts
    return [`ok: ${keyCount} keys, ${bucketCount} buckets, ${pageCount} pages`, ...note]
  }
  const lines = issues.map(({ page, message }) => `page ${page}: ${message}`)
  const total = `damaged: ${issueCount} ${issueCount === 1 ? 'issue' : 'issues'}`
  return [...lines, total, ...note]
}
