// What becomes of the writes of a program that did not close its database: they are merged, or,
// when another program has written to the file first, listed, and put on top when that is wanted.

import { copyFile, mkdir, readdir, readFile, rename } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { expect, test } from 'vitest'
import { open, readJournal, recoverDatabase, type Journal } from '../../lib/index.ts'
import { repositoryRoot } from '../oracle/root.ts'
import { copyAsCrashed } from '../support/crashed.ts'
import { runCommand, type Run } from '../support/installed.ts'
import { expectRefusal } from '../support/refusal.ts'
import { describeIf } from '../support/tools.ts'
import {
  inDirectory,
  leftovers,
  openFilesIn,
  sharedJudge,
  verifyFile,
} from '../support/with-database.ts'

const script = join(repositoryRoot, 'dist/lib/cli/main.js')
const hotbolt = (...args: string[]): Promise<Run> => runCommand(script, args)

/** What a crash leaves: `old` in the page file, the other writes in the journal alone. */
async function withCrashed(run: (path: string, directory: string) => Promise<void>): Promise<void> {
  await inDirectory(async (directory) => {
    await mkdir(join(directory, 'live'))
    const db = await open(join(directory, 'live', 'data.db'), { checkpointBytes: 1 << 30 })
    await db.bucket('b').put('old', 'in the file')
    await db.bucket('doomed').put('k', 'v')
    await db.checkpoint()
    const b = db.bucket('b')
    await b.put('new', 'in the journal')
    await b.put('shared', 'ours')
    await b.delete('old')
    await b.bucket('inner').put('deep', Buffer.from([0, 255]))
    await db.update((tx) => {
      tx.bucket('b').setSequence(7n)
      tx.createBucket('empty')
      tx.deleteBucket('doomed')
    })
    const path = await copyAsCrashed(db, join(directory, 'crashed'))
    await db.close()
    await run(path, join(directory, 'crashed'))
    expect(openFilesIn(directory)).toEqual([])
  })
}

/** The content after all of it: keys of `b` with their values, and names of buckets. */
async function contentOf(path: string): Promise<unknown> {
  const db = await open(path, { readOnly: true })
  try {
    const text = { key: 'utf8', value: 'utf8' } as const
    return {
      buckets: db.buckets({ key: 'utf8' }),
      b: [...db.bucket('b', text).range()],
      inner: db.bucket('b').bucket('inner').get('deep'),
      sequence: db.bucket('b').sequence,
    }
  } finally {
    await db.close()
  }
}

const merged = {
  buckets: ['b', 'empty'],
  b: [
    ['new', 'in the journal'],
    ['shared', 'ours'],
  ],
  inner: Buffer.from([0, 255]),
  sequence: 7n,
}

const brief = (journal: Journal): string[] =>
  [...journal.operations()].map(({ seq, kind, bucket, key, sequence }) =>
    [seq - journal.firstSeq, kind, bucket.join('/'), String(key ?? sequence)].join(' '),
  )

const operations = [
  '0 put b new',
  '1 put b shared',
  '2 delete b old',
  '3 put b/inner deep',
  '4 set-sequence b 7',
  '4 create-bucket  empty',
  '4 delete-bucket  doomed',
]

/** The same after the two transactions that the page file has already. */
const afterTwo = operations.map((line) => Number(line[0]) + 2 + line.slice(1))

/** All files of a directory, byte by byte. */
async function filesIn(directory: string): Promise<Map<string, string>> {
  const names = (await readdir(directory)).toSorted()
  const bytes = names.map(async (name) => {
    return [name, (await readFile(join(directory, name))).toString('base64')] as const
  })
  return new Map(await Promise.all(bytes))
}

test('a leftover journal is listed without a change, and merged', () =>
  withCrashed(async (path, directory) => {
    const before = await filesIn(directory)
    const journal = await readJournal(path)
    expect(journal).toMatchObject({ path, state: 'leftover', transactions: 5 })
    expect(journal.coveredSeq).toBe(journal.firstSeq - 1)
    expect(journal.lastSeq).toBe(journal.firstSeq + 4)
    expect(journal.segments[0]?.path).toContain('data.db-journal-')
    expect(brief(journal)).toEqual(operations)
    expect(brief(journal), 'a second time').toEqual(operations)
    expect(await filesIn(directory)).toEqual(before)
    const report = await recoverDatabase(path)
    expect(report).toMatchObject({ outcome: 'merged', transactions: 5, operations: 7, kept: [] })
    expect(leftovers(path)).toEqual([])
    expect(await contentOf(path)).toEqual(merged)
    await verifyFile(path)
    expect(await recoverDatabase(path)).toMatchObject({ outcome: 'nothing', transactions: 0 })
    expect(await readJournal(path)).toMatchObject({ state: 'none', segments: [] })
  }))

