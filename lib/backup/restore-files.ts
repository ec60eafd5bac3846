// Restoring into a directory of files, whatever they are: `<directory>/<encoded table>/<path>`, and
// the manifest beside them.
//
// They are built in a directory beside, `.<name>.hotbolt-restore`, which goes to the one that locks
// the file in it, and are renamed when all is there. What a restore that was killed has left in it
// is removed by the next one, which also puts back what had been moved away and not been replaced
// yet.

import { open as openNew, mkdir, rename, rm, rmdir } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { openDatabase, type Database } from '../database/database.ts'
import { HotboltError, toHotboltError } from '../errors.ts'
import { encodeName } from '../names.ts'
import { pathOf } from '../paths.ts'
import { invalid } from '../rules.ts'
import { directoryMode, DirectorySyncs, fileMode, kindOf, lookAt } from './files.ts'
import { syncDirectory } from '../paths.ts'
import { makeDirectories, makeDirectory, notAFile } from './files.ts'
import type { RestoreDestination, RestoreSession } from './freeze-source.ts'
import { encodeManifest, type Manifest, type ManifestTable } from './manifest.ts'
import { StoreMaintainer } from '../maintenance/store-maintainer.ts'

/** No table has this name: an encoded one does not begin with '.'. */
const manifestName = '.hotbolt-manifest.json'
const lockAttemptsMax = 10

/** What is replaced as a whole would lose what is not restored. */
export function requireWhole(isPartReplacing: boolean): void {
  if (!isPartReplacing) return
  const message = '`overwrite` replaces all that is there: restore some tables into a new place'
  throw new HotboltError('ERR_INVALID_ARGUMENT', message)
}

/** Files only, of any kind of source. `directory` is made by it. */
export function filesDestination(directory: string | URL): RestoreDestination {
  const location = pathOf(directory, 'directory')
  if (basename(location) === '') throw invalid('directory', 'below the root', directory)
  return {
    kind: undefined,
    location,
    begin: async (manifest, { overwrite, isPart }) => {
      requireWhole(overwrite && isPart)
      return FilesSession.begin(location, manifest, overwrite)
    },
  }
}

class FilesSession implements RestoreSession {
  readonly #directory: string
  readonly #manifest: Manifest
  readonly #overwrite: boolean
  readonly #lock: Database
  readonly #work: string
  readonly #content: string
  /** What was there, until its successor is in its place. */
  readonly #replaced: string
  #isOver = false

  static async begin(
    directory: string,
    manifest: Manifest,
    overwrite: boolean,
  ): Promise<FilesSession> {
    const work = join(dirname(directory), `.${basename(directory)}.hotbolt-restore`)
    try {
      await makeDirectories(dirname(directory), new DirectorySyncs())
      const lock = await lockedIn(work)
      const session = new FilesSession(directory, manifest, overwrite, work, lock)
      try {
        await session.#prepare()
        return session
      } catch (error) {
        await session.#release()
        throw error
      }
    } catch (error) {
      throw toHotboltError(error)
    }
  }

  private constructor(
    directory: string,
    manifest: Manifest,
    overwrite: boolean,
    work: string,
    lock: Database,
  ) {
    this.#directory = directory
    this.#manifest = manifest
    this.#overwrite = overwrite
    this.#work = work
    this.#lock = lock
    this.#content = join(work, 'content')
    this.#replaced = join(work, 'replaced')
  }

  async directoryFor({ name }: ManifestTable): Promise<string> {
    const directory = join(this.#content, encodeName(name))
    await mkdir(directory, { mode: directoryMode })
    return directory
  }

  async complete(): Promise<void> {
    // The files are all there is.
  }

  async commit(): Promise<void> {
    await this.#writeManifest()
    await syncDirectory(this.#content)
    await this.#requireFree()
    const isReplaced = (await lookAt(this.#directory)) !== undefined
    if (isReplaced) await rename(this.#directory, this.#replaced)
    try {
      await rename(this.#content, this.#directory)
    } catch (error) {
      if (isReplaced) await rename(this.#replaced, this.#directory)
      throw error
    }
    await syncDirectory(dirname(this.#directory))
    // It is there: what is left beside it is removed by the next restore, if not now.
    await this.#release().catch(() => {})
  }

  async abort(): Promise<void> {
    await this.#release()
  }

  /** What an earlier restore has left is undone. */
  async #prepare(): Promise<void> {
    const isMissing = (await lookAt(this.#directory)) === undefined
    if (isMissing && (await lookAt(this.#replaced)) !== undefined) {
      await rename(this.#replaced, this.#directory)
      await syncDirectory(dirname(this.#directory))
    }
    await this.#clear()
    await this.#requireFree()
    await mkdir(this.#content, { mode: directoryMode })
  }

  async #requireFree(): Promise<void> {
    if (this.#overwrite || (await lookAt(this.#directory)) === undefined) return
    const message = `There is something at ${this.#directory}: restoring would replace it`
    throw new HotboltError('ERR_EXISTS', message, { path: this.#directory })
  }

  async #writeManifest(): Promise<void> {
    const file = await openNew(join(this.#content, manifestName), 'wx', fileMode)
    try {
      await file.writeFile(await encodeManifest(this.#manifest))
      await file.sync()
    } finally {
      await file.close()
    }
  }

  /** Requires: whatever is at `#replaced` has its successor. */
  async #clear(): Promise<void> {
    for (const path of [this.#content, this.#replaced]) {
      await rm(path, { recursive: true, force: true })
    }
  }

  async #release(): Promise<void> {
    if (this.#isOver) return
    this.#isOver = true
    try {
      if ((await lookAt(this.#directory)) !== undefined) await this.#clear()
      else await rm(this.#content, { recursive: true, force: true })
    } finally {
      // The name goes while the file is locked: whoever comes then makes a new one, and whoever has
      // opened this one sees that it has no name and starts over.
      await rm(join(this.#work, 'lock'), { force: true }).catch(() => {})
      await this.#lock.close()
      await rmdir(this.#work).catch(() => {}) // another restore has begun in it
    }
  }
}

/** The directory is ours as long as the file in it is open. ERR_LOCKED. */
async function lockedIn(work: string): Promise<Database> {
  for (let attempt = 1; ; attempt++) {
    const stats = await lookAt(work)
    if (stats?.isDirectory() === false) throw notAFile(work, `is ${kindOf(stats)}`)
    await makeDirectory(work)
    try {
      const path = join(work, 'lock')
      return await openDatabase(path, undefined, (store) => new StoreMaintainer(store))
    } catch (error) {
      // Its last owner has just removed it.
      if (!HotboltError.is(error, 'ERR_NOT_FOUND') || attempt === lockAttemptsMax) throw error
    }
  }
}
