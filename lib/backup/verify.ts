// Whether a backup is what its manifest says: the set of its objects, their sizes, every byte, and
// that the stores in it are sound. Damage is reported, all of it; nothing is changed.

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openDatabase } from '../database/database.ts'
import { HotboltError, toHotboltError } from '../errors.ts'
import { targetError } from './backup-error.ts'
import {
  resolveVerifyBackupOptions,
  type BackupIssue,
  type ResolvedVerifyBackupOptions,
  type VerifyBackupOptions,
  type VerifyReport,
} from './backup-options.ts'
import { cancelled, throwIfAborted } from './cancellation.ts'
import { targetFrom } from './directory-target.ts'
import { manifestKey, readManifest, tablePrefix } from './manifest.ts'
import type { Manifest, ManifestFile, ManifestTable } from './manifest.ts'
import { claimKey } from './names.ts'
import { ObjectReader } from './object-reader.ts'
import { forEachOf } from './semaphore.ts'
import { StoreMaintainer } from '../maintenance/store-maintainer.ts'
import { listBelow, type Target } from './target.ts'
import { sizeOf, TransferMeter } from './transfer-meter.ts'

const what = 'Verifying the backup'
/** Kinds of sources each of whose files is a store of ours. */
const kindsOfStores: readonly string[] = ['store', 'catalog']
/** Of one store; the rest of them says nothing new. */
const checkIssuesShown = 10

/**
 * Damage is in the report. ERR_NOT_FOUND: there is no such backup; ERR_VERSION: a later hotbolt
 * made it; ERR_ABORTED; and what the target says that cannot be listed.
 */
export async function verifyBackup(options: VerifyBackupOptions): Promise<VerifyReport> {
  const resolved = resolveVerifyBackupOptions(options)
  const { name, depth, signal } = resolved
  const target = targetFrom(resolved.target)
  throwIfAborted(signal, what)
  const manifest = await manifestOrIssue(target, name, signal)
  if ('message' in manifest) {
    return { ok: false, name, depth, files: 0, sizeBytes: 0, issues: [manifest] }
  }
  const issues = await new Verifier(target, manifest, resolved).run()
  const files = manifest.tables.reduce((sum, table) => sum + table.files.length, 0)
  const sizeBytes = sizeOf(manifest.tables)
  return { ok: issues.length === 0, name, depth, files, sizeBytes, issues }
}

async function manifestOrIssue(
  target: Target,
  name: string,
  signal: AbortSignal | undefined,
): Promise<Manifest | BackupIssue> {
  try {
    return await readManifest(target, name, signal)
  } catch (error) {
    if (signal?.aborted === true) throw cancelled(signal, what)
    const { code, message } = toHotboltError(error)
    const isDamage = code === 'ERR_BACKUP_CORRUPT' || code === 'ERR_NOT_A_FILE'
    if (isDamage) return { key: manifestKey(name), message }
    throw error
  }
}

class Verifier {
  readonly #target: Target
  readonly #manifest: Manifest
  readonly #options: ResolvedVerifyBackupOptions
  readonly #meter: TransferMeter
  readonly #issues: BackupIssue[] = []
  readonly #idle: ObjectReader[] = []
  /** For stores that the target does not have as files. */
  #scratch: string | undefined

  constructor(target: Target, manifest: Manifest, options: ResolvedVerifyBackupOptions) {
    this.#target = target
    this.#manifest = manifest
    this.#options = options
    this.#meter = new TransferMeter(manifest, options.onProgress, options.signal)
  }