test('hotbolt recover merges, and says what it did', () =>
  withCrashed(async (path) => {
    const list = await hotbolt('recover', path, '--list', '--json', '--keys')
    expect(list, list.errors).toMatchObject({ code: 0 })
    expect(JSON.parse(list.out)).toMatchObject({
      state: 'leftover',
      operations: 7,
      buckets: [
        { bucket: 'b', puts: 2, deletes: 1, others: 1 },
        { bucket: 'b/inner', puts: 1 },
        { bucket: '/', others: 2 },
      ],
      entries: [{ kind: 'put', bucket: 'b', key: 'new', valueBytes: 14 }, {}, {}, {}, {}, {}, {}],
    })
    expect(await hotbolt('recover', path)).toMatchObject({
      code: 0,
      out: '5 transactions, 7 operations: merged into the file\n',
    })
    expect(leftovers(path)).toEqual([])
    expect(await hotbolt('recover', path)).toMatchObject({
      code: 0,
      out: expect.stringMatching(/no journal/),
    })
    expect(await hotbolt('recover', path, '--list')).toMatchObject({
      code: 0,
      out: 'journal  there is none\n',
    })
    expect(await hotbolt('recover', path, '--keys')).toMatchObject({ code: 2 })
    expect(await hotbolt('recover', path, '--list', '--apply-stale')).toMatchObject({ code: 2 })
    expect(await hotbolt('recover', `${path}.none`)).toMatchObject({ code: 1 })
    await using _ = await open(path)
    expect(await hotbolt('recover', path)).toMatchObject({ code: 5 })
    expect(await hotbolt('recover', path, '--list')).toMatchObject({ code: 5 })
  }))

test('a journal that begins after the end of an older copy of the file is listed too', () =>
  inDirectory(async (directory) => {
    const db = await open(join(directory, 'data.db'), { checkpointBytes: 1 << 30 })
    await db.bucket('b').put('first', 'v')
    await db.checkpoint()
    const old = await copyAsCrashed(db, join(directory, 'old'))
    for (let n = 0; n < 24; n++) {
      await db.bucket('b').put(`large ${n}`, Buffer.alloc(1 << 20, n))
      await db.checkpoint()
    }
    await db.bucket('b').put('last', 'v')
    const crashed = await copyAsCrashed(db, join(directory, 'crashed'))
    await db.close()
    await copyFile(old, crashed)
    await expectRefusal('ERR_JOURNAL_STALE', () => open(crashed))
    const journal = await readJournal(crashed)
    expect(journal).toMatchObject({ state: 'stale', lastSeq: 26 })
    expect(journal.firstSeq).toBeGreaterThan((journal.coveredSeq ?? 0) + 1)
    const report = await recoverDatabase(crashed, { applyStale: true })
    expect(report).toMatchObject({ outcome: 'applied', transactions: journal.transactions })
    const reader = await open(crashed, { readOnly: true })
    expect(reader.bucket('b').has('first')).toBe(true)
    expect(reader.bucket('b').has('last')).toBe(true)
    await reader.close()
    await verifyFile(crashed)
  }))

