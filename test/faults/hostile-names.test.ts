// Links, pipes, directories, strangers' files and modes at every name that backups make, open or
// remove: nothing outside is read, changed or removed, nothing waits, and every refusal has a code.

import { cpSync, rmSync } from 'node:fs'
import { mkdir, mkdtemp, readFile, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { messageOf } from '../../lib/backup/backup-error.ts'
import { directoryTarget } from '../../lib/backup/directory-target.ts'
import { FreezeJournal } from '../../lib/backup/freeze-journal.ts'
import { manifestKey, tablePrefix } from '../../lib/backup/manifest.ts'
import * as names from '../../lib/backup/names.ts'
import { catalogDestination } from '../../lib/catalog/catalog-destination.ts'
import { storeDestination } from '../../lib/catalog/store-destination.ts'
import { restoreBackup } from '../../lib/backup/restore.ts'
import {
  cleanFreezes,
  createBackup,
  deleteBackup,
  errorCodes,
  filesDestination,
  HotboltError,
  listBackups,
  pruneBackups,
  verifyBackup,
} from '../../lib/index.ts'
import { SimulatedSource } from '../support/backup-source.ts'
import { putBackup, storeBytes } from '../support/backups.ts'
import { mayBeRead, Outside, plantAt, plants, releasePipes } from '../support/hostile-names.ts'
import { errorOf } from '../support/refusal.ts'
import { countOf, patienceMs, tier } from '../support/tiers.ts'
import { describeIf } from '../support/tools.ts'
import { memoryDirectory, openFilesIn } from '../support/with-database.ts'

interface Place {
  readonly root: string
  readonly out: string
  readonly store: string
  readonly catalog: string
}

const placeIn = (directory: string): Place => ({
  root: join(directory, 'backups'),
  out: join(directory, 'out'),
  store: join(directory, 'store.db'),
  catalog: join(directory, 'catalog'),
})

const hex = (length: number): string => '0123456789abcdef'.repeat(4).slice(0, length)
const deadRun = `dead-${hex(16)}`
const uuid = '4f9c8a52-1e1c-4c0c-8f57-2f0e6ab50000'
/** Backups: one that is there, one that is made, one whose run has died. */
const backups = ['one', 'new', 'dead']

const inState = (file: string): string => `backups/${names.stateFolder}/${file}`
const restore = Object.values(names.restorePlaces('/out')).map((path) => path.slice(1))

/**
 * Where something is planted for each of the names; a name that is not here does not compile. Where
 * a name has random digits, nobody can foresee it: those count that are found by their pattern.
 */
const planted: Readonly<Record<keyof typeof names, readonly string[]>> = {
  stateFolder: [`backups/${names.stateFolder}`],
  stagingFolder: [`backups/${names.stagingFolder}`],
  claimKey: backups.map((name) => `backups/${names.claimKey(name)}`),
  recordFile: backups.map((name) => inState(names.recordFile(name))),
  secondRecordFile: backups.map((name) => inState(`${name}-${uuid}.freezes.removing`)),
  backupOfRecord: [inState('unknown.freezes')],
  isSecondRecordFile: [],
  isHalfRecordFile: [
    ...backups.map((name) => inState(`${names.recordFile(name)}-create-${hex(32)}`)),
    // The database's own: the journal of a record.
    ...backups.map((name) => inState(`${names.recordFile(name)}-journal-00000001`)),
  ],
  runFolder: [`backups/${names.stagingFolder}/${deadRun}`],
  isRunFolder: [`backups/${names.stagingFolder}/${deadRun}/table`],
  temporaryObject: [`backups/one/.${hex(16)}+put`, `backups/dead/tables/t/.${hex(16)}+put`],
  isTemporaryObject: [],
  restorePlaces: restore,
  restoredManifest: [`out/${names.restoredManifest}`],
}

/** Beside a store and a catalog that are restored, and in them. They may be links themselves. */
const destinations = [
  'store.db-journal-00000001',
  `store.db-restore-${hex(32)}`,
  `store.db-restore-${hex(32)}/.catalog`,
  'catalog/.catalog',
  'catalog/t',
  'catalog/t/store.db',
  `catalog-restore-${hex(32)}`,
  `catalog-restore-${hex(32)}/.catalog`,
  `catalog-replaced-${hex(32)}`,
  `catalog-replaced-${hex(32)}/.catalog`,
  `catalog-replaced-${hex(32)}/t/store.db`,
]

const objects = backups.flatMap((name) => [
  `backups/${name}`,
  `backups/${manifestKey(name)}`,
  `backups/${name}/tables`,
  `backups/${tablePrefix(name, 't')}`.slice(0, -1),
  `backups/${tablePrefix(name, 't')}store.db`,
])

const source = (): SimulatedSource =>
  new SimulatedSource({ t: { files: { data: 'content of t' } } })

const verbs: Readonly<Record<string, (place: Place) => Promise<unknown>>> = {
  list: ({ root }) => listBackups(root),
  verify: ({ root }) => verifyBackup({ target: root, name: 'one', depth: 'deep' }),
  restore: ({ root, out }) => restoreBackup(filesDestination(out), { target: root, name: 'one' }),
  overwrite: ({ root, out }) =>
    restoreBackup(filesDestination(out), { target: root, name: 'one', overwrite: true }),
  'restore a store': ({ root, store }) =>
    restoreBackup(storeDestination(store), { target: root, name: 'one', overwrite: true }),
  'restore a catalog': ({ root, catalog }) =>
    restoreBackup(catalogDestination(catalog), { target: root, name: 'one', overwrite: true }),
  create: ({ root }) => createBackup(source(), { target: root, name: 'new' }),
  'look for': ({ root }) => cleanFreezes(source(), { target: root, dryRun: true }),
  clean: ({ root }) => cleanFreezes(source(), { target: root }),
  prune: ({ root }) => pruneBackups({ target: root, keepLast: 1 }),
  delete: ({ root }) => deleteBackup({ target: root, name: 'one' }),
}

/** A target with two backups and what a run has left that died. */
async function prepare(directory: string): Promise<void> {
  const { root } = placeIn(directory)
  const target = directoryTarget(root)
  const tables = [{ name: 't', contents: { 'store.db': await storeBytes(10) } }]
  const changes = { source: { kind: 'catalog', id: 'somewhere' } }
  const createdAt = '2026-02-01T00:00:00.000Z'
  await putBackup(target, 'one', tables, changes)
  await putBackup(target, 'later', tables, { ...changes, createdAt })
  await target.put('dead/tables/t/store.db', Buffer.from('left'))
  const journal = await FreezeJournal.create(target.stateDirectory!, 'dead')
  await journal.beginRun({ target: root, staging: deadRun })
  await journal.close()
}

/** The directory with all that is prepared, and a copy of it, always in the same place. */
let parent = ''
const template = (): string => join(parent, 'template')
const place = (): string => join(parent, 'place')

beforeAll(async () => {
  parent = await mkdtemp(join(memoryDirectory, 'hotbolt-test-'))
  await mkdir(place())
  await prepare(place())
  await Outside.make(place())
  await rename(place(), template())
})

afterAll(() => rm(parent, { recursive: true, force: true }))

function renew(): Promise<Outside> {
  rmSync(place(), { recursive: true, force: true })
  cpSync(template(), place(), { recursive: true, preserveTimestamps: true })
  return Outside.of(place())
}

/** Gives the error, if there is one. Nobody waits for ever. */
async function within(what: string, directory: string, run: () => Promise<unknown>) {
  let timer: NodeJS.Timeout | undefined
  const hung = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => {
      void releasePipes(directory)
      reject(new Error(`${what} hangs`))
    }, patienceMs / 10)
  })
  try {
    return await Promise.race([errorOf(run), hung])
  } finally {
    clearTimeout(timer)
  }
}

