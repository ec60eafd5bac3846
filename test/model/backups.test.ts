// Random series of backups, whole and incremental, deletions and prunings: whatever is in the
// target in the end is whole, and comes back as the tables were when it was made.

import fc from 'fast-check'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { HotboltError } from '../../lib/errors.ts'
import { createBackup } from '../../lib/backup/backup.ts'
import { listBackups } from '../../lib/backup/backups.ts'
import { deleteBackup } from '../../lib/backup/delete.ts'
import { directoryTarget } from '../../lib/backup/directory-target.ts'
import { restoreBackup } from '../../lib/backup/restore.ts'
import { filesDestination } from '../../lib/backup/restore-files.ts'
import { pruneBackups } from '../../lib/backup/retention.ts'
import { verifyBackup } from '../../lib/backup/verify.ts'
import { encodeName } from '../../lib/names.ts'
import { SimulatedSource } from '../support/backup-source.ts'
import { holds } from '../support/property.ts'
import { inDirectory, memoryDirectory } from '../support/with-database.ts'

const names = ['a', 'B', '\u00fc/..', 'd'.repeat(300)]

type Step =
  | { readonly kind: 'change'; readonly table: number }
  | { readonly kind: 'drop'; readonly table: number }
  | { readonly kind: 'backup'; readonly base: number | null }
  | { readonly kind: 'delete'; readonly which: number }
  | { readonly kind: 'prune'; readonly keepLast: number }

const table = fc.nat(names.length - 1)
/** Changes and increments are more frequent than the rest. */
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('change' as const), table }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('drop' as const), table }) },
  {
    weight: 4,
    arbitrary: fc.record({ kind: fc.constant('backup' as const), base: fc.option(fc.nat(5)) }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant('delete' as const), which: fc.nat(5) }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('prune' as const),
      keepLast: fc.integer({ min: 1, max: 3 }),
    }),
  },
)

/** The content of each table, by its encoded name. */
type Content = Readonly<Record<string, string>>

class World {
  readonly source: SimulatedSource = new SimulatedSource({})
  readonly target: string
  /** What each backup that was made and not deleted has. */
  readonly backups: Map<string, Content> = new Map()
  reused = 0
  refused = 0
  #changes = 0
  #made = 0

  constructor(target: string) {
    this.target = target
  }

  async take(taken: Step): Promise<void> {
    if (taken.kind === 'change') this.#change(names[taken.table]!)
    else if (taken.kind === 'drop') this.source.tables.delete(names[taken.table]!)
    else if (taken.kind === 'backup') await this.#backup(taken.base)
    else if (taken.kind === 'delete') await this.#delete(taken.which)
    else await this.#prune(taken.keepLast)
  }

  #change(name: string): void {
    const version = `v${++this.#changes}`
    const files = { data: `${name} ${version}`, 'part/1': version }
    this.source.tables.set(name, { files, version })
  }

  async #backup(base: number | null): Promise<void> {
    const known = [...this.backups.keys()]
    const diffFrom = base === null ? undefined : known[base % Math.max(1, known.length)]
    const name = `backup-${String(++this.#made).padStart(3, '0')}`
    const report = await createBackup(this.source, { target: this.target, name, diffFrom })
    expect(report.warnings).toEqual([])
    this.reused += report.tables.filter(({ outcome }) => outcome === 'reused').length
    const tables = [...this.source.tables].map(([table, { files }]) => [
      encodeName(table),
      `${files['data']} ${files['part/1']}`,
    ])
    this.backups.set(name, Object.fromEntries(tables) as Content)
  }

  async #delete(which: number): Promise<void> {
    const known = [...this.backups.keys()]
    const name = known[which % Math.max(1, known.length)]
    if (name === undefined) return
    try {
      await deleteBackup({ target: this.target, name })
      this.backups.delete(name)
    } catch (error) {
      if (!HotboltError.is(error, 'ERR_BACKUP_REQUIRED')) throw error
      this.refused++
    }
  }

  async #prune(keepLast: number): Promise<void> {
    const { deleted } = await pruneBackups({ target: this.target, keepLast })
    const newest = [...this.backups.keys()].slice(-keepLast)
    expect(deleted.filter((name) => newest.includes(name))).toEqual([])
    for (const name of deleted) expect(this.backups.delete(name), name).toBe(true)
  }

  /** Everything that is left is what it should be. */
  async judge(directory: string): Promise<void> {
    const listed = await listBackups(this.target)
    expect(listed.map(({ name }) => name).toSorted()).toEqual([...this.backups.keys()].toSorted())
    for (const { name, state } of listed) {
      expect(state).toBe('complete')
      const report = await verifyBackup({ target: this.target, name })
      expect(report.issues, name).toEqual([])
      const path = join(directory, name)
      await restoreBackup(filesDestination(path), { target: this.target, name })
      expect(await contentOf(path), name).toEqual(this.backups.get(name))
    }
  }
}

async function contentOf(directory: string): Promise<Content> {
  const folders = (await readdir(directory)).filter((name) => !name.startsWith('.'))
  const tables: [string, string][] = []
  for (const folder of folders) {
    const data = await readFile(join(directory, folder, 'data'), 'utf8')
    tables.push([folder, `${data} ${await readFile(join(directory, folder, 'part/1'), 'utf8')}`])
  }
  return Object.fromEntries(tables)
}

/** What no run may leave out: a table that is used again, and so a backup that must not go. */
const usual: readonly Step[] = [
  { kind: 'change', table: 0 },
  { kind: 'backup', base: null },
  { kind: 'backup', base: 0 },
  { kind: 'delete', which: 0 },
]

test('whatever is made and deleted, what is left is whole', async () => {
  const seen = { reused: 0, refused: 0, judged: 0 }
  const live = (taken: readonly Step[]): Promise<void> =>
    inDirectory(async (directory) => {
      const world = new World(join(directory, 'backups'))
      for (const each of taken) await world.take(each)
      await world.judge(join(directory, 'restored'))
      seen.judged += world.backups.size
      seen.reused += world.reused
      seen.refused += world.refused
      const target = directoryTarget(world.target)
      for (const name of [...world.backups.keys()].toReversed()) {
        await deleteBackup({ target, name })
      }
      const left = await readdir(world.target).catch(() => [])
      expect(left.filter((name) => !name.startsWith('.'))).toEqual([])
    }, memoryDirectory)
  await live(usual)
  const steps = fc.array(step, { minLength: 5, maxLength: 20 })
  await holds(fc.asyncProperty(steps, live), 40)
  for (const count of Object.values(seen)) expect(count).toBeGreaterThan(0)
})
