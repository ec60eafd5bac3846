// hotbolt backup as a person or a script uses it, on real stores and catalogs: output, JSON and
// exit codes. Runs what `npm run build:ts` has compiled.

import { once } from 'node:events'
import { watch } from 'node:fs'
import { mkdir, open as openFile, readdir, stat, truncate } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { open, openCatalog } from '../../lib/index.ts'
import { repositoryRoot } from '../oracle/root.ts'
import { CommandProcess, runCommand, type Run } from '../support/installed.ts'
import { get, put, verifyCatalog } from '../support/with-catalog.ts'
import { damagedOnPurpose, inDirectory, verifyFile } from '../support/with-database.ts'

const script = join(repositoryRoot, 'dist/lib/cli/main.js')
const backup = (...args: string[]): Promise<Run> => runCommand(script, ['backup', ...args])

/** The JSON of a command that exits with `code`. */
async function json(code: number, ...args: string[]): Promise<Record<string, unknown>> {
  const run = await backup(...args, '--json')
  expect(run, run.errors).toMatchObject({ code })
  return JSON.parse(run.out) as Record<string, unknown>
}

/** Of a value whose copy takes an hour in slowBackup(). */
const large = 4 << 20

interface Places {
  readonly directory: string
  readonly catalog: string
  /** Of backups. */
  readonly target: string
}

/** A closed catalog of the stores `a`, `b`, ...; each with a value of `valueBytes`. */
function withStores(
  names: string,
  run: (places: Places) => Promise<void>,
  valueBytes = 100,
): () => Promise<void> {
  return () =>
    inDirectory(async (directory) => {
      const places = {
        directory,
        catalog: join(directory, 'catalog'),
        target: join(directory, 'backups'),
      }
      await using catalog = await openCatalog(places.catalog)
      for (const name of names) await put(catalog, name, 'key', name.repeat(valueBytes))
      await catalog.close()
      await run(places)
    })
}

const write = async (path: string, store: string, value: string): Promise<void> => {
  await using catalog = await openCatalog(path)
  await put(catalog, store, 'key', value)
}

/** The name of the first entry that the directory has, or gets. */
async function firstEntry(directory: string): Promise<string> {
  await mkdir(directory, { recursive: true })
  const watcher = watch(directory)
  try {
    for (;;) {
      const changed = once(watcher, 'change')
      const [name] = await readdir(directory)
      if (name !== undefined) return name
      await changed
    }
  } finally {
    watcher.close()
  }
}

/** A backup that is so slow that it stands in the middle of its first table. */
async function slowBackup(places: Places, ...args: string[]): Promise<CommandProcess> {
  const slow = ['--bytes-per-second', '1000', '--concurrency', '1']
  const running = new CommandProcess(script, [
    'backup',
    'create',
    places.catalog,
    '--target',
    places.target,
    ...slow,
    ...args,
  ])
  const staging = join(places.target, '.staging')
  const run = join(staging, await firstEntry(staging))
  await firstEntry(join(run, await firstEntry(run)))
  return running
}

async function flip(path: string, at: number): Promise<void> {
  const file = await openFile(path, 'r+')
  const byte = Buffer.alloc(1)
  await file.read(byte, 0, 1, at)
  byte[0]! ^= 1
  await file.write(byte, 0, 1, at)
  await file.close()
}

const filesIn = async (directory: string): Promise<string[]> => {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true })
  return entries.filter((each) => each.isFile()).map((each) => join(each.parentPath, each.name))
}