  async run(): Promise<readonly BackupIssue[]> {
    const { signal } = this.#meter
    try {
      const missing = await this.#compareSets()
      if (this.#options.depth !== 'quick') await this.#readAll(missing)
      throwIfAborted(signal, what)
    } catch (error) {
      const doing = `${what} in ${this.#target.location}`
      throw this.#meter.outcome(error, what, (each) => targetError(each, doing))
    } finally {
      for (const reader of this.#idle) reader.close()
      if (this.#scratch !== undefined) await rm(this.#scratch, { recursive: true, force: true })
    }
    return this.#issues
  }

  /** Gives the keys that cannot be read, or need not be, for their issue has been told. */
  async #compareSets(): Promise<Set<string>> {
    const expected = expectedFiles(this.#manifest)
    const wrong = new Set(expected.keys())
    for await (const { key, sizeBytes, problem } of this.#objects()) {
      const file = expected.get(key)
      if (problem !== undefined) this.#tell(key, `It is ${problem}`)
      else if (file === undefined) this.#tell(key, 'It is no part of the backup')
      else if (file.sizeBytes === sizeBytes) wrong.delete(key)
      else this.#tell(key, `It should have ${file.sizeBytes} bytes and has ${sizeBytes}`)
      if (problem !== undefined || file !== undefined) expected.delete(key)
    }
    for (const key of expected.keys()) this.#tell(key, 'It is missing')
    return wrong
  }

  /** All objects of the backup but its manifest, and those of the tables that others own. */
  async *#objects(): ReturnType<Target['list']> {
    const { name, tables, requires } = this.#manifest
    const foreign = new Set(tables.map((table) => tablePrefix(table.owner, table.name)))
    const known = new Set([manifestKey(name), claimKey(name)])
    for (const owner of [name, ...requires]) {
      for await (const object of this.#list(owner === name ? `${name}/` : `${owner}/tables/`)) {
        const isOwn = owner === name && !known.has(object.key)
        const table = object.key.split('/', 3).join('/')
        if (isOwn || foreign.has(`${table}/`)) yield object
      }
    }
  }

  async *#list(prefix: string): ReturnType<Target['list']> {
    try {
      yield* listBelow(this.#target, prefix, this.#meter.signal)
    } catch (error) {
      if (!HotboltError.is(error, 'ERR_NOT_A_FILE')) throw error
      this.#tell(prefix.slice(0, -1), error.message)
    }
  }

  async #readAll(unreadable: ReadonlySet<string>): Promise<void> {
    const { tables } = this.#manifest
    const left = new Map<ManifestTable, number>(tables.map((table) => [table, table.files.length]))
    for (const table of tables) if (table.files.length === 0) this.#meter.tableDone()
    await forEachOf(filesOf(this.#manifest), this.#options.concurrency, async (each) => {
      throwIfAborted(this.#meter.signal, what)
      if (!unreadable.has(each.key)) await this.#readOne(each)
      const rest = (left.get(each.table) ?? 0) - 1
      left.set(each.table, rest)
      if (rest === 0) this.#meter.tableDone()
    })
  }

  async #readOne({ key, file }: PlacedFile): Promise<void> {
    const { signal, addBytes } = this.#meter
    const reader = this.#idle.pop() ?? new ObjectReader(this.#target, { signal, onBytes: addBytes })
    try {
      const isStore = kindsOfStores.includes(this.#manifest.source.kind)
      if (this.#options.depth === 'deep' && isStore) await this.#checkStore(reader, key, file)
      else await reader.prove(key, file)
    } catch (error) {
      if (signal.aborted) throw error
      this.#tell(key, toHotboltError(error).message)
    } finally {
      this.#idle.push(reader)
    }
  }

  async #checkStore(reader: ObjectReader, key: string, file: ManifestFile): Promise<void> {
    if (this.#target.localFile !== undefined) {
      await reader.prove(key, file)
      for (const message of await issuesOf(await this.#target.localFile(key))) {
        this.#tell(key, message)
      }
      return
    }
    this.#scratch ??= await mkdtemp(join(tmpdir(), 'hotbolt-verify-'))
    const directory = await mkdtemp(join(this.#scratch, 'store-'))
    try {
      const path = join(directory, 'store.db')
      await reader.copy(key, file, path)
      for (const message of await issuesOf(path)) this.#tell(key, message)
    } finally {
      await rm(directory, { recursive: true, force: true })
    }
  }

  #tell(key: string, message: string): void {
    this.#issues.push({ key, message })
  }
}

interface PlacedFile {
  readonly key: string
  readonly table: ManifestTable
  readonly file: ManifestFile
}

function* filesOf(manifest: Manifest): Iterable<PlacedFile> {
  for (const table of manifest.tables) {
    const prefix = tablePrefix(table.owner, table.name)
    for (const file of table.files) yield { key: `${prefix}${file.path}`, table, file }
  }
}

function expectedFiles(manifest: Manifest): Map<string, ManifestFile> {
  const files = new Map<string, ManifestFile>()
  for (const { key, file } of filesOf(manifest)) files.set(key, file)
  return files
}

/** What is wrong with the store at `path`. Nothing is written. */
async function issuesOf(path: string): Promise<readonly string[]> {
  const options = { readOnly: true, create: false }
  const db = await openDatabase(path, options, (store) => new StoreMaintainer(store))
  try {
    const { issues, issueCount } = await db.check()
    const shown = issues.slice(0, checkIssuesShown)
    const messages = shown.map(({ page, message }) => `Page ${page}: ${message}`)
    const rest = issueCount - shown.length
    return rest > 0 ? [...messages, `And ${rest} more issues of this store`] : messages
  } finally {
    await db.close()
  }
}
