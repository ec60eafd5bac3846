// What tests of backups begin and end with: a place of their own, and nothing left in it.

import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'vitest'
import type { BackupReport, CreateBackupOptions } from '../../lib/index.ts'
import { runBackup } from '../../lib/backup/backup.ts'
import { FreezeJournal, type RecordedFreeze } from '../../lib/backup/freeze-journal.ts'
import type { Manifest } from '../../lib/backup/manifest.ts'
import { readManifest } from '../../lib/backup/manifest.ts'
import type { SimulatedSource } from './backup-source.ts'
import { MemoryTarget } from './memory-target.ts'
import { TestClock } from './test-clock.ts'
import { WatchedTarget } from './watched-target.ts'
import { inDirectory, openFilesIn } from './with-database.ts'

/** The name of the backup that a test makes, unless it says otherwise. */
export const backupName = 'b'

export class BackupPlace {
  readonly directory: string
  readonly target: WatchedTarget<MemoryTarget>
  readonly clock: TestClock = new TestClock()

  constructor(directory: string) {
    this.directory = directory
    this.target = new WatchedTarget(new MemoryTarget(), {
      staging: join(directory, 'staging'),
      state: join(directory, 'state'),
    })
  }

  /** What is in the target. */
  get objects(): Map<string, Buffer> {
    return this.target.inner.objects
  }

  get stateDirectory(): string {
    return this.target.stateDirectory
  }

  create(
    source: SimulatedSource,
    options: Partial<CreateBackupOptions> = {},
  ): Promise<BackupReport> {
    const given = { target: this.target, name: backupName, unfreezeTimeoutMs: 5000, ...options }
    return runBackup(source, given, this.clock)
  }

  manifest(name: string = backupName): Promise<Manifest> {
    return readManifest(this.target, name)
  }

  /** The names of what is in the state directory. */
  get records(): string[] {
    return namesIn(this.stateDirectory)
  }

  get staged(): string[] {
    return namesIn(this.target.stagingDirectory)
  }

  /** What is recorded in a journal that nobody holds. */
  async recorded(name: string = backupName): Promise<RecordedFreeze[]> {
    const journal = await FreezeJournal.open(this.stateDirectory, name, { readOnly: true })
    try {
      return journal.freezes()
    } finally {
      await journal.close()
    }
  }

  /** After whatever happened: nothing is frozen, recorded or staged. */
  expectNothingLeft(source: SimulatedSource): void {
    expect([...source.frozen.values()], 'freezes').toEqual([])
    expect(source.overlaps, 'calls for one freeze at a time').toEqual([])
    expect(this.records, 'records of freezes').toEqual([])
    expect(this.staged, 'staged files').toEqual([])
  }

  /** The same after a failure: nor is there anything in the target. */
  expectUndone(source: SimulatedSource): void {
    this.expectNothingLeft(source)
    expect([...this.objects.keys()], 'objects').toEqual([])
  }

  /** The backup is complete and has just these tables, with the source's content. */
  async expectComplete(source: SimulatedSource, tables: readonly string[]): Promise<void> {
    const manifest = await this.manifest()
    expect(manifest.tables.map(({ name }) => name)).toEqual(tables)
    for (const { name, owner, files } of manifest.tables) {
      const { files: expected = {} } = source.tables.get(name) ?? {}
      const found = files.map(({ path }) => {
        const key = [...this.objects.keys()].find(
          (each) => each.startsWith(`${owner}/tables/`) && each.endsWith(`${name}/${path}`),
        )
        return [path, this.objects.get(key ?? '')?.toString()]
      })
      expect(Object.fromEntries(found), name).toEqual(expected)
    }
  }
}

const namesIn = (directory: string): string[] =>
  existsSync(directory) ? readdirSync(directory) : []

/** A test's body with a place of its own. */
export function withBackups(run: (place: BackupPlace) => Promise<void>): () => Promise<void> {
  return () =>
    inDirectory(async (directory) => {
      await run(new BackupPlace(directory))
      expect(openFilesIn(directory), 'no descriptor stays open').toEqual([])
    })
}
