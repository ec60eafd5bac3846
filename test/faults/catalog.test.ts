// What may lie in a catalog's directory, or be said to it: names that are paths, files and links of
// others, markers that are none, leftovers of crashes, another owner, too few descriptors.

import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { describe, expect, test } from 'vitest'
import {
  catalogDestination,
  createBackup,
  HotboltError,
  open,
  openCatalog,
  restoreBackup,
  type Database,
} from '../../lib/index.ts'
import { encodeName } from '../../lib/names.ts'
import { Child, runChild } from '../support/child.ts'
import { turns } from '../support/gate.ts'
import { patienceMs } from '../support/tiers.ts'
import { testIf } from '../support/tools.ts'
import { get, put, storeFile, verifyCatalog, withCatalog } from '../support/with-catalog.ts'
import { codeOf, inDirectory, openFilesIn } from '../support/with-database.ts'

const digits = '0123456789abcdef0123456789abcdef'

/** As soon as nobody has it locked. */
async function openWhenFree(path: string): Promise<Database> {
  for (;;) {
    try {
      return await open(path)
    } catch (error) {
      if (!HotboltError.is(error, 'ERR_LOCKED')) throw error
      await turns(1)
    }
  }
}

test(
  'names that look like paths lead nowhere',
  withCatalog(async ({ catalog, directory, path }) => {
    const names = ['../out', '..', '.', '/', './a', 'a/../../out', '\\', 'C:\\x', '.catalog', '~']
    for (const name of names) await put(catalog, name, 'k', name)
    expect(readdirSync(directory)).toEqual(['catalog'])
    expect(readdirSync(path).length).toBe(names.length + 1)
    for (const name of names) await catalog.drop(name)
    expect(readdirSync(path)).toEqual(['.catalog'])
  }),
)

