// Backups that tests make by hand, object by object, as a run of createBackup() would leave them.
// For children too, which know nothing of the test runner.

import { createHash, randomBytes } from 'node:crypto'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { open } from '../../lib/index.ts'
import {
  encodeManifest,
  manifestKey,
  tablePrefix,
  type Manifest,
  type ManifestTable,
} from '../../lib/backup/manifest.ts'
import type { Target } from '../../lib/backup/target.ts'

export const sha256Of = (bytes: Uint8Array | string): string =>
  createHash('sha256').update(bytes).digest('hex')

/** A manifest with one table of one file; `changes` take the place of its properties. */
export function manifestOf(name: string, changes: Partial<Manifest> = {}): Manifest {
  return {
    format: 'hotbolt-backup',
    version: 1,
    name,
    createdAt: '2026-01-31T12:00:00.000Z',
    source: { kind: 'files', id: 'somewhere' },
    cut: false,
    tables: [tableOf(name, 'table', { 'data.bin': 'content' })],
    requires: [],
    ...changes,
  }
}

export type Contents = Readonly<Record<string, Uint8Array | string>>

export function tableOf(owner: string, name: string, contents: Contents): ManifestTable {
  const files = Object.entries(contents).map(([path, content]) => ({
    path,
    sizeBytes: Buffer.from(content).length,
    sha256: sha256Of(content),
  }))
  return { name, owner, files }
}

/** What stands after the closing brace of `object` was taken away, and the seal. */
export function sealed(object: object | string): Buffer {
  const text = typeof object === 'string' ? object : JSON.stringify(object)
  const body = Buffer.from(`${text.slice(0, -1)},\n`)
  return Buffer.concat([body, Buffer.from(`"sha256":"${sha256Of(body)}"}\n`)])
}

export interface MadeTable {
  readonly name: string
  readonly contents: Contents
  /** The backup that has the files; this one. */
  readonly owner?: string
}

/** Puts a backup into the target: its files, then its manifest. */
export async function putBackup(
  target: Target,
  name: string,
  made: readonly MadeTable[],
  changes: Partial<Manifest> = {},
): Promise<Manifest> {
  const tables: ManifestTable[] = []
  for (const table of made) {
    const owner = table.owner ?? name
    for (const [path, content] of Object.entries(table.contents)) {
      if (owner !== name) continue
      await target.put(`${tablePrefix(owner, table.name)}${path}`, Buffer.from(content))
    }
    tables.push(tableOf(owner, table.name, table.contents))
  }
  const owners = new Set(tables.map(({ owner }) => owner))
  owners.delete(name)
  const manifest = manifestOf(name, { tables, requires: [...owners], ...changes })
  await target.put(manifestKey(name), await encodeManifest(manifest))
  return manifest
}

/** Files of odd sizes in nested directories, among them an empty one. */
export const mixedTables: readonly MadeTable[] = [
  {
    name: 'users',
    contents: { 'data.bin': 'content of users', 'part/1/col.bin': randomBytes(70_000) },
  },
  { name: '\u00dcbersicht/*', contents: { empty: '', 'a%2Eb': randomBytes(300) } },
  { name: 'nothing', contents: {} },
]

/** The bytes of a closed store with `count` entries. */
export async function storeBytes(count: number): Promise<Buffer> {
  const directory = await mkdtemp(join(tmpdir(), 'hotbolt-test-'))
  try {
    const path = join(directory, 'data.db')
    const db = await open(path, { pageSize: 1024 })
    const bucket = db.bucket('b')
    for (let n = 0; n < count; n++) void bucket.put(`key ${n}`, `value ${n}`)
    await db.close()
    return await readFile(path)
  } finally {
    await rm(directory, { recursive: true })
  }
}
