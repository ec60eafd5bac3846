// A backup is killed before and after every call of its source and of its target, and at random
// moments in between; so is the cleaning. What is left is what its journal says, a manifest means a
// complete backup, and the next cleaning, or the next backup of the name, leaves nothing of it.
//
//   HOTBOLT_BACKUP_KILLS=1000 npx vitest run test/crash/backup-kill.test.ts

import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { createHash } from 'node:crypto'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { cleanFreezes, createBackup, type CreateBackupOptions } from '../../lib/index.ts'
import { directoryTarget } from '../../lib/backup/directory-target.ts'
import { FreezeJournal, journalNames } from '../../lib/backup/freeze-journal.ts'
import { readManifest, tablePrefix } from '../../lib/backup/manifest.ts'
import type { Target } from '../../lib/backup/target.ts'
import { Child } from '../support/child.ts'
import { FileSource } from '../support/file-source.ts'
import { seed } from '../support/property.ts'
import { randomFrom } from '../support/random.ts'
import { countOf } from '../support/tiers.ts'
import { inDirectory, memoryDirectory } from '../support/with-database.ts'

const kills = countOf({ short: 8, ci: 30, long: 1000 }, 'HOTBOLT_BACKUP_KILLS')
const tables = ['a', 'b', 'c']

/** A source, a target, and what a killed process has left in them. */
class Scene {
  readonly root: string
  readonly source: FileSource
  readonly target: Target
  readonly stateDirectory: string
  readonly #backups: string