describe("what is somebody else's", () => {
  /** Everything under it, with the content of files. */
  const everythingIn = (path: string): string[] =>
    readdirSync(path, { recursive: true, withFileTypes: true })
      .map((entry) => {
        const file = join(entry.parentPath, entry.name)
        return entry.isFile() ? `${file} ${readFileSync(file, 'latin1')}` : file
      })
      .toSorted()

  test(
    'is not listed, not opened and not touched',
    withCatalog(async (context) => {
      const { directory, path } = context
      await context.close()
      const outside = join(directory, 'outside')
      const foreign = join(directory, 'foreign')
      mkdirSync(outside)
      await (await open(join(outside, 'store.db'))).close()
      mkdirSync(foreign)
      const lay = (place: string): void => {
        writeFileSync(join(place, 'notes.txt'), 'mine')
        writeFileSync(join(place, 'file'), 'mine')
        mkdirSync(join(place, 'empty'))
        mkdirSync(join(place, 'backup'))
        writeFileSync(join(place, 'backup', 'data'), 'mine')
        mkdirSync(join(place, 'UPPER'))
        writeFileSync(join(place, 'UPPER', 'store.db'), 'mine')
        mkdirSync(join(place, 'folder', 'store.db'), { recursive: true })
        symlinkSync(outside, join(place, 'link'))
        mkdirSync(join(place, 'linked'))
        symlinkSync(join(outside, 'store.db'), join(place, 'linked', 'store.db'))
        mkdirSync(join(place, `%~${'0'.repeat(64)}`))
        writeFileSync(join(place, `%~${'0'.repeat(64)}`, 'name'), 'x'.repeat(500))
        symlinkSync(outside, join(place, `.dropped-${digits}`))
        symlinkSync(join(outside, 'store.db'), join(place, `.aside-${digits}.db`))
        writeFileSync(join(place, '.dropped-mine'), 'mine')
        mkdirSync(join(place, '.creating-'))
      }
      lay(path)
      lay(foreign)
      const before = everythingIn(outside)
      const catalog = await context.open()
      await put(catalog, 'a', 'k', 'v')
      expect(await catalog.list()).toEqual(['a'])
      for (const name of ['file', 'empty', 'backup', 'folder', 'link', 'linked']) {
        expect(await catalog.has(name)).toBe(false)
        expect(await codeOf(() => catalog.open(name, { create: false }))).toBe('ERR_NOT_FOUND')
        expect(await codeOf(() => catalog.open(name))).toBe('ERR_EXISTS')
        expect(await codeOf(() => catalog.create(name))).toBe('ERR_EXISTS')
        expect(await codeOf(() => catalog.drop(name))).toBe('ERR_NOT_FOUND')
        expect(await codeOf(() => catalog.rename(name, 'b'))).toBe('ERR_NOT_FOUND')
        expect(await codeOf(() => catalog.rename('a', name))).toBe('ERR_EXISTS')
      }
      await catalog.drop('a')
      await context.close()
      expect(everythingIn(outside)).toEqual(before)
      rmSync(join(path, '.catalog'))
      const under = (place: string): string[] =>
        everythingIn(place).map((line) => line.replace(place, ''))
      expect(under(path)).toEqual(under(foreign))
      rmSync(path, { recursive: true })
      await context.open()
    }),
  )

  test(
    'survives that the catalog is replaced by a restore',
    withCatalog(async (context) => {
      const { catalog, directory, path } = context
      await put(catalog, 'a', 'k', 'v')
      const target = join(directory, 'backups')
      await createBackup(catalog, { target, name: 'b' })
      writeFileSync(join(path, 'notes.txt'), 'mine')
      await context.close()
      await restoreBackup({ target, name: 'b', into: path, overwrite: true })
      const replaced = readdirSync(directory).find((name) => name.startsWith('catalog-replaced-'))
      expect(readdirSync(join(directory, replaced!))).toEqual(['notes.txt'])
      await restoreBackup({ target, name: 'b', into: path, overwrite: true })
      expect(existsSync(join(directory, replaced!, 'notes.txt'))).toBe(true)
    }),
  )

  test('a directory is refused whose marker is something else', () =>
    inDirectory(async (directory) => {
      const markers: [string, (path: string) => unknown, string][] = [
        ['text', (path) => writeFileSync(path, 'mine'), 'ERR_NOT_A_DATABASE'],
        ['nothing', (path) => writeFileSync(path, ''), 'ERR_NOT_A_DATABASE'],
        ['folder', (path) => mkdirSync(path), 'ERR_NOT_A_DATABASE'],
        ['link', (path) => symlinkSync('/dev/null', path), 'ERR_NOT_A_DATABASE'],
        ['other', (path) => database(path, 'users', '1'), 'ERR_NOT_A_DATABASE'],
        ['later', (path) => database(path, 'hotbolt-catalog', '2'), 'ERR_VERSION'],
      ]
      for (const [name, make, code] of markers) {
        const path = join(directory, name)
        mkdirSync(path)
        await make(join(path, '.catalog'))
        const before = readdirSync(path)
        for (const readOnly of [false, true]) {
          expect(await codeOf(() => openCatalog(path, { readOnly })), name).toBe(code)
        }
        expect(readdirSync(path)).toEqual(before)
      }
      writeFileSync(join(directory, 'file'), 'mine')
      expect(await codeOf(() => openCatalog(join(directory, 'file')))).toBe('ERR_NOT_A_DATABASE')
      expect(openFilesIn(directory)).toEqual([])
    }))

  async function database(path: string, bucket: string, format: string): Promise<void> {
    const db = await open(path)
    await db.bucket(bucket).put('format', format)
    await db.close()
  }
})

test(
  'leftovers of a crash are removed, never adopted',
  withCatalog(async (context) => {
    const { path } = context
    await put(context.catalog, 'a', 'k', 'v')
    await context.close()
    for (const kind of ['creating', 'dropped']) {
      mkdirSync(join(path, `.${kind}-${digits}`))
      writeFileSync(
        join(path, `.${kind}-${digits}`, 'store.db'),
        readFileSync(storeFile(path, 'a')),
      )
    }
    writeFileSync(join(path, `.aside-${digits}.db`), '')
    const reader = await context.open({ readOnly: true })
    expect(await reader.list()).toEqual(['a'])
    expect(readdirSync(path).length).toBe(5)
    await context.reopen()
    expect(readdirSync(path).toSorted()).toEqual(['.catalog', 'a'])
  }),
)

test(
  'a rename to a long name that stopped half way is finished or has not happened',
  withCatalog(async (context) => {
    const { path } = context
    const [long, longer] = ['x'.repeat(400), 'y'.repeat(500)]
    await put(context.catalog, long, 'k', 'v')
    await context.close()
    const place = join(path, encodeName(long))
    writeFileSync(join(place, 'name.next'), longer)
    expect(await (await context.open()).list()).toEqual([long])
    await context.close()
    renameSync(place, join(path, encodeName(longer)))
    expect(await get(await context.open(), longer, 'k')).toBe('v')
    await context.catalog.rename(longer, long)
    expect(await get(context.catalog, long, 'k')).toBe('v')
  }),
)

