// hotbolt check: the complete consistency check.

import { HotboltError, open, type CheckReport, type ErrorCode } from '../../index.ts'
import { exitCodes, type Command } from '../command.ts'
import { journalNote, toJson } from '../output.ts'

/** Damage so great that the file cannot even be opened. */
const damageCodes: readonly ErrorCode[] = ['ERR_CHECKSUM', 'ERR_TRUNCATED', 'ERR_CORRUPT']

export const check: Command = {
  name: 'check',
  usage: '<file>',
  summary: 'Read every page and report what is wrong; exits with 4 when something is',
  options: {},
  optionHelp: [],
  positionals: [1, 1],
  run: async ({ positionals: [file = ''], output }) => {
    const report = await checkFile(file)
    await output.write(output.json ? toJson(report) : describe(report))
    if (!output.json && report.journal) await output.write(`${report.journal}\n`)
    return report.ok ? exitCodes.ok : exitCodes.damaged
  },
}

type Findings = Pick<CheckReport, 'ok' | 'issues' | 'issueCount'> &
  Partial<CheckReport> & { journal?: string }

async function checkFile(file: string): Promise<Findings> {
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

function describe({ ok, issues, issueCount, journal: _, ...counts }: Findings): string {
  if (ok) {
    const { keyCount, bucketCount, pageCount } = counts
    return `ok: ${keyCount} keys, ${bucketCount} buckets, ${pageCount} pages\n`
  }
  const lines = issues.map(({ page, message }) => `page ${page}: ${message}\n`)
  return `${lines.join('')}damaged: ${issueCount} ${issueCount === 1 ? 'issue' : 'issues'}\n`
}