describe('a backup goes round', () => {
  test(
    'a catalog is backed up, listed, shown, verified, restored and deleted',
    withStores('abc', async ({ directory, catalog, target }) => {
      const before = await verifyCatalog(catalog)
      const report = await json(0, 'create', catalog, '--target', target, '--name', 'one', '--cut')
      expect(report).toMatchObject({ name: 'one', target, warnings: [], leftover: [] })
      expect(report['tables']).toHaveLength(3)
      const [listed] = (await json(0, 'list', '--target', target)) as unknown as object[]
      expect(listed).toMatchObject({
        name: 'one',
        state: 'complete',
        kind: 'catalog',
        tables: 3,
        cut: true,
      })
      expect(await json(0, 'show', 'latest', '--target', target)).toMatchObject({
        name: 'one',
        tables: [{ name: 'a' }, { name: 'b' }, { name: 'c' }],
      })
      for (const depth of ['quick', 'full', 'deep']) {
        const verified = await json(0, 'verify', 'one', '--target', target, '--depth', depth)
        expect(verified).toMatchObject({ ok: true, depth, files: 3, issues: [] })
      }
      const to = join(directory, 'again')
      const restored = await json(0, 'restore', 'latest', '--target', target, '--to', to)
      expect(restored).toMatchObject({ name: 'one', tables: 3 })
      expect(await verifyCatalog(to)).toEqual(before)
      expect(await json(0, 'delete', 'one', '--target', target)).toEqual({ deleted: 'one' })
      expect(await json(0, 'list', '--target', target)).toEqual([])
    }),
  )

  test(
    'what a person reads is in tables',
    withStores('ab', async ({ directory, catalog, target }) => {
      const place = ['--target', target]
      const created = await backup('create', catalog, ...place, '--name', 'one', '--verbose')
      expect(created).toMatchObject({ code: 0, errors: '' })
      expect(created.out).toMatch(/^backup +one\nkept in +.*backups\ntables +2 copied\nsize +/)
      expect(created.out).toMatch(/^TABLE +OUTCOME +FILES +SIZE +FREEZE +COPY +UNFREEZE$/m)
      expect(created.out).toMatch(/^b +copied +1 +\d+\.\d KiB( +[\d.]+ m?s){3}$/m)
      const listed = await backup('list', ...place)
      expect(listed.out).toMatch(/^NAME +CREATED +KIND +TABLES +SIZE +OWN +NEEDS\none +20\d\d-/)
      expect(listed.out).toMatch(/\n1 backup, [\d.]+ KiB\n$/)
      const shown = await backup('show', 'one', ...place)
      expect(shown.out).toMatch(/^of +catalog .*catalog$/m)
      expect((await backup('verify', 'one', ...place)).out).toMatch(/^ok: one, 2 files, .*full/)
      const restored = await backup('restore', 'one', ...place, '--to', join(directory, 'again'))
      expect(restored.out).toMatch(/^Restored 2 tables, [\d.]+ KiB to .*again in [\d.]+ m?s\.\n$/)
      expect((await backup('delete', 'one', ...place)).out).toBe('Deleted one.\n')
      expect((await backup('list', ...place)).out).toMatch(/^There are no backups in /)
    }),
  )

  test(
    'unchanged stores are used again, and a backup that is needed is not deleted',
    withStores('abc', async ({ directory, catalog, target }) => {
      const latest = ['--target', target, '--diff-from', 'latest']
      const first = await backup('create', catalog, ...latest, '--name', 'first')
      expect(first).toMatchObject({ code: 0, errors: expect.stringContaining('no earlier backup') })
      await write(catalog, 'b', 'changed')
      const report = await json(0, 'create', catalog, ...latest, '--name', 'second')
      const outcomes = (report['tables'] as { outcome: string }[]).map(({ outcome }) => outcome)
      expect(outcomes).toEqual(['reused', 'copied', 'reused'])
      expect(await backup('delete', 'first', '--target', target)).toMatchObject({
        code: 1,
        errors: expect.stringContaining('ERR_BACKUP_REQUIRED'),
      })
      expect((await backup('list', '--target', target)).out).toMatch(/^second .* first$/m)
      const to = join(directory, 'again')
      expect(await backup('restore', 'second', '--target', target, '--to', to)).toMatchObject({
        code: 0,
      })
      expect(await verifyCatalog(to)).toEqual(await verifyCatalog(catalog))
    }),
  )

  test(
    'only some stores are backed up, and only some of these restored, over what is there',
    withStores('abcd', async ({ directory, catalog, target }) => {
      const some = ['--include', '[a-z]', '--include', '?', '--exclude', 'd']
      const report = await json(0, 'create', catalog, '--target', target, ...some)
      expect(report['tables']).toMatchObject([{ name: 'a' }, { name: 'b' }, { name: 'c' }])
      const to = join(directory, 'again')
      const restore = ['restore', 'latest', '--target', target, '--to', to]
      expect(await json(0, ...restore, '--exclude', 'b')).toMatchObject({ tables: 2 })
      expect([...(await verifyCatalog(to)).keys()]).toEqual(['a', 'c'])
      const refused = await backup(...restore)
      expect(refused).toMatchObject({ code: 1, errors: expect.stringContaining('ERR_EXISTS') })
      expect(await json(0, ...restore, '--overwrite')).toMatchObject({ tables: 3 })
      await verifyCatalog(to)
      const files = join(directory, 'files')
      const asFiles = ['restore', 'latest', '--target', target, '--to', files, '--files']
      expect(await json(0, ...asFiles)).toMatchObject({ tables: 3 })
      expect(await readdir(files)).toHaveLength(4)
    }),
  )

  test('one store is backed up, and restored as a file', () =>
    inDirectory(async (directory) => {
      const path = join(directory, 'data.db')
      await using database = await open(path)
      await database.bucket('b').put('key', 'value')
      await database.close()
      const target = ['--target', join(directory, 'backups')]
      const report = await json(0, 'create', path, ...target, '--unfreeze', 'inline', '--compact')
      expect(report['tables']).toMatchObject([{ name: 'data.db', outcome: 'copied' }])
      const to = join(directory, 'again.db')
      expect(await backup('restore', 'latest', ...target, '--to', to)).toMatchObject({ code: 0 })
      expect(await verifyFile(to)).toBe(await verifyFile(path))
    }))

  test(
    'prune says what it would do, and does it',
    withStores('a', async ({ catalog, target }) => {
      for (const name of ['one', 'two', 'three']) {
        await json(0, 'create', catalog, '--target', target, '--name', name)
      }
      const rule = ['prune', '--target', target, '--keep-last', '1']
      const names = async (): Promise<string[]> => {
        const backups = (await json(0, 'list', '--target', target)) as unknown as { name: string }[]
        return backups.map(({ name }) => name)
      }
      expect((await backup(...rule, '--dry-run')).out).toMatch(/^would delete +one$/m)
      expect(await names()).toEqual(['one', 'two', 'three'])
      const report = await json(0, ...rule)
      expect(report).toMatchObject({ kept: [{ name: 'three' }] })
      expect((report['deleted'] as string[]).toSorted()).toEqual(['one', 'two'])
      expect(await names()).toEqual(['three'])
      const none = await backup('prune', '--target', target)
      expect(none).toMatchObject({ code: 2, out: '' })
    }),
  )
})