test(
  'what cannot be opened leaves nothing open, and the others alone',
  withCatalog(async (context) => {
    const { path } = context
    for (const name of ['a', 'b', 'c']) await put(context.catalog, name, 'k', name)
    await context.close()
    const damaged = storeFile(path, 'b')
    const content = readFileSync(damaged)
    writeFileSync(damaged, 'mine')
    const catalog = await context.open()
    const codes = await Promise.all(
      Array.from({ length: 10 }, () => codeOf(() => catalog.open('b'))),
    )
    expect(new Set(codes)).toEqual(new Set(['ERR_NOT_A_DATABASE']))
    expect(openFilesIn(dirname(damaged))).toEqual([])
    expect(catalog.stats()).toMatchObject({ openStores: 0, usedStores: 0 })
    const target = join(context.directory, 'backups')
    expect(await codeOf(() => createBackup(catalog, { target, name: 'b' }))).toBe(
      'ERR_NOT_A_DATABASE',
    )
    const cut = { target, name: 'b', freezeAllFirst: true }
    expect(await codeOf(() => createBackup(catalog, cut))).toBe('ERR_NOT_A_DATABASE')
    expect(catalog.stats().freezes).toBe(0)
    expect(await get(catalog, 'a', 'k')).toBe('a')
    writeFileSync(damaged, content)
    expect(await get(catalog, 'b', 'k')).toBe('b')
  }),
)

test(
  'a store that somebody else has open is locked, and can be had later',
  withCatalog(async ({ catalog, path }) => {
    await catalog.create('a')
    const db = await open(storeFile(path, 'a'))
    expect(await codeOf(() => catalog.open('a'))).toBe('ERR_LOCKED')
    await db.close()
    await put(catalog, 'a', 'k', 'v')
  }),
)

describe('another process', () => {
  test('cannot have the catalog, nor replace it', () =>
    inDirectory(async (directory) => {
      const path = join(directory, 'catalog')
      const target = join(directory, 'backups')
      {
        await using catalog = await openCatalog(path)
        await put(catalog, 'a', 'k', 'v')
        await createBackup(catalog, { target, name: 'catalog' })
      }
      await using child = new Child('catalog', ['hold', directory])
      expect(await child.line()).toBe('open')
      expect(await codeOf(() => openCatalog(path))).toBe('ERR_LOCKED')
      expect(await codeOf(() => openCatalog(path, { readOnly: true }))).toBe('ERR_LOCKED')
      const into = catalogDestination(path)
      const restoring = { target, name: 'catalog', into }
      expect(await codeOf(() => restoreBackup(restoring))).toBe('ERR_EXISTS')
      const overwriting = { ...restoring, overwrite: true }
      expect(await codeOf(() => restoreBackup(overwriting))).toBe('ERR_LOCKED')
      const waiting = openCatalog(path, { lockTimeoutMs: patienceMs })
      child.release()
      await (await waiting).close()
      expect((await child.exit()).code).toBe(0)
      await restoreBackup(overwriting)
      await verifyCatalog(path)
      expect(readdirSync(directory).toSorted()).toEqual(['backups', 'catalog'])
    }))

  test('is refused while this one has it, a restore too', () =>
    inDirectory(async (directory) => {
      const path = join(directory, 'catalog')
      await using catalog = await openCatalog(path)
      const target = join(directory, 'backups')
      await put(catalog, 'a', 'k', 'v')
      await createBackup(catalog, { target, name: 'catalog' })
      await put(catalog, 'a', 'k', 'w')
      for (const what of ['make', 'drop', 'restore']) {
        await expect(runChild('catalog', [what, directory])).rejects.toThrow('ERR_LOCKED')
      }
      expect(await get(catalog, 'a', 'k')).toBe('w')
    }))
})

