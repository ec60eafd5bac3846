// A process is killed at every system call that changes a name or syncs: while it makes, drops or
// renames a store, and while it restores a catalog or a store over one that is there. Whoever opens
// it then finds what was there before or what was to come, whole, and nothing else is left.

import { cp, mkdir, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { expect } from 'vitest'
import { createBackup, open, openCatalog, restoreBackup } from '../../lib/index.ts'
import { Child } from '../support/child.ts'
import { countOf } from '../support/tiers.ts'
import { testIf, toolPath } from '../support/tools.ts'
import { get, put, verifyCatalog } from '../support/with-catalog.ts'
import { inDirectory, leftovers, memoryDirectory, verifyFile } from '../support/with-database.ts'

const calls = ['rename', 'renameat2', 'mkdir', 'rmdir', 'unlink', 'link', 'fsync', 'fdatasync']
const long = 'x'.repeat(500)

/** True: it was killed at a thread's `nth` call of the name. All of node:fs is one thread here. */
async function runAndKill(
  what: string,
  directory: string,
  call: string,
  nth: number,
): Promise<boolean> {
  const inject = `inject=${call}:signal=KILL:when=${nth}`
  const strace = `${toolPath('strace')} -f -qq -o /dev/null -e trace=${call} -e ${inject}`
  const before = `export UV_THREADPOOL_SIZE=1; exec ${strace} "$0" "$@"`
  await using child = new Child('catalog', [what, directory], { before })
  const lines = await child.rest()
  if (lines.includes('done')) return false
  const { code, signal } = await child.exit()
  expect(signal ?? code, child.errors).toBe('SIGKILL')
  return true
}

/** The content of every store, by name. */
async function contentOf(path: string): Promise<Record<string, string>> {
  await using catalog = await openCatalog(path)
  const content: Record<string, string> = {}
  for (const name of await catalog.list())
    content[name] = (await get(catalog, name, 'k')) ?? 'empty'
  return content
}

async function prepare(directory: string): Promise<void> {
  const target = join(directory, 'backups')
  await using catalog = await openCatalog(join(directory, 'catalog'))
  for (const name of ['a', 'b', 'restored']) await put(catalog, name, 'k', 'restored')
  await createBackup(catalog, { target, name: 'catalog' })
  await catalog.use('a', (db) => createBackup(db, { target, name: 'store' }))
  await catalog.drop('restored')
  for (const name of ['a', 'b']) await put(catalog, name, 'k', 'before')
  await using db = await open(join(directory, 'store.db'))
  await db.bucket('b').put('k', 'before')
}

const before = { a: 'before', b: 'before' }
const restored = { a: 'restored', b: 'restored', restored: 'restored' }
const deeds: [string, Record<string, string>][] = [
  ['create', { ...before, new: 'empty' }],
  ['create long', { ...before, [long]: 'empty' }],
  ['drop', { b: 'before' }],
  ['rename', { b: 'before', new: 'before' }],
  ['rename long', { b: 'before', [long]: 'before' }],
  ['restore', restored],
]

/** Of the calls of a deed every n-th is killed before, the first one always. */
const stride = countOf({ short: 9, ci: 1, long: 1 })

/** Calls back with a copy of what was prepared after each kill, and when the deed was done. */
async function killEverywhere(
  what: string,
  inspect: (directory: string) => Promise<void>,
): Promise<void> {
  await inDirectory(async (directory) => {
    const prepared = join(directory, 'prepared')
    await mkdir(prepared)
    await prepare(prepared)
    let kills = 0
    for (const call of calls) {
      for (let isKilled = true, nth = 1; isKilled; nth += stride) {
        const place = join(directory, `${call} ${nth}`)
        await cp(prepared, place, { recursive: true })
        isKilled = await runAndKill(what, place, call, nth)
        if (isKilled) kills++
        await inspect(place)
        await rm(place, { recursive: true })
      }
    }
    console.info(`${kills} kills`)
  }, memoryDirectory)
}

for (const [what, after] of deeds) {
  testIf('strace', `${what}: before or after, nothing in between`, async () => {
    const seen = new Set<string>()
    await killEverywhere(what, async (directory) => {
      const path = join(directory, 'catalog')
      const content = await contentOf(path)
      seen.add(JSON.stringify(content))
      expect([before, after]).toContainEqual(content)
      await verifyCatalog(path)
      const target = join(directory, 'backups')
      await restoreBackup({ target, name: 'catalog', into: path, overwrite: true })
      expect(await readdir(directory)).toEqual(['backups', 'catalog', 'store.db'])
      expect(await contentOf(path)).toEqual(restored)
    })
    expect(seen.size, 'kills came before and after').toBe(2)
  })
}

testIf('strace', 'restore store: before or after, nothing in between', async () => {
  const seen = new Set<string>()
  await killEverywhere('restore store', async (directory) => {
    const path = join(directory, 'store.db')
    const read = async (): Promise<string | undefined> => {
      await using db = await open(path)
      return db.bucket('b', { value: 'utf8' }).get('k')
    }
    const value = await read()
    seen.add(String(value))
    expect(['before', 'restored']).toContain(value)
    expect(leftovers(path).filter((name) => !name.includes('-restore-'))).toEqual([])
    const target = join(directory, 'backups')
    await restoreBackup({ target, name: 'store', into: path, overwrite: true })
    expect(leftovers(path)).toEqual([])
    expect(await read()).toBe('restored')
    await verifyFile(path)
  })
  expect(seen).toEqual(new Set(['before', 'restored']))
})