  constructor(root: string) {
    this.root = root
    mkdirSync(root, { recursive: true })
    this.source = new FileSource(join(root, 'source'))
    this.#backups = join(root, 'backups')
    this.target = directoryTarget(this.#backups)
    this.stateDirectory = join(this.#backups, '.state')
    for (const name of tables) {
      writeFileSync(join(root, 'source', 'tables', name), `content of ${name}`.repeat(100))
    }
  }

  /** Runs the child until it stands at the point, and kills it; false: it has no such point. */
  async killAt(
    verb: string,
    point: number,
    options: Partial<CreateBackupOptions>,
  ): Promise<string> {
    await using child = new Child('backups', [
      verb,
      this.root,
      String(point),
      JSON.stringify(options),
    ])
    const line = await child.line()
    if (line === undefined) throw new Error(`the backup ended by itself: ${child.errors}`)
    child.kill()
    await child.exit()
    return line
  }

  /** Every freeze is in a journal, and what has a manifest is complete. */
  async expectAccounted(where: string): Promise<void> {
    const recorded = new Set<string>()
    for (const name of await journalNames(this.stateDirectory)) {
      const journal = await FreezeJournal.open(this.stateDirectory, name, { readOnly: true })
      for (const { freeze } of journal.freezes()) recorded.add(freeze.id)
      await journal.close()
    }
    const unknown = this.source.frozen.filter((id) => !recorded.has(id))
    expect(unknown, `killed at ${where}: freezes that no journal has`).toEqual([])
    for (const name of await this.backupsWithManifest()) await this.expectComplete(name)
  }

  async expectComplete(name: string): Promise<void> {
    const manifest = await readManifest(this.target, name)
    expect(manifest.tables.map((table) => table.name)).toEqual(tables)
    for (const table of manifest.tables) {
      const stream = await this.target.get(`${tablePrefix(table.owner, table.name)}data`)
      const hash = createHash('sha256')
      for await (const chunk of stream) hash.update(chunk as Uint8Array)
      expect(table.files.map(({ sha256 }) => sha256)).toEqual([hash.digest('hex')])
    }
  }

  async backupsWithManifest(): Promise<string[]> {
    const names = await this.folders()
    return names.filter((name) => existsSync(join(this.#backups, name, 'manifest.json')))
  }

  /** Of what there are objects; a killed put may also have left an empty directory. */
  async folders(): Promise<string[]> {
    const names = new Set<string>()
    for await (const { key } of this.target.list('')) names.add(key.split('/')[0]!)
    return [...names].toSorted()
  }

  /** Nothing is frozen, recorded, staged, or without a manifest. */
  async expectClean(where: string): Promise<void> {
    expect(this.source.frozen, where).toEqual([])
    for (const folder of ['.state', '.staging']) {
      const path = join(this.#backups, folder)
      expect(existsSync(path) ? readdirSync(path) : [], `${where}: ${folder}`).toEqual([])
    }
    expect(await this.folders(), where).toEqual(await this.backupsWithManifest())
  }

  async clean(where: string): Promise<void> {
    const { target } = this
    const before = this.source.frozen
    const dry = await cleanFreezes(this.source, { target, dryRun: true })
    expect(this.source.frozen, 'a dry run changes nothing').toEqual(before)
    const report = await cleanFreezes(this.source, { target })
    expect(report, where).toMatchObject({ leftover: [], running: [], warnings: [] })
    expect(report.released, where).toEqual(dry.released)
    expect(report.abandoned, where).toEqual(dry.abandoned)
    const released = report.released.map(({ id }) => id)
    expect(
      before.filter((id) => !released.includes(id)),
      where,
    ).toEqual([])
    await this.expectClean(where)
  }
}

/** Of the points of a run every n-th; odd, since something is done after every other point only. */
const stride = countOf({ short: 5, ci: 1, long: 1 })

const modes: Partial<CreateBackupOptions>[] = [
  { tableConcurrency: 1 },
  { unfreeze: 'deferred', tableConcurrency: 2 },
  { unfreeze: 'inline', tableConcurrency: 3 },
]

for (const mode of modes) {
  test(`killed at every point, ${JSON.stringify(mode)}: the next run has all to clean up`, () =>
    inDirectory(async (directory) => {
      const seen = { complete: 0, frozen: 0, abandoned: 0 }
      for (let point = 1; ; point += stride) {
        const scene = new Scene(join(directory, String(point)))
        const where = await scene.killAt('create', point, mode)
        if (where === 'done') {
          await scene.expectClean('the end')
          expect(point).toBeGreaterThan(10 * tables.length)
          break
        }
        await scene.expectAccounted(where)
        const complete = (await scene.backupsWithManifest()).length
        seen.complete += complete
        if (scene.source.frozen.length > 0) seen.frozen++
        if (complete === 0 && (await scene.folders()).length > 0) seen.abandoned++
        // Every other time the next backup of the name finds it, and only then it is cleaned.
        if (point % 2 === 0 && complete === 0) {
          const { leftover } = await createBackup(scene.source, {
            target: scene.target,
            name: 'b',
          })
          expect(leftover.map(({ id }) => id).toSorted()).toEqual(
            expect.arrayContaining(scene.source.frozen),
          )
          await scene.expectComplete('b')
        }
        if (point % 2 === 0 && complete > 0) {
          const again = createBackup(scene.source, { target: scene.target, name: 'b' })
          await expect(again).rejects.toMatchObject({ code: 'ERR_EXISTS' })
          await scene.expectComplete('b')
        }
        await scene.clean(where)
        if (complete > 0) await scene.expectComplete('b')
      }
      // Between the manifest and the end there are few points, which a stride may miss.
      const { complete, ...others } = seen
      const met = stride === 1 ? [complete, ...Object.values(others)] : Object.values(others)
      expect(Math.min(...met), JSON.stringify(seen)).toBeGreaterThan(0)
    }, memoryDirectory))
}

test('the cleaning is killed at every point: the next one goes on', () =>
  inDirectory(async (directory) => {
    // Where all tables have been put and are frozen, and the manifest is next.
    const deferred = { unfreeze: 'deferred', tableConcurrency: 1 } as const
    let createPoint = 0
    for (let at = ''; !at.startsWith('at put before b/manifest');) {
      at = await new Scene(join(directory, `look-${++createPoint}`)).killAt(
        'create',
        createPoint,
        deferred,
      )
    }
    for (let point = 1; ; point += stride) {
      const scene = new Scene(join(directory, String(point)))
      await scene.killAt('create', createPoint, deferred)
      expect(scene.source.frozen).toHaveLength(tables.length)
      expect(await scene.folders()).toEqual(['b'])
      const where = await scene.killAt('clean', point, {})
      if (where === 'done') {
        await scene.expectClean('the end')
        expect(point).toBeGreaterThan(5 * tables.length)
        break
      }
      await scene.expectAccounted(where)
      await scene.clean(where)
      expect(await scene.folders()).toEqual([])
    }
  }, memoryDirectory))

test(`killed ${kills} times at any moment`, () =>
  inDirectory(async (directory) => {
    console.info(`${kills} kills, seed ${seed}`)
    const random = randomFrom(seed)
    const scene = new Scene(directory)
    for (let kill = 0; kill < kills; kill++) {
      const options = JSON.stringify(modes[random(modes.length)])
      await using child = new Child('backups', ['forever', directory, '0', options])
      expect(await child.line(), child.errors).toBe('done')
      for (let spin = random(2000); spin > 0; spin--) {
        await new Promise((resolve) => setImmediate(resolve))
      }
      child.kill()
      await child.exit()
      await scene.expectAccounted('any moment')
      await scene.clean('any moment')
      // The next child begins with the same names.
      for (const name of await scene.folders()) {
        for await (const { key } of scene.target.list(`${name}/`)) await scene.target.delete(key)
      }
    }
  }, memoryDirectory))
