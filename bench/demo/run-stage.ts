// One database through the whole demonstration: opened, under load without and with a
// defragmentation, closed, opened again, and judged.

import { setTimeout as wait } from 'node:timers/promises'
import { open, type Database, type DefragReport } from '../../lib/index.ts'
import { recordWhile, type Recording, type Traffic } from '../foreground.ts'
import { percent } from '../format.ts'
import type { LedgerVerdict } from '../ledger.ts'
import { summarize, type LatencySummary } from '../stats.ts'
import type { Progress } from '../terminal.ts'
import type { Judge, Judgement } from './judge.ts'
import type { Fingerprint, Stage } from './stages.ts'

export interface Setting {
  readonly directory: string
  readonly requestsPerSecond: number
  readonly progress: Progress
  readonly judge: Judge
}

/** What the foreground saw. */
export interface LoadSummary {
  readonly putCall: LatencySummary
  readonly putAck: LatencySummary
  readonly getCall: LatencySummary
  readonly lateness: LatencySummary
  readonly eventLoopDelayMaxMs: number
  readonly failedPuts: number
  readonly missedGets: number
}

export interface StageReport {
  readonly name: string
  readonly title: string
  readonly openMs: number
  readonly before: Sizes
  readonly after: Sizes
  readonly defrag: DefragReport
  readonly without: LoadSummary
  readonly during: LoadSummary
  readonly verdicts: Verdicts
  readonly ok: boolean
}

interface Sizes {
  readonly fileBytes: number
  readonly inUseBytes: number
}

/** Of the file after it was closed. */
export interface Verdicts {
  readonly acknowledged: LedgerVerdict
  /** Entries that the foreground did not write. */
  readonly untouched: { readonly entries: number; readonly same: boolean }
  readonly check: CheckVerdict
  readonly bbolt: Judgement
}

interface CheckVerdict {
  readonly ok: boolean
  readonly pages: number
  readonly keys: number
  readonly issues: readonly string[]
}

/** Code that runs for the first time is slow: that is not what is to be shown. */
const warmUpMs = 500
const withoutMs = 2000
/** What a defragmentation leaves behind, such as the old file's removal, is part of it. */
const afterMs = 2000

export async function runStage(stage: Stage, setting: Setting): Promise<StageReport> {
  const { directory, progress } = setting
  progress.show(`preparing: ${stage.title}`)
  const path = await stage.prepare(directory, progress)
  const startMs = performance.now()
  const db = await open(path)
  const openMs = performance.now() - startMs
  const content = stage.fingerprint(db)
  const traffic = stage.traffic(db)
  const before = await sizesOf(db)
  const measured = await measure(db, traffic, setting)
  const after = await sizesOf(db)
  progress.show('closing, opening again and checking')
  await db.close()
  const verdicts = await verdictsOf(path, stage, traffic, content, setting.judge)
  progress.end()
  const { name, title } = stage
  const ok = isGood(verdicts) && isAnswered(measured.without) && isAnswered(measured.during)
  return { name, title, openMs, before, after, ...measured, verdicts, ok }
}

async function measure(
  db: Database,
  traffic: Traffic,
  { requestsPerSecond, progress }: Setting,
): Promise<Pick<StageReport, 'defrag' | 'without' | 'during'>> {
  progress.show('measuring without defragmentation')
  await recordWhile(traffic, requestsPerSecond, () => wait(warmUpMs))
  const without = await recordWhile(traffic, requestsPerSecond, () => wait(withoutMs))
  progress.show('measuring during defragmentation')
  let defrag: DefragReport | undefined
  const during = await recordWhile(traffic, requestsPerSecond, async () => {
    defrag = await db.defrag({
      onProgress: ({ phase, bytesCopied, bytesTotal }) => {
        const copied = percent(Math.min(bytesCopied, bytesTotal), bytesTotal)
        progress.show('defragmenting:', phase === 'copying' ? `${phase} ${copied}` : phase)
      },
    })
    await wait(afterMs)
  })
  if (defrag === undefined) throw new Error('The defragmentation gave no report')
  return { defrag, without: summaryOf(without), during: summaryOf(during) }
}

function summaryOf(recording: Recording): LoadSummary {
  const { putCall, putAck, getCall, lateness, ...rest } = recording
  return {
    putCall: summarize(putCall),
    putAck: summarize(putAck),
    getCall: summarize(getCall),
    lateness: summarize(lateness),
    ...rest,
  }
}

async function verdictsOf(
  path: string,
  stage: Stage,
  { ledger }: Traffic,
  content: Fingerprint,
  judge: Judge,
): Promise<Verdicts> {
  const db = await open(path, { readOnly: true })
  try {
    const acknowledged = ledger.verify(db.bucket(stage.writtenBucket))
    const { entries, sha256 } = stage.fingerprint(db)
    const same = entries === content.entries && sha256 === content.sha256
    const { ok, pageCount, keyCount, issues } = await db.check()
    const messages = issues.map(({ page, message }) => `page ${page}: ${message}`)
    const check = { ok, pages: pageCount, keys: keyCount, issues: messages }
    return { acknowledged, untouched: { entries, same }, check, bbolt: await judge.judge(path) }
  } finally {
    await db.close()
  }
}

/** Counts the pages in use, which the file itself does not say. */
async function sizesOf(db: Database): Promise<Sizes> {
  const { sizeBytes, pageSize } = db.stats()
  const { reachablePages } = await db.check()
  return { fileBytes: sizeBytes, inUseBytes: reachablePages * pageSize }
}

function isGood({ acknowledged, untouched, check, bbolt }: Verdicts): boolean {
  return acknowledged.lost === 0 && untouched.same && check.ok && bbolt.verdict !== 'failed'
}

function isAnswered({ failedPuts, missedGets }: LoadSummary): boolean {
  return failedPuts === 0 && missedGets === 0
}