/** Where a run is long each verb by itself, upon what no other verb has changed. */
async function tryVerbs(at: string, plant: string): Promise<void> {
  const directory = place()
  let outside: Outside | undefined
  for (const [verb, run] of Object.entries(verbs)) {
    if (outside === undefined || tier !== 'short') {
      outside = await renew()
      await plantAt(plant, join(directory, at), outside)
    }
    const what = `${verb} with ${plant} at ${at}`
    const error = await within(what, directory, () => run(placeIn(directory)))
    if (error !== undefined) {
      expect(error, `${what}: ${messageOf(error)}`).toBeInstanceOf(HotboltError)
      const { code } = error as HotboltError
      expect(code, `${what}: ${messageOf(error)}`).not.toBe('ERR_INTERNAL')
      expect(errorCodes).toContain(code)
    }
    await outside.expectUntouched(what, mayBeRead(plant))
    expect(openFilesIn(directory), what).toEqual([])
  }
}

/** A part of all pairs, with each path and each plant in it, where a run is short. */
const stride = countOf({ short: 3, ci: 1, long: 1 })
const paths = [...new Set([...Object.values(planted).flat(), ...objects, ...destinations])]
const pairs = paths.flatMap((path, row) =>
  Object.keys(plants).flatMap((plant, column) =>
    (row + column) % stride === 0 ? [{ path, plant }] : [],
  ),
)

describeIf('linux', 'what lies outside of a backup is as it was', () => {
  test.each(pairs)('with $plant at $path', ({ path, plant }) => tryVerbs(path, plant))

  test('and reading it would be seen', async () => {
    const outside = await renew()
    await outside.expectUntouched('nothing has happened')
    await readFile(outside.file)
    await expect(outside.expectUntouched('it was read')).rejects.toThrow('it was read')
  })
})
