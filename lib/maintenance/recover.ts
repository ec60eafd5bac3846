// Recovering a database whose program has not closed it: its journal is merged into the file, or,
// where another program has written to the file since and open() refuses the journal, put on top.
//
// Putting a stale journal on top, so that it may be interrupted anywhere and run again:
//   1. Its segments are moved to `<path>.stale-from-<n>-journal-...`, where n is the sequence
//      number from which on they are to be done. Until the last has moved open() refuses the rest.
//   2. One update does all of its operations, and a checkpoint makes that durable in the file.
//   3. The segments are moved on to `<path>.applied-<time>-journal-...`, and kept.
// Whoever finds segments of step 1 goes on from there. Between 2 and 3 that does again what has
// been done: the operations say what is to be, not how it changes.

import { access, readdir, rename } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { openDatabase, type Database } from '../database/database.ts'
import type { Transaction, TransactionBucket } from '../database/transaction.ts'
import { HotboltError, onDisk } from '../errors.ts'
import { native, type JournalOperation } from '../native.ts'
import { resolveRecoverOptions, type RecoverOptions } from '../options.ts'
import { syncDirectory } from '../paths.ts'
import { Journal, readJournal } from './journal.ts'
import { StoreMaintainer } from './store-maintainer.ts'

export interface RecoverReport {
  /** Of the database, absolute. */
  readonly path: string
  /** 'merged': into the file. 'applied': a stale journal, on top of what the file had. */
  readonly outcome: 'nothing' | 'merged' | 'applied'
  readonly transactions: number
  readonly operations: number
  /** Operations of a stale journal that do not fit what the file holds now, and were left out. */
  readonly skipped: readonly SkippedOperation[]
  /** Files of the stale journal, kept under other names. */
  readonly kept: readonly string[]
}

export interface SkippedOperation {
  readonly operation: JournalOperation
  readonly error: HotboltError
}

/**
 * Makes the file alone the database. What open() would merge is merged; ERR_JOURNAL_STALE for a
 * journal that belongs to another state of the file, unless `applyStale`. See also readJournal().
 */
export async function recoverDatabase(
  path: string | URL,
  options?: RecoverOptions,
): Promise<RecoverReport> {
  const { applyStale, fromSeq } = resolveRecoverOptions(options)
  const journal = await readJournal(path)
  const moved = await findMoved(journal.path)
  if (applyStale && (journal.state === 'stale' || moved !== undefined)) {
    return apply(journal, moved ?? placeFor(journal, fromSeq))
  }
  if (moved !== undefined) throw interrupted(journal.path, moved)
  await (await openForWriting(journal.path)).close()
  const { transactions } = journal
  const operations = countOf(journal.operations())
  const outcome = journal.state === 'none' ? 'nothing' : 'merged'
  return { path: journal.path, outcome, transactions, operations, skipped: [], kept: [] }
}

const openForWriting = (path: string): Promise<Database> =>
  openDatabase(path, { create: false }, (store) => new StoreMaintainer(store))

/** Where segments are that were moved away: their path is this and '-journal-<number>'. */
interface Moved {
  readonly prefix: string
  /** Of the first transaction that is to be done. */
  readonly fromSeq: number
}

/** What an interrupted run has left. */
async function findMoved(path: string): Promise<Moved | undefined> {
  for (const name of await onDisk(() => readdir(dirname(path)))) {
    if (!name.startsWith(`${basename(path)}.stale-from-`)) continue
    const [, tag, seq] =
      /^(\.stale-from-(\d{1,16}))-journal-\d+$/.exec(name.slice(basename(path).length)) ?? []
    if (tag !== undefined) return { prefix: path + tag, fromSeq: Number(seq) }
  }
  return undefined
}

async function apply(journal: Journal, moved: Moved): Promise<RecoverReport> {
  const { path } = journal
  if (journal.state === 'stale') {
    await move(
      journal.segments.map((segment) => segment.path),
      path,
      moved.prefix,
    )
  }
  const found = await native.readLeftover(path, moved.prefix, moved.fromSeq - 1)
  const stale = new Journal(path, found)
  const skipped: SkippedOperation[] = []
  const db = await openForWriting(path)
  let operations = 0
  try {
    operations = await db.update((tx) => doAll(tx, stale, skipped))
    await db.checkpoint()
  } catch (error) {
    await db.close().catch(() => {}) // which would hide why
    throw error
  }
  await db.close()
  const time = new Date().toISOString().replaceAll(/[-:]|\.\d+/g, '')
  const files = stale.segments.map((segment) => segment.path)
  const kept = await move(files, moved.prefix, `${path}.applied-${time}`)
  const { transactions } = stale
  return { path, outcome: 'applied', transactions, operations, skipped, kept }
}

function interrupted(path: string, { prefix }: Moved): HotboltError {
  const message =
    `Putting a stale journal on top was interrupted, and left ${prefix}-journal-...: do it again` +
    ` (hotbolt recover ${path} --apply-stale), or move these files away`
  return new HotboltError('ERR_JOURNAL_STALE', message, { path: prefix })
}

function placeFor({ path, firstSeq }: Journal, wantedSeq = firstSeq): Moved {
  const fromSeq = Math.max(firstSeq, wantedSeq)
  return { prefix: `${path}.stale-from-${fromSeq}`, fromSeq }
}

/** Never over a file that is there; durable when it resolves. Gives the new paths. */
async function move(files: readonly string[], from: string, to: string): Promise<string[]> {
  const targets = files.map((file) => to + file.slice(from.length))
  await onDisk(async () => {
    for (const [index, file] of files.entries()) {
      const target = targets[index] ?? to
      if (await exists(target)) throw new HotboltError('ERR_EXISTS', `${target} exists already`)
      await rename(file, target)
    }
    await syncDirectory(join(to, '..'))
  })
  return targets
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  )
}

/** Gives the number of those that were done. */
function doAll(tx: Transaction, journal: Journal, skipped: SkippedOperation[]): number {
  let done = 0
  for (const operation of journal.operations()) {
    try {
      doOne(tx, operation)
      done++
    } catch (error) {
      if (!HotboltError.is(error) || !isMisfit(error)) throw error
      skipped.push({ operation, error })
    }
  }
  return done
}

/** The other program has made a bucket of a key, or the reverse. */
const isMisfit = (error: HotboltError): boolean =>
  ['ERR_INCOMPATIBLE_VALUE', 'ERR_BUCKET_NOT_FOUND'].includes(error.code)

function doOne(tx: Transaction, { kind, bucket, key, value, sequence }: JournalOperation): void {
  const at = bucketAt(tx, bucket)
  const name = key ?? Buffer.alloc(0)
  const exists = (): boolean => (bucketAt(tx, [...bucket, name]) as TransactionBucket).exists
  switch (kind) {
    case 'put':
      return (at as TransactionBucket).put(name, value ?? Buffer.alloc(0))
    case 'delete':
      return (at as TransactionBucket).delete(name)
    case 'set-sequence':
      return (at as TransactionBucket).setSequence(sequence ?? 0n)
    case 'create-bucket':
      return exists() ? undefined : at.createBucket(name)
    case 'delete-bucket':
      return exists() ? at.deleteBucket(name) : undefined
  }
}

function bucketAt(tx: Transaction, path: readonly Buffer[]): Transaction | TransactionBucket {
  const [top, ...inner] = path
  if (top === undefined) return tx
  return inner.reduce((bucket, name) => bucket.bucket(name), tx.bucket(top))
}

function countOf(operations: Iterable<unknown>): number {
  let count = 0
  for (const _ of operations) count++
  return count
}