describeIf('go', 'a journal that bbolt has made stale', () => {
  /**
   * bbolt commits once, which leaves the meta of our last commit beside its own, or twice: where it
   * stores the freelist, it does that by a commit of its own.
   */
  const withStale = (
    commits: 'one commit' | 'two commits',
    run: (path: string, directory: string) => Promise<void>,
  ): Promise<void> =>
    withCrashed(async (path, directory) => {
      const bbolt = await sharedJudge()
      const put = { kind: 'put', path: ['b'], key: 'shared', value: 'theirs' } as const
      const other = { kind: 'put', path: ['foreign'], key: 'k', value: 'v' } as const
      const noFreelistSync = commits === 'one commit'
      await bbolt.script(path, [{ ops: [put, other] }], { noFreelistSync })
      const error = await expectRefusal('ERR_JOURNAL_STALE', () => open(path))
      expect(error.message).toContain(`hotbolt recover ${path}`)
      await run(path, directory)
    })

  const applied = { ...merged, buckets: ['b', 'empty', 'foreign'] }

  test.each(['one commit', 'two commits'] as const)(
    'by %s is listed, applied, and kept',
    (commits) =>
      withStale(commits, async (path, directory) => {
        const before = await filesIn(directory)
        const journal = await readJournal(path)
        expect(journal.state).toBe('stale')
        const isKnown = commits === 'one commit'
        expect(journal.coveredSeq).toBe(isKnown ? journal.firstSeq - 1 : undefined)
        const all = isKnown ? operations : ['0 put b old', '1 put doomed k', ...afterTwo]
        expect(brief(journal)).toEqual(all)
        await expectRefusal('ERR_JOURNAL_STALE', () => recoverDatabase(path))
        expect(await filesIn(directory)).toEqual(before)
        const report = await recoverDatabase(path, { applyStale: true })
        expect(report).toMatchObject({ outcome: 'applied', skipped: [] })
        expect(await contentOf(path)).toEqual(applied)
        expect(leftovers(path)).toEqual([])
        const kept = await Promise.all(report.kept.map((name) => readFile(name, 'base64')))
        expect(kept).toEqual(journal.segments.map((each) => before.get(basename(each.path))))
        await verifyFile(path)
        expect(await recoverDatabase(path, { applyStale: true })).toMatchObject({
          outcome: 'nothing',
        })
      }),
  )

  test('from a number on is applied without what is older', () =>
    withStale('two commits', async (path) => {
      const { lastSeq } = await readJournal(path)
      const run = await hotbolt('recover', path, '--apply-stale', '--from', String(lastSeq - 2))
      expect(run, run.errors).toMatchObject({
        code: 0,
        out: expect.stringMatching(/^3 transactions, 5 operations/),
      })
      expect(await contentOf(path)).toEqual({ ...applied, b: [['shared', 'theirs']] })
    }))

  test('interrupted between any two of its steps it is run again, with the same outcome', () =>
    withStale('one commit', async (path, directory) => {
      const { segments, firstSeq } = await readJournal(path)
      const moved = segments.map((each) =>
        each.path.replace(path, `${path}.stale-from-${firstSeq}`),
      )
      for (const [index, { path: segment }] of segments.entries()) {
        await rename(segment, moved[index] ?? '')
      }
      expect(await readJournal(path)).toMatchObject({ state: 'none' })
      const reminded = await expectRefusal('ERR_JOURNAL_STALE', () => recoverDatabase(path))
      expect(reminded.message).toContain('--apply-stale')
      const first = await recoverDatabase(path, { applyStale: true })
      expect(first).toMatchObject({ outcome: 'applied', transactions: 5, operations: 7 })
      expect(await contentOf(path)).toEqual(applied)
      // As if it had not come to give the segments their last names.
      for (const [index, name] of first.kept.entries()) await rename(name, moved[index] ?? '')
      const second = await recoverDatabase(path, { applyStale: true })
      expect(second).toMatchObject({ outcome: 'applied', operations: 7 })
      expect(await contentOf(path)).toEqual(applied)
      const names = (await readdir(directory)).filter((name) => !name.includes('.applied-'))
      expect(names).toEqual([basename(path)])
    }))

  test('what does not fit any more is left out and said', () =>
    withStale('one commit', async (path) => {
      const bbolt = await sharedJudge()
      const put = { kind: 'put', path: ['b', 'new'], key: 'k', value: 'v' } as const
      const taken = { kind: 'put', path: ['b'], key: 'inner', value: 'a key now' } as const
      await bbolt.script(path, [{ ops: [put, taken] }])
      const run = await hotbolt('recover', path, '--apply-stale', '--json')
      expect(run, run.errors).toMatchObject({ code: 3 })
      expect(JSON.parse(run.out)).toMatchObject({
        outcome: 'applied',
        skipped: [
          { kind: 'put', bucket: 'b', key: 'new', code: 'ERR_INCOMPATIBLE_VALUE' },
          { kind: 'put', bucket: 'b/inner', key: 'deep', code: 'ERR_INCOMPATIBLE_VALUE' },
        ],
      })
      await verifyFile(path)
    }))

  test('hotbolt recover refuses it, lists it, and applies it when it is told to', () =>
    withStale('one commit', async (path) => {
      const refused = await hotbolt('recover', path)
      expect(refused).toMatchObject({ code: 1, out: '' })
      expect(refused.errors).toContain('--apply-stale')
      const list = await hotbolt('recover', path, '--list', '--keys')
      expect(list, list.errors).toMatchObject({ code: 0 })
      expect(list.out).toMatch(/^journal +stale/m)
      expect(list.out).toMatch(/^\d+ put b\/inner deep$/m)
      const done = await hotbolt('recover', path, '--apply-stale')
      expect(done, done.errors).toMatchObject({ code: 0 })
      expect(done.out).toMatch(/7 operations: done on top.*\nkept: .*\.applied-/)
      expect(await contentOf(path)).toEqual(applied)
    }))
})
