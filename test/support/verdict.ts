// What is said of the files that a test leaves: our complete check and bbolt's find nothing, and
// both read the same content. `judgeFilesIn` says it of every database in a directory, whoever
// wrote it: the test, a child process, bbolt or etcd. A test that damages a file on purpose says so
// with `damagedOnPurpose(path)`.

import { existsSync, readdirSync, statSync } from 'node:fs'
import { open as openFile, readdir } from 'node:fs/promises'
import { basename, dirname, join, sep } from 'node:path'
import { afterAll, expect } from 'vitest'
import { open } from '../../lib/index.ts'
import { BboltJudge } from '../oracle/bbolt.ts'
import { hasTool } from './tools.ts'

declare module 'vitest' {
  interface TaskMeta {
    /** How many files of databases the tests of a file had judged. */
    judged?: number
  }
}

let judge: Promise<BboltJudge> | undefined

/** One for the whole test file. Requires the tool 'go'. */
export function sharedJudge(): Promise<BboltJudge> {
  judge ??= BboltJudge.start()
  return judge
}

let judged = 0

// Vitest insists on a pattern as the first argument of a hook that wants the second.
// oxlint-disable-next-line no-empty-pattern
afterAll(async ({}, file) => {
  file.meta.judged = judged
  await (await judge)?.close()
  judge = undefined
})

/** What lies beside a database and belongs to it: journal segments and temporary files. */
export function leftovers(path: string): string[] {
  const folder = dirname(path)
  if (!existsSync(folder)) return []
  return readdirSync(folder).filter((name) => name.startsWith(`${basename(path)}-`))
}

/** Opens a file read-only and has it checked by us and by bbolt; gives its hash. */
export async function verifyFile(path: string, hash?: string): Promise<string> {
  const db = await open(path, { readOnly: true })
  let found: string
  try {
    const report = await db.check()
    expect(report.issues, `our check's issues: ${path}`).toEqual([])
    expect(report.ok).toBe(true)
    found = await db.hash()
  } finally {
    await db.close()
  }
  if (hash !== undefined) expect(found, 'the hash after opening again').toBe(hash)
  if (hasTool('go')) await askBbolt(path, found)
  known.set(path, stateOf(path))
  judged++
  return found
}

async function askBbolt(path: string, hash: string): Promise<void> {
  const bbolt = await sharedJudge()
  expect(await bbolt.check(path), `bbolt's verdict: ${path}`).toEqual({ ok: true, errors: [] })
  // What is in the journal only, after a kill, bbolt does not see.
  if (leftovers(path).length > 0) return
  expect((await bbolt.dump(path)).sha256, `the hash of bbolt's dump: ${path}`).toBe(hash)
}

/** The state in which each file was judged. */
const known = new Map<string, string>()

function stateOf(path: string): string {
  const { ino, size, mtimeNs } = statSync(path, { bigint: true })
  return `${ino} ${size} ${mtimeNs}`
}

const hostile = new Set<string>()

/** Says that a test damages this file, or everything in this folder, on purpose. */
export function damagedOnPurpose<Path extends string>(path: Path): Path {
  hostile.add(path)
  return path
}

const isDamaged = (path: string): boolean =>
  [...hostile].some((each) => path === each || path.startsWith(`${each}${sep}`))

/**
 * What a killed defragmentation, copy or upload (the S3 server keeps its parts in .sgwtmp) leaves
 * is no database yet, and nobody takes it for one.
 */
const isTemporary = (path: string): boolean =>
  /-(defrag|create)-[0-9a-f]+$|\.tmp$/.test(basename(path)) || path.includes(`${sep}.sgwtmp${sep}`)

const metaMagic = 0xed0cdaed
const magicAt = 16

async function isDatabase(path: string): Promise<boolean> {
  await using file = await openFile(path)
  const { buffer, bytesRead } = await file.read(Buffer.alloc(magicAt + 4))
  return bytesRead === buffer.length && buffer.readUInt32LE(magicAt) === metaMagic
}

/** Judges every database in a directory that has not been judged since it was written. */
export async function judgeFilesIn(directory: string): Promise<void> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true })
  for (const entry of entries) {
    const path = join(entry.parentPath, entry.name)
    if (!entry.isFile() || isTemporary(path) || isDamaged(path)) continue
    if (known.get(path) === stateOf(path) || !(await isDatabase(path))) continue
    await verifyFile(path)
  }
}
