// What is done with backups that are there: listed, verified, restored, deleted.

import { randomBytes } from 'node:crypto'
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { encodeName } from '../../lib/names.ts'
import { listBackups } from '../../lib/backup/backups.ts'
import type { TransferProgress } from '../../lib/backup/backup-options.ts'
import { deleteBackup } from '../../lib/backup/delete.ts'
import { directoryTarget } from '../../lib/backup/directory-target.ts'
import { FreezeJournal } from '../../lib/backup/freeze-journal.ts'
import type { RestoreDestination } from '../../lib/backup/freeze-source.ts'
import { decodeManifest, readManifest } from '../../lib/backup/manifest.ts'
import { restoreBackup } from '../../lib/backup/restore.ts'
import { filesDestination } from '../../lib/backup/restore-files.ts'
import type { Target } from '../../lib/backup/target.ts'
import { verifyBackup } from '../../lib/backup/verify.ts'
import { manifestOf, mixedTables, putBackup, sealed, storeBytes } from '../support/backups.ts'
import type { MadeTable } from '../support/backups.ts'
import { MemoryTarget } from '../support/memory-target.ts'
import { expectRefusal } from '../support/refusal.ts'
import { keysIn } from '../support/target-contract.ts'
import { damagedOnPurpose, inDirectory, openFilesIn, verifyFile } from '../support/with-database.ts'

type Context = { readonly target: Target; readonly directory: string }

function withTarget(kind: string, run: (context: Context) => Promise<void>): () => Promise<void> {
  return () =>
    inDirectory(async (directory) => {
      const isMemory = kind === 'memory'
      const target = isMemory ? new MemoryTarget() : directoryTarget(join(directory, 'backups'))
      await run({ target, directory })
      expect(openFilesIn(directory), 'no descriptor stays open').toEqual([])
    })
}

async function expectRestored(directory: string, tables: readonly MadeTable[]): Promise<void> {
  const folders = tables.map(({ name }) => encodeName(name))
  const expected = ['.hotbolt-manifest.json', ...folders].toSorted()
  expect((await readdir(directory)).toSorted()).toEqual(expected)
  for (const { name, contents } of tables) {
    const folder = join(directory, encodeName(name))
    const entries = await readdir(folder, { recursive: true, withFileTypes: true })
    expect(entries.filter((entry) => entry.isFile())).toHaveLength(Object.keys(contents).length)
    for (const [path, content] of Object.entries(contents)) {
      expect((await readFile(join(folder, path))).equals(Buffer.from(content)), path).toBe(true)
    }
  }
}