describe('one store as a file', () => {
  test('a copy, a compact one and an etcd snapshot can be verified, and damage is found', () =>
    inDirectory(async (directory) => {
      const path = join(directory, 'data.db')
      await using database = await open(path)
      for (let n = 0; n < 500; n++) await database.bucket('b').put(`key-${n}`, 'v'.repeat(200))
      const hash = await database.hash()
      await database.close()
      for (const style of [[], ['--compact'], ['--format', 'etcd-snapshot']]) {
        const to = damagedOnPurpose(join(directory, `copy${style.join('')}`))
        const report = await json(0, 'create', path, '--to', to, ...style)
        expect(report).toMatchObject({ path: to, sizeBytes: (await stat(to)).size })
        expect(await json(0, 'verify', to)).toMatchObject({ ok: true, keyCount: 500 })
        if (style[0] === '--format') {
          expect((await backup('verify', to)).out).toMatch(/^etcd snapshot, SHA-256 [0-9a-f]{64}\n/)
          await flip(to, (await stat(to)).size - 5000)
          expect(await backup('verify', to)).toMatchObject({ code: 4 })
        } else {
          expect(await verifyFile(to)).toBe(hash)
          await truncate(to, 8192)
          expect(await backup('verify', to)).toMatchObject({ code: 4 })
        }
        expect(await backup('create', path, '--to', to, ...style)).toMatchObject({
          code: 1,
          errors: expect.stringContaining('ERR_EXISTS'),
        })
      }
    }))
})