describe('where something is already', () => {
  test('nothing is restored unless it is a catalog, and may be', () =>
    inDirectory(async (directory) => {
      const target = join(directory, 'backups')
      {
        await using catalog = await openCatalog(join(directory, 'catalog'))
        await put(catalog, 'a', 'k', 'v')
        await createBackup(catalog, { target, name: 'b' })
      }
      const into = (name: string, overwrite: boolean): Promise<unknown> =>
        restoreBackup({ target, name: 'b', into: join(directory, name), overwrite })
      writeFileSync(join(directory, 'file'), 'mine')
      mkdirSync(join(directory, 'folder'))
      writeFileSync(join(directory, 'folder', 'notes.txt'), 'mine')
      symlinkSync(join(directory, 'nowhere'), join(directory, 'dangling'))
      symlinkSync(join(directory, 'folder'), join(directory, 'link'))
      const before = readdirSync(directory).toSorted()
      for (const name of ['file', 'folder', 'dangling', 'link']) {
        for (const overwrite of [false, true]) {
          expect(await codeOf(() => into(name, overwrite)), name).toBe('ERR_EXISTS')
        }
      }
      expect(await codeOf(() => into('catalog', false))).toBe('ERR_EXISTS')
      expect(readdirSync(directory).toSorted()).toEqual(before)
      mkdirSync(join(directory, 'empty'))
      await into('empty', false)
      await verifyCatalog(join(directory, 'empty'))
      await into('new/deep', false)
      symlinkSync(join(directory, 'empty'), join(directory, 'leads'))
      await into('leads', true)
      expect((await verifyCatalog(join(directory, 'empty'))).size).toBe(1)
    }))

  test('a damaged store is replaced, and the journal beside it goes', () =>
    inDirectory(async (directory) => {
      const target = join(directory, 'backups')
      const path = join(directory, 'data.db')
      const db = await open(path)
      await db.bucket('b').put('k', 'v')
      await createBackup(db, { target, name: 'b' })
      await db.bucket('b').put('k', 'w')
      const journal = `${path}-journal-00000001`
      const kept = readFileSync(journal)
      await db.close()
      writeFileSync(path, 'damaged')
      writeFileSync(journal, kept)
      const restoring = { target, name: 'b', into: path }
      expect(await codeOf(() => restoreBackup(restoring))).toBe('ERR_EXISTS')
      await restoreBackup({ ...restoring, overwrite: true })
      rmSync(path)
      writeFileSync(journal, kept)
      expect(await codeOf(() => restoreBackup(restoring))).toBe('ERR_EXISTS')
      await restoreBackup({ ...restoring, overwrite: true })
      expect(readdirSync(directory).toSorted()).toEqual(['backups', 'data.db'])
      await using restored = await open(path)
      expect(restored.bucket('b', { value: 'utf8' }).get('k')).toBe('v')
    }))

  test('whoever opens the restored store at once loses nothing of what it writes', () =>
    inDirectory(async (directory) => {
      const target = join(directory, 'backups')
      const path = join(directory, 'data.db')
      for (let round = 0; round < 10; round++) {
        const name = `b${round}`
        {
          await using db = await open(path)
          await db.bucket('b').put('k', 'v')
          await createBackup(db, { target, name })
        }
        const restoring = restoreBackup({ target, name, into: path, overwrite: true })
        while (!readdirSync(directory).some((file) => file.startsWith('data.db-restore-'))) {
          await turns(1)
        }
        await using db = await openWhenFree(path)
        await db.bucket('b').put('acknowledged', String(round))
        await restoring
        // What a kill would leave.
        const killed = join(directory, `killed-${round}`)
        mkdirSync(killed)
        for (const file of readdirSync(directory).filter((each) => each.startsWith('data.db'))) {
          writeFileSync(join(killed, file), readFileSync(join(directory, file)))
        }
        await using after = await open(join(killed, 'data.db'))
        const value = after.bucket('b', { value: 'utf8' }).get('acknowledged')
        expect(value, `round ${round}`).toBe(String(round))
      }
    }))
})

testIf('linux', 'with few descriptors fewer stores are open, and the error says what it is', () =>
  inDirectory(async (directory) => {
    const before = 'ulimit -n 100'
    const [made, leased, code] = await runChild('descriptors', [directory], { before })
    expect(Number(made)).toBe(100)
    expect(Number(leased)).toBeGreaterThan(10)
    expect(code).toBe('ERR_IO EMFILE')
    {
      await using catalog = await openCatalog(join(directory, 'catalog'))
      for (const name of await catalog.list()) expect(await get(catalog, name, 'k')).toBe('v')
    }
    await verifyCatalog(join(directory, 'catalog'))
  }),
)