describe.each(['directory', 'memory'])('in a target of kind %s', (kind) => {
  test(
    'a whole backup is verified in every depth, and its progress told',
    withTarget(kind, async ({ target }) => {
      const manifest = await putBackup(target, 'one', mixedTables)
      const files = manifest.tables.flatMap((table) => table.files)
      const sizeBytes = files.reduce((sum, file) => sum + file.sizeBytes, 0)
      for (const depth of ['quick', 'full', 'deep', undefined] as const) {
        const told: TransferProgress[] = []
        const onProgress = (progress: TransferProgress): void => void told.push(progress)
        const report = await verifyBackup({ target, name: 'one', depth, onProgress })
        const expected = { ok: true, name: 'one', depth: depth ?? 'full', files: files.length }
        expect(report).toEqual({ ...expected, sizeBytes, issues: [] })
        if (depth === 'quick') continue
        expect(told.at(-1)).toMatchObject({ tablesTotal: 3, tablesDone: 3, bytesTotal: sizeBytes })
        expect(told.at(-1)?.bytesDone).toBe(sizeBytes)
      }
    }),
  )

  test(
    'a backup comes back as files, with its manifest',
    withTarget(kind, async ({ target, directory }) => {
      const manifest = await putBackup(target, 'one', mixedTables)
      const path = join(directory, 'deep/restored')
      const told: TransferProgress[] = []
      const report = await restoreBackup(filesDestination(path), {
        target,
        name: 'one',
        tableConcurrency: 2,
        onProgress: (progress) => void told.push(progress),
      })
      expect(report).toMatchObject({ name: 'one', tables: 3 })
      expect(told.at(-1)).toMatchObject({ tablesDone: 3, bytesDone: report.sizeBytes })
      await expectRestored(path, mixedTables)
      const beside = await readFile(join(path, '.hotbolt-manifest.json'))
      expect(await decodeManifest(beside, 'one')).toEqual(manifest)
      expect(await readdir(join(directory, 'deep'))).toEqual(['restored'])
    }),
  )

  test(
    'the tables that are meant come back, and their owners with them',
    withTarget(kind, async ({ target, directory }) => {
      await putBackup(target, 'zero', mixedTables)
      const [first, ...others] = mixedTables
      const mine = { name: 'mine', contents: { a: 'b' } }
      await putBackup(target, 'one', [{ ...first!, owner: 'zero' }, ...others, mine])
      const options = { target, name: 'one', include: ['u*', 'mine'], exclude: ['*x*'] }
      await restoreBackup(filesDestination(join(directory, 'both')), options)
      await expectRestored(join(directory, 'both'), [first!, mine])
      const include = ['min?']
      await restoreBackup(filesDestination(join(directory, 'one')), { ...options, include })
      await expectRestored(join(directory, 'one'), [mine])
      const beside = await readFile(join(directory, 'one/.hotbolt-manifest.json'))
      expect((await decodeManifest(beside, 'one')).requires).toEqual([])
      const none = filesDestination(join(directory, 'none'))
      const refused = { ...options, include: ['miin?'] }
      await expectRefusal('ERR_NOT_FOUND', () => restoreBackup(none, refused))
      expect((await readdir(directory)).filter((name) => name !== 'backups').toSorted()).toEqual([
        'both',
        'one',
      ])
    }),
  )

  test(
    'stores come back as bbolt finds them in order; verifying deep looks into them',
    withTarget(kind, async ({ target, directory }) => {
      const source = { kind: 'catalog', id: 'x' }
      const stores = [
        { name: 'small', contents: { 'data.db': await storeBytes(3) } },
        { name: 'large', contents: { 'data.db': await storeBytes(3000) } },
      ]
      await putBackup(target, 'one', stores, { source })
      const report = await verifyBackup({ target, name: 'one', depth: 'deep' })
      expect(report.issues).toEqual([])
      await restoreBackup(filesDestination(join(directory, 'out')), { target, name: 'one' })
      await expectRestored(join(directory, 'out'), stores)
      for (const { name } of stores) await verifyFile(join(directory, 'out', name, 'data.db'))
    }),
  )

  test(
    'a store that was damaged before it was hashed is found by verifying deep',
    withTarget(kind, async ({ target, directory }) => {
      const source = { kind: 'catalog', id: 'x' }
      const bytes = await storeBytes(3000)
      bytes.fill(0xee, bytes.length - 3000, bytes.length - 1000)
      const noStore = { name: 'none', contents: { 'data.db': randomBytes(5000) } }
      const tables = [{ name: 'bad', contents: { 'data.db': bytes } }, noStore]
      damagedOnPurpose(join(directory, 'backups', 'one'))
      await putBackup(target, 'one', tables, { source })
      expect((await verifyBackup({ target, name: 'one', depth: 'full' })).ok).toBe(true)
      const { ok, issues } = await verifyBackup({ target, name: 'one', depth: 'deep' })
      expect(ok).toBe(false)
      expect(new Set(issues.map(({ key }) => key))).toEqual(
        new Set(['one/tables/bad/data.db', 'one/tables/none/data.db']),
      )
      expect(await keysIn(target)).toHaveLength(3)
    }),
  )

  test(
    'backups are listed by time; broken ones with the reason, foreign names not at all',
    withTarget(kind, async ({ target }) => {
      expect(await listBackups(target)).toEqual([])
      const at = (day: string): object => ({ createdAt: `2026-01-${day}T00:00:00.000Z` })
      await putBackup(target, 'late', mixedTables, at('03'))
      await putBackup(target, 'early', [{ name: 't', contents: { a: 'four' } }], at('01'))
      const reused = [{ name: 't', contents: { a: 'four' }, owner: 'early' }]
      const own = { name: 'u', contents: { b: 'seven!!' } }
      await putBackup(target, 'middle', [...reused, own], { ...at('02'), cut: true })
      await target.put('damaged/manifest.json', Buffer.from('{}'))
      await target.put('unfinished/tables/t/a', Buffer.from('x'))
      await target.put('%20x/manifest.json', Buffer.from('x'))
      await target.put('file', Buffer.from('x'))
      const listed = await listBackups(target)
      expect(listed.map(({ name }) => name)).toEqual([
        'damaged',
        'unfinished',
        'early',
        'middle',
        'late',
      ])
      expect(listed[3]).toEqual({
        name: 'middle',
        state: 'complete',
        createdAt: '2026-01-02T00:00:00.000Z',
        kind: 'files',
        tables: 2,
        sizeBytes: 11,
        ownBytes: 7,
        requires: ['early'],
        cut: true,
      })
      expect(listed[0]).toMatchObject({ state: 'broken', createdAt: '' })
      expect(listed[0]?.problem).toContain('damaged')
      expect(listed[1]).toMatchObject({
        state: 'broken',
        problem: expect.stringContaining('manifest'),
      })
    }),
  )

  test(
    'a backup is deleted with all that it has, and no other is touched',
    withTarget(kind, async ({ target }) => {
      await putBackup(target, 'one', mixedTables)
      const before = await keysIn(target)
      await putBackup(target, 'one-two', mixedTables)
      await target.put('one-two/tables/extra', Buffer.from('x'))
      await deleteBackup({ target, name: 'one-two' })
      expect(await keysIn(target)).toEqual(before)
      await expectRefusal('ERR_NOT_FOUND', () => deleteBackup({ target, name: 'one-two' }))
    }),
  )

  test(
    'a backup that another needs is not deleted before it',
    withTarget(kind, async ({ target }) => {
      const tables = [{ name: 't', contents: { a: 'x' } }]
      await putBackup(target, 'base', tables)
      await putBackup(target, 'next', [{ ...tables[0]!, owner: 'base' }])
      await putBackup(target, 'third', [{ ...tables[0]!, owner: 'base' }])
      const error = await expectRefusal('ERR_BACKUP_REQUIRED', () =>
        deleteBackup({ target, name: 'base' }),
      )
      expect(error.message).toMatch(/next.*third/)
      expect((await verifyBackup({ target, name: 'next' })).ok).toBe(true)
      await deleteBackup({ target, name: 'next' })
      await deleteBackup({ target, name: 'third' })
      await deleteBackup({ target, name: 'base' })
      expect(await keysIn(target)).toEqual([])
    }),
  )

  test(
    'one that cannot say what it needs keeps the others, unless they are damaged too',
    withTarget(kind, async ({ target }) => {
      await putBackup(target, 'whole', mixedTables)
      await target.put('damaged/manifest.json', Buffer.from('{}'))
      await target.put('unfinished/tables/a', Buffer.from('x'))
      const refusal = (name: string): Promise<Error> =>
        expectRefusal('ERR_BACKUP_REQUIRED', () => deleteBackup({ target, name }))
      expect((await refusal('whole')).message).toMatch(/damaged/)
      await target.put('second/manifest.json', Buffer.from('{}'))
      await deleteBackup({ target, name: 'damaged' })
      const later = sealed({ ...manifestOf('later'), version: 2 })
      await target.put('later/manifest.json', later)
      expect((await refusal('second')).message).toMatch(/later/)
      await deleteBackup({ target, name: 'later' })
      await deleteBackup({ target, name: 'second' })
      await deleteBackup({ target, name: 'whole' })
      await deleteBackup({ target, name: 'unfinished' })
      expect(await keysIn(target)).toEqual([])
    }),
  )
})

