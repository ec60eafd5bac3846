// What a small hostile file may cost: no more than what is in it, whatever it claims. A file may be
// a sparse one of terabytes, and its pages and elements may share their bytes.

import { open as openFile, stat, truncate } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { open } from '../../lib/index.ts'
import { repositoryRoot } from '../oracle/root.ts'
import { runCommand } from '../support/installed.ts'
import { changeMetas } from '../support/page-file.ts'
import { codeOf, damagedOnPurpose, inDirectory } from '../support/with-database.ts'

const pageSize = 1024
const notStored = 0xffff_ffff_ffff_ffffn
const script = join(repositoryRoot, 'dist/lib/cli/main.js')

interface Element {
  readonly key: string
  /** Of a bucket, its root page; else a value whose bytes lie behind the elements. */
  readonly root?: number
  readonly valueBytes?: number
}

/** A leaf; values that are no buckets share their bytes, from the first key on. */
function leafPage(id: number, elements: readonly Element[], overflow = 0): Buffer {
  const page = Buffer.alloc(pageSize)
  page.writeBigUInt64LE(BigInt(id), 0)
  page.writeUInt16LE(2, 8)
  page.writeUInt16LE(elements.length, 10)
  page.writeUInt32LE(overflow, 12)
  let data = 16 + 16 * elements.length
  elements.forEach(({ key, root, valueBytes = 0 }, index) => {
    const at = 16 + 16 * index
    page.writeUInt32LE(root === undefined ? 0 : 1, at)
    page.writeUInt32LE(data - at, at + 4)
    page.writeUInt32LE(key.length, at + 8)
    page.writeUInt32LE(root === undefined ? valueBytes : 16, at + 12)
    page.write(key, data)
    data += key.length
    if (root === undefined) return
    page.writeBigUInt64LE(BigInt(root), data)
    data += 16
  })
  return page
}

/** A file that claims `pageCount` pages, of which it has these, its root being page 3. */
async function makeFile(path: string, pageCount: number, pages: readonly Buffer[]): Promise<void> {
  await (await open(damagedOnPurpose(path), { pageSize })).close()
  await changeMetas(path, (meta) => {
    meta.writeBigUInt64LE(3n, 16)
    meta.writeBigUInt64LE(notStored, 32)
    meta.writeBigUInt64LE(BigInt(pageCount), 40)
  })
  const file = await openFile(path, 'r+')
  for (const page of pages) {
    await file.write(page, 0, page.length, Number(page.readBigUInt64LE(0)) * pageSize)
  }
  await file.close()
  await truncate(path, pageCount * pageSize)
}

const bytesOnDisk = async (path: string): Promise<number> => (await stat(path)).blocks * 512

const inFile = (run: (path: string) => Promise<void>): Promise<void> =>
  inDirectory((directory) => run(join(directory, 'data.db')))

const fewPages = [leafPage(3, [{ key: 'b', root: 4 }]), leafPage(4, [{ key: 'k' }])]

test('a sparse file of 64 GiB is written, checked and defragmented as one of a few pages', () =>
  inFile(async (path) => {
    await makeFile(path, 2 ** 26, fewPages)
    {
      await using db = await open(path)
      await db.bucket('b').put('more', 'value')
      await db.checkpoint()
      expect(await db.check()).toMatchObject({ ok: true, keyCount: 2 })
    }
    expect(await bytesOnDisk(path)).toBeLessThan(1 << 20)
    {
      await using db = await open(path, { readOnly: true })
      const { ok, freePages, pageCount } = await db.check()
      expect({ ok, pageCount }).toEqual({ ok: true, pageCount: 2 ** 26 })
      expect(freePages).toBeGreaterThan(2 ** 26 - 100)
    }
    {
      await using db = await open(path)
      await db.defrag()
      expect(db.bucket('b').count()).toBe(2)
    }
    expect((await stat(path)).size).toBeLessThan(1 << 20)
  }))

test('a sparse file of 4 TiB is checked by what is in it', () =>
  inFile(async (path) => {
    await makeFile(path, 2 ** 32, fewPages)
    await using db = await open(path, { readOnly: true })
    expect(await db.check()).toMatchObject({ ok: true, keyCount: 1, pageCount: 2 ** 32 })
  }))

test('values that share their bytes are not given one by one', () =>
  inFile(async (path) => {
    const pageCount = 20_000
    const elements = ['a', 'b', 'c', 'd'].map((key) => ({ key, valueBytes: 16 << 20 }))
    const large = leafPage(4, elements, pageCount - 5)
    await makeFile(path, pageCount, [leafPage(3, [{ key: 'b', root: 4 }]), large])
    await using db = await open(path, { readOnly: true })
    expect(await codeOf(() => [...db.bucket('b').range()])).toBe('ERR_CORRUPT')
    expect(await codeOf(() => [...db.bucket('b').range({ reverse: true })])).toBe('ERR_CORRUPT')
    expect(db.bucket('b').get('a')?.length).toBe(16 << 20)
  }))

test('leaves that share their pages are not read one by one', () =>
  inFile(async (path) => {
    const pageCount = 1000
    const branch = leafPage(
      4,
      [5, 6, 7, 8].map((id) => ({ key: String(id) })),
    )
    branch.writeUInt16LE(1, 8)
    for (const [index, id] of [5, 6, 7, 8].entries()) {
      const at = 16 + 16 * index
      branch.writeUInt32LE(16 * (4 - index) + index, at)
      branch.writeUInt32LE(1, at + 4)
      branch.writeBigUInt64LE(BigInt(id), at + 8)
    }
    const leaves = [5, 6, 7, 8].map((id) => {
      return leafPage(id, [{ key: String(id), valueBytes: 500_000 }], pageCount - id - 1)
    })
    await makeFile(path, pageCount, [leafPage(3, [{ key: 'b', root: 4 }]), branch, ...leaves])
    await using db = await open(path, { readOnly: true })
    expect(await codeOf(() => [...db.bucket('b').range()])).toBe('ERR_CORRUPT')
  }))

test('buckets that share their pages are not listed along every way', () =>
  inFile(async (path) => {
    const ids = Array.from({ length: 40 }, (_, index) => index + 3)
    const both = (root: number): Element[] => ['a', 'b'].map((key) => ({ key, root }))
    const pages = ids.map((id) => leafPage(id, id === 42 ? [{ key: 'k' }] : both(id + 1)))
    await makeFile(path, 2 ** 26, pages)
    {
      await using db = await open(path, { readOnly: true })
      using snapshot = db.snapshot()
      expect(await codeOf(() => [...snapshot.bucketPaths()])).toBe('ERR_CORRUPT')
      expect(await codeOf(() => db.hash())).toBe('ERR_CORRUPT')
    }
    const { code, errors } = await runCommand(script, ['buckets', path, '-r'])
    expect(code).toBe(1)
    expect(errors).toMatch(/ERR_CORRUPT/)
  }))