describe('exit codes', () => {
  test(
    '1: what is not there',
    withStores('a', async ({ directory, catalog, target }) => {
      const none = join(directory, 'none')
      for (const args of [
        ['create', none, '--target', target],
        ['create', catalog, '--target', target, '--include', 'nobody'],
        ['create', catalog, '--target', target, '--diff-from', 'none'],
        ['show', 'none', '--target', target],
        ['show', 'latest', '--target', target],
        ['verify', 'none', '--target', target],
        ['verify', none],
        ['restore', 'none', '--target', target, '--to', none],
      ]) {
        expect(await backup(...args), args.join(' ')).toMatchObject({ code: 1, out: '' })
      }
      expect(await readdir(directory)).not.toContain('none')
    }),
  )

  test(
    '2: what makes no sense',
    withStores('a', async ({ directory, catalog, target }) => {
      const place = ['--target', target]
      for (const args of [
        [],
        ['explode'],
        ['create'],
        ['create', catalog],
        ['create', ...place],
        ['create', catalog, 'another', ...place],
        ['create', catalog, '--clickhouse', 'http://127.0.0.1:1', ...place],
        ['create', catalog, ...place, '--name', '../../one'],
        ['create', catalog, ...place, '--unfreeze', 'never'],
        ['create', catalog, ...place, '--concurrency', 'many'],
        ['create', catalog, ...place, '--concurrency', '0'],
        ['create', catalog, ...place, '--ignore-errors', '60,gone'],
        ['create', catalog, ...place, '--ignore-errors', ''],
        ['create', catalog, ...place, '--format', 'bbolt'],
        ['create', catalog, ...place, '--to', join(directory, 'copy')],
        ['create', catalog, '--target', 's4://bucket'],
        ['create', catalog, ...place, '--s3-endpoint', 'http://127.0.0.1:1'],
        ['list'],
        ['list', 'one', ...place],
        ['show', ...place],
        ['show', '..', ...place],
        ['verify'],
        ['verify', 'one', ...place, '--depth', 'abyss'],
        ['restore', 'one', ...place],
        ['restore', 'one', ...place, '--to', 'a', '--chdb', 'b'],
        ['delete', ...place],
        ['prune', ...place, '--keep-last', '0'],
        ['prune', ...place, '--keep-last', '-1'],
        ['clean', ...place],
      ]) {
        expect(await backup(...args), args.join(' ')).toMatchObject({ code: 2, out: '' })
      }
      expect(await readdir(directory)).toEqual(['catalog'])
    }),
  )

  test(
    '3: a freeze that a killed backup has left is said until it is cleaned up',
    withStores(
      'a',
      async (places) => {
        const { catalog, target } = places
        const killed = await slowBackup(places, '--name', 'killed')
        killed.kill('SIGKILL')
        await killed.end()
        const next = await backup('create', catalog, '--target', target, '--name', 'next')
        expect(next, next.errors).toMatchObject({ code: 3 })
        expect(next.out).toMatch(/^still frozen: a \(\w+\)$/m)
        const dry = await json(0, 'clean', catalog, '--target', target, '--dry-run')
        expect(dry).toMatchObject({ released: [{ table: 'a' }], abandoned: ['killed'] })
        const cleaned = await backup('clean', catalog, '--target', target)
        expect(cleaned, cleaned.errors).toMatchObject({ code: 0 })
        expect(cleaned.out).toMatch(/^released a \(\w+\)\nremoved what is left of killed\n$/)
        expect((await backup('clean', catalog, '--target', target)).out).toMatch(/nothing to clean/)
        expect(await readdir(join(target, '.staging'))).toEqual([])
        expect(await backup('create', catalog, '--target', target)).toMatchObject({ code: 0 })
      },
      large,
    ),
  )

  test(
    '4: every kind of damage, by every command that can find it',
    withStores('ab', async ({ directory, catalog, target }) => {
      await json(0, 'create', catalog, '--target', target, '--name', 'one')
      const [store] = (await filesIn(join(target, 'one/tables'))).toSorted()
      await flip(store!, 4096 * 2)
      const quick = ['verify', 'one', '--target', target, '--depth', 'quick']
      expect(await json(0, ...quick)).toMatchObject({ ok: true })
      const full = await backup('verify', 'one', '--target', target)
      expect(full).toMatchObject({ code: 4, errors: '' })
      expect(full.out).toMatch(/^one\/tables\/.*\ndamaged: one, 1 issue \(full\)\n$/)
      const to = join(directory, 'again')
      expect(await backup('restore', 'one', '--target', target, '--to', to)).toMatchObject({
        code: 4,
        errors: expect.stringContaining('ERR_BACKUP_CORRUPT'),
      })
      expect(await readdir(directory)).toEqual(['backups', 'catalog'])
      await truncate(store!, 10)
      expect(await json(4, ...quick)).toMatchObject({ ok: false, issues: [{}] })
      await flip(join(target, 'one/manifest.json'), 50)
      expect(await backup('show', 'one', '--target', target)).toMatchObject({ code: 4 })
      expect(await json(4, ...quick)).toMatchObject({ issues: [{ key: 'one/manifest.json' }] })
      const listed = await backup('list', '--target', target)
      expect(listed).toMatchObject({ code: 0, out: expect.stringMatching(/^broken: one: /) })
    }),
  )

  test(
    '5: somebody has the catalog, or makes a backup of that name',
    withStores(
      'a',
      async (places) => {
        const { directory, catalog, target } = places
        {
          await using opened = await openCatalog(catalog)
          expect(await get(opened, 'a', 'key')).toHaveLength(large)
          const locked = await backup('create', catalog, '--target', target)
          expect(locked).toMatchObject({ code: 5, out: '' })
        }
        const other = join(directory, 'other')
        await write(other, 'a', 'value')
        const running = await slowBackup(places, '--name', 'one')
        const create = ['create', other, '--target', target, '--name']
        const same = await backup(...create, 'one')
        expect(same, same.errors).toMatchObject({ code: 5 })
        expect(await backup(...create, 'two')).toMatchObject({ code: 0 })
        const cleaned = await backup('clean', other, '--target', target)
        expect(cleaned).toMatchObject({ code: 0, out: 'one is being made: left alone\n' })
        running.kill('SIGKILL')
        await running.end()
      },
      large,
    ),
  )

  test.each(['SIGINT', 'SIGTERM'] as const)('130: %s in the middle leaves nothing', (signal) =>
    withStores(
      'abc',
      async (places) => {
        const { catalog, target } = places
        const before = await verifyCatalog(catalog)
        const running = await slowBackup(places, '--name', 'one')
        running.kill(signal)
        const run = await running.end()
        expect(run, run.errors).toMatchObject({ code: 130, out: '' })
        expect(run.errors).toMatch(/^Interrupted: releasing what is frozen; once more to leave/)
        expect(await filesIn(target)).toEqual([])
        const next = await json(0, 'create', catalog, '--target', target, '--name', 'one')
        expect(next).toMatchObject({ warnings: [], leftover: [] })
        expect(await verifyCatalog(catalog)).toEqual(before)
      },
      large,
    )(),
  )

  test(
    '130: an interrupted restore or copy leaves nothing',
    withStores(
      'a',
      async ({ directory, catalog, target }) => {
        await json(0, 'create', catalog, '--target', target)
        const before = await readdir(directory)
        const slow = ['--bytes-per-second', '1000']
        const again = join(directory, 'new', 'again')
        await mkdir(join(directory, 'new'))
        const restoring = new CommandProcess(script, [
          'backup',
          'restore',
          'latest',
          '--target',
          target,
          '--to',
          again,
          ...slow,
        ])
        await firstEntry(join(directory, 'new'))
        restoring.kill('SIGINT')
        expect(await restoring.end()).toMatchObject({ code: 130, out: '' })
        expect(await readdir(join(directory, 'new'))).toEqual([])
        const source = (await filesIn(join(target))).find((file) => file.endsWith('store.db'))
        const copying = new CommandProcess(script, [
          'backup',
          'create',
          source!,
          '--to',
          again,
          ...slow,
        ])
        await firstEntry(join(directory, 'new'))
        copying.kill('SIGINT')
        expect(await copying.end()).toMatchObject({ code: 130, out: '' })
        expect(await readdir(join(directory, 'new'))).toEqual([])
        expect((await readdir(directory)).filter((name) => name !== 'new')).toEqual(before)
      },
      large,
    ),
  )
})

test('every command has its help, and the overviews name it', async () => {
  const names = ['create', 'list', 'show', 'verify', 'restore', 'delete', 'prune', 'clean']
  const overview = await backup('-h')
  expect(overview).toMatchObject({ code: 0, errors: '' })
  for (const name of names) {
    expect(overview.out).toMatch(new RegExp(`^  ${name} `, 'm'))
    const help = await backup(name, '--help')
    expect(help).toMatchObject({ code: 0, errors: '' })
    expect(help.out).toMatch(new RegExp(`^Usage: hotbolt backup ${name} `))
    expect(help.out.split('\n').filter((line) => line.length > 100)).toEqual([])
  }
  expect((await runCommand(script, ['-h'])).out).toMatch(/^  backup /m)
})