test('the manifest goes first; what is cut short is no backup, and can be finished', async () => {
  const target = new MemoryTarget()
  await putBackup(target, 'one', mixedTables)
  const count = target.objects.size
  const remove = target.delete.bind(target)
  for (let left = 0; left < count - 1; left++) {
    let calls = 0
    const deleted: string[] = []
    target.delete = async (key) => {
      if (calls++ > left) throw new Error('the power is cut here')
      deleted.push(key)
      await remove(key)
    }
    await putBackup(target, 'one', mixedTables)
    const refused = await expectRefusal('ERR_IO', () => deleteBackup({ target, name: 'one' }))
    expect(refused.message).toContain('the power is cut')
    expect(deleted[0]).toBe('one/manifest.json')
    await expectRefusal('ERR_NOT_FOUND', () => readManifest(target, 'one'))
    expect((await listBackups(target)).map(({ state }) => state)).toEqual(['broken'])
  }
  target.delete = remove
  await deleteBackup({ target, name: 'one' })
  expect(await keysIn(target)).toEqual([])
})

test('what is being made is not deleted, nor what it may need', () =>
  inDirectory(async (directory) => {
    const target = directoryTarget(directory)
    await putBackup(target, 'base', mixedTables)
    const journal = await FreezeJournal.create(target.stateDirectory!, 'next')
    try {
      await target.put('next/tables/t/a', Buffer.from('x'))
      await expectRefusal('ERR_LOCKED', () => deleteBackup({ target, name: 'next' }))
      const refused = await expectRefusal('ERR_LOCKED', () =>
        deleteBackup({ target, name: 'base' }),
      )
      expect(refused.message).toContain('next')
      expect(await keysIn(target)).toHaveLength(6)
      // It has its manifest, which does not require the other: what follows is only unfreezing.
      await putBackup(target, 'next', [{ name: 't', contents: { a: 'x' } }])
      await deleteBackup({ target, name: 'base' })
      await expectRefusal('ERR_LOCKED', () => deleteBackup({ target, name: 'next' }))
    } finally {
      await journal.close()
    }
    await deleteBackup({ target, name: 'next' })
    expect(await readdir(directory)).toEqual(['.state'])
    expect(await readdir(join(directory, '.state'))).toEqual([])
  }))

test('a backup that came to need another as that was being deleted keeps it', async () => {
  const target = new MemoryTarget()
  await putBackup(target, 'base', mixedTables)
  const before = await keysIn(target)
  const remove = target.delete.bind(target)
  target.delete = async (key) => {
    target.delete = remove
    // It has read the manifest of the other, and puts its own in the last moment.
    await putBackup(target, 'next', [{ ...mixedTables[0]!, owner: 'base' }])
    await remove(key)
  }
  const deletion = (): Promise<void> => deleteBackup({ target, name: 'base' })
  expect((await expectRefusal('ERR_BACKUP_REQUIRED', deletion)).message).toContain('next')
  expect((await keysIn(target)).filter((key) => key.startsWith('base/'))).toEqual(before)
  for (const name of ['base', 'next']) expect((await verifyBackup({ target, name })).ok).toBe(true)
})

test('a backup that is completed as another is being deleted is asked what it needs', async () => {
  const target = new MemoryTarget()
  await putBackup(target, 'base', mixedTables)
  await target.put('next/tables/t/a', Buffer.from('x'))
  const list = target.list.bind(target)
  // Between the look at it, which finds it without a manifest, and the question whether it runs.
  target.list = (prefix) => {
    if (prefix === 'next/') {
      target.list = list
      const t = { name: 't', contents: { a: 'x' } }
      const whole = putBackup(target, 'next', [{ ...mixedTables[0]!, owner: 'base' }, t])
      return after(whole, () => list(prefix))
    }
    return list(prefix)
  }
  await expectRefusal('ERR_BACKUP_REQUIRED', () => deleteBackup({ target, name: 'base' }))
  expect((await verifyBackup({ target, name: 'next' })).ok).toBe(true)
})

async function* after<T>(work: Promise<unknown>, items: () => AsyncIterable<T>): AsyncIterable<T> {
  await work
  yield* items()
}

test('what a target throws is an error of ours with the cause, from every verb', async () => {
  const cause = new TypeError('fetch failed: no route')
  const verbs = {
    get: () => Promise.reject(cause),
    list: () => failing(cause),
    delete: () => Promise.reject(cause),
  }
  for (const [verb, instead] of Object.entries(verbs)) {
    const inner = new MemoryTarget()
    await putBackup(inner, 'one', mixedTables)
    const target = Object.assign(inner, { [verb]: instead })
    const destination: RestoreDestination = { kind: undefined, begin: () => Promise.reject(cause) }
    const calls = {
      get: [() => verifyBackup({ target, name: 'one' })],
      list: [() => verifyBackup({ target, name: 'one' }), () => listBackups(target)],
      delete: [() => deleteBackup({ target, name: 'one' })],
    }[verb as keyof typeof verbs]
    for (const call of calls) expect((await expectRefusal('ERR_IO', call)).cause).toBe(cause)
    if (verb !== 'get') continue
    const restore = (): Promise<unknown> => restoreBackup(destination, { target, name: 'one' })
    expect((await expectRefusal('ERR_IO', restore)).cause).toBe(cause)
  }
})

// oxlint-disable-next-line require-yield
async function* failing(error: Error): AsyncIterable<never> {
  throw error
}

describe('restoring', () => {
  test('replaces nothing unless it is asked to, and then all of it', () =>
    inDirectory(async (directory) => {
      const target = directoryTarget(join(directory, 'backups'))
      await putBackup(target, 'one', mixedTables)
      await putBackup(target, 'two', mixedTables.slice(0, 1))
      const path = join(directory, 'out')
      await mkdir(path)
      await writeFile(join(path, 'mine'), 'precious')
      const destination = filesDestination(path)
      await expectRefusal('ERR_EXISTS', () => restoreBackup(destination, { target, name: 'one' }))
      expect(await readdir(path)).toEqual(['mine'])
      await restoreBackup(destination, { target, name: 'one', overwrite: true })
      await expectRestored(path, mixedTables)
      await restoreBackup(destination, { target, name: 'two', overwrite: true })
      await expectRestored(path, mixedTables.slice(0, 1))
      expect((await readdir(directory)).toSorted()).toEqual(['backups', 'out'])
    }))

  test('one into a place at a time', () =>
    inDirectory(async (directory) => {
      const target = new MemoryTarget()
      await putBackup(target, 'one', mixedTables)
      let open = (): void => {}
      const gate = new Promise<void>((resolve) => (open = resolve))
      let begin = (): void => {}
      const begun = new Promise<void>((resolve) => (begin = resolve))
      target.beforeChunk = (key) => {
        if (key === 'one/manifest.json') return
        begin()
        return gate
      }
      const destination = filesDestination(join(directory, 'out'))
      const first = restoreBackup(destination, { target, name: 'one' })
      await begun
      await expectRefusal('ERR_LOCKED', () => restoreBackup(destination, { target, name: 'one' }))
      open()
      await first
      await expectRestored(join(directory, 'out'), mixedTables)
      expect(await readdir(directory)).toEqual(['out'])
    }))

  test('never among the backups, nor over them', () =>
    inDirectory(async (directory) => {
      const target = directoryTarget(join(directory, 'data/backups'))
      await putBackup(target, 'one', mixedTables)
      const before = await keysIn(target)
      for (const path of ['data', 'data/backups', 'data/backups/one', 'data/backups/new/x', '.']) {
        const destination = filesDestination(join(directory, path))
        const options = { target, name: 'one', overwrite: true }
        await expectRefusal('ERR_INVALID_ARGUMENT', () => restoreBackup(destination, options))
      }
      expect(await keysIn(target)).toEqual(before)
      await restoreBackup(filesDestination(join(directory, 'data/backups2')), {
        target,
        name: 'one',
      })
    }))

  test('needs a destination of its kind', async () => {
    const target = new MemoryTarget()
    await putBackup(target, 'one', mixedTables)
    const begin = (): never => {
      throw new Error('must not begin')
    }
    const refused = await expectRefusal('ERR_INVALID_ARGUMENT', () =>
      restoreBackup({ kind: 'catalog', begin }, { target, name: 'one' }),
    )
    expect(refused.message).toMatch(/files.*catalog/)
  })

  test.each(['directoryFor', 'complete', 'commit'] as const)(
    'ends with abort() when %s of the destination fails',
    async (verb) => {
      const target = new MemoryTarget()
      await putBackup(target, 'one', mixedTables)
      await inDirectory(async (directory) => {
        const calls: string[] = []
        const inner = filesDestination(join(directory, 'out'))
        const destination: RestoreDestination = {
          kind: 'files',
          begin: async (manifest, options) => {
            const session = await inner.begin(manifest, options)
            const failing = (): never => {
              throw new Error('it does not want to')
            }
            return {
              directoryFor: (table) => session.directoryFor(table),
              complete: (...args) => session.complete(...args),
              commit: () => session.commit(),
              [verb]: failing,
              abort: async () => {
                calls.push('abort')
                await session.abort()
              },
            }
          },
        }
        const refused = restoreBackup(destination, { target, name: 'one' })
        await expect(refused).rejects.toThrow('does not want to')
        expect(calls).toEqual(['abort'])
        expect(await readdir(directory)).toEqual([])
      })
    },
  )

  test('is cancelled by its signal, or a callback that throws, and leaves nothing', () =>
    inDirectory(async (directory) => {
      const target = new MemoryTarget()
      await putBackup(target, 'one', mixedTables)
      const destination = filesDestination(join(directory, 'out'))
      const controller = new AbortController()
      const reason = new Error('enough')
      target.beforeChunk = (key) => {
        if (key !== 'one/manifest.json') controller.abort(reason)
      }
      const { signal } = controller
      const options = { target, name: 'one', signal }
      const error = await expectRefusal('ERR_ABORTED', () => restoreBackup(destination, options))
      expect(error.cause).toBe(reason)
      await expectRefusal('ERR_ABORTED', () => restoreBackup(destination, options))
      target.beforeChunk = () => {}
      const onProgress = (): void => {
        throw reason
      }
      const thrown = restoreBackup(destination, { target, name: 'one', onProgress })
      await expect(thrown).rejects.toBe(reason)
      const later = (): unknown => Promise.reject(reason)
      const rejected = restoreBackup(destination, { target, name: 'one', onProgress: later })
      await expect(rejected).rejects.toBe(reason)
      expect(await readdir(directory)).toEqual([])
    }))

  test('is as slow as it is told to be, and cancelled in the middle of a file', () =>
    inDirectory(async (directory) => {
      const contents = { large: Buffer.alloc(3 << 20, 'x') }
      for (const target of [new MemoryTarget(), directoryTarget(join(directory, 'backups'))]) {
        await putBackup(target, 'one', [{ name: 't', contents }])
        const destination = filesDestination(join(directory, 'out'))
        const controller = new AbortController()
        const onProgress = ({ bytesDone }: TransferProgress): void => {
          if (bytesDone > 0) controller.abort()
        }
        const { signal } = controller
        // A minute and more, if it were not cancelled.
        const options = { target, name: 'one', bytesPerSecond: 40_000, signal, onProgress }
        await expectRefusal('ERR_ABORTED', () => restoreBackup(destination, options))
        const { durationMs } = await restoreBackup(destination, {
          target,
          name: 'one',
          bytesPerSecond: 4 << 20,
        })
        expect(durationMs).toBeGreaterThan(400)
        await rm(join(directory, 'out'), { recursive: true })
        expect((await readdir(directory)).filter((name) => name !== 'backups')).toEqual([])
      }
    }))

  test('puts back what a restore had moved away that was killed then', () =>
    inDirectory(async (directory) => {
      const target = new MemoryTarget()
      await putBackup(target, 'one', mixedTables)
      const work = join(directory, '.out.hotbolt-restore')
      await mkdir(join(work, 'replaced'), { recursive: true })
      await writeFile(join(work, 'replaced/mine'), 'precious')
      await mkdir(join(work, 'content'))
      const destination = filesDestination(join(directory, 'out'))
      await expectRefusal('ERR_EXISTS', () => restoreBackup(destination, { target, name: 'one' }))
      expect(await readFile(join(directory, 'out/mine'), 'utf8')).toBe('precious')
      expect(await readdir(directory)).toEqual(['out'])
    }))
})

test.each(['directory', 'memory'])('verifying is cancelled, in a target of kind %s', (kind) =>
  withTarget(kind, async ({ target }) => {
    await putBackup(target, 'one', mixedTables)
    const reason = new Error('enough')
    const aborted = { target, name: 'one', signal: AbortSignal.abort(reason) }
    expect((await expectRefusal('ERR_ABORTED', () => verifyBackup(aborted))).cause).toBe(reason)
    const controller = new AbortController()
    const { signal } = controller
    const onProgress = (): void => controller.abort(reason)
    const later = { target, name: 'one', signal, onProgress }
    expect((await expectRefusal('ERR_ABORTED', () => verifyBackup(later))).cause).toBe(reason)
    const throwing = (): void => {
      throw reason
    }
    const thrown = { target, name: 'one', onProgress: throwing }
    await expect(verifyBackup(thrown)).rejects.toBe(reason)
  })(),
)

test('what is not there is not found, by any verb', () =>
  inDirectory(async (directory) => {
    const given = { target: join(directory, 'none'), name: 'one' }
    const destination = filesDestination(join(directory, 'out'))
    await expectRefusal('ERR_NOT_FOUND', () => verifyBackup(given))
    await expectRefusal('ERR_NOT_FOUND', () => restoreBackup(destination, given))
    await expectRefusal('ERR_NOT_FOUND', () => deleteBackup(given))
    expect(await listBackups(given.target)).toEqual([])
    expect(await readdir(directory)).toEqual([])
  }))
