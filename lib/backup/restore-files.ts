// Restoring into a directory of files, whatever they are: `<directory>/<encoded table>/<path>`, and
// the manifest beside them.
//
// They are built in a directory beside, `.<name>.hotbolt-restore`, which goes to the one that locks
// the file in it, and are renamed when all is there. What a restore that was killed has left in it
// is removed by the next one, which also puts back what had been moved away and not been replaced
// yet. Such a directory is our own and not to be written by others, or it is not used: what
// somebody else has put into it would be put in place.

import { mkdir, rename, rm, rmdir } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { openDatabase, type Database } from '../database/database.ts'
import { HotboltError, onDisk, toHotboltError } from '../errors.ts'
import { encodeName } from '../names.ts'
import { pathOf, syncDirectory } from '../paths.ts'
import { invalid } from '../rules.ts'
import {
  createFile,
  directoryMode,
  lookAt,
  makeDirectory,
  requireOwnFile,
  requirePrivateDirectory,
} from '../safe-files.ts'
import { DirectorySyncs, makeDirectories } from './files.ts'
import type { RestoreDestination, RestoreSession } from './freeze-source.ts'
import { encodeManifest, type Manifest, type ManifestTable } from './manifest.ts'
import { restoredManifest, restorePlaces } from './names.ts'
import { StoreMaintainer } from '../maintenance/store-maintainer.ts'

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

type Places = ReturnType<typeof restorePlaces>

class FilesSession implements RestoreSession {
  readonly #directory: string
  readonly #manifest: Manifest
  readonly #overwrite: boolean
  readonly #lock: Database
  /** `replaced`: what was there, until its successor is in its place. */
  readonly #places: Places
  #isOver = false

  static async begin(
    directory: string,
    manifest: Manifest,
    overwrite: boolean,
  ): Promise<FilesSession> {
    const places = restorePlaces(directory)
    try {
      await makeDirectories(dirname(directory), new DirectorySyncs())
      const lock = await lockedIn(places)
      const session = new FilesSession(directory, manifest, overwrite, places, lock)
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
    places: Places,
    lock: Database,
  ) {
    this.#directory = directory
    this.#manifest = manifest
    this.#overwrite = overwrite
    this.#places = places
    this.#lock = lock
  }

  async directoryFor({ name }: ManifestTable): Promise<string> {
    const directory = join(this.#places.content, encodeName(name))
    await mkdir(directory, { mode: directoryMode })
    return directory
  }

  async complete(): Promise<void> {
    // The files are all there is.
  }

  async commit(): Promise<void> {
    await this.#writeManifest()
    await syncDirectory(this.#places.content)
    await this.#requireFree()
    const isReplaced = (await lookAt(this.#directory)) !== undefined
    if (isReplaced) await rename(this.#directory, this.#places.replaced)
    try {
      await rename(this.#places.content, this.#directory)
    } catch (error) {
      if (isReplaced) await rename(this.#places.replaced, this.#directory)
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
    if (isMissing && (await lookAt(this.#places.replaced)) !== undefined) {
      await rename(this.#places.replaced, this.#directory)
      await syncDirectory(dirname(this.#directory))
    }
    await this.#clear()
    await this.#requireFree()
    await mkdir(this.#places.content, { mode: directoryMode })
  }

  async #requireFree(): Promise<void> {
    if (this.#overwrite || (await lookAt(this.#directory)) === undefined) return
    const message = `There is something at ${this.#directory}: restoring would replace it`
    throw new HotboltError('ERR_EXISTS', message, { path: this.#directory })
  }

  async #writeManifest(): Promise<void> {
    const file = await createFile(join(this.#places.content, restoredManifest))
    try {
      await file.writeFile(await encodeManifest(this.#manifest))
      await file.sync()
    } finally {
      await file.close()
    }
  }

  /** Requires: whatever is at `#replaced` has its successor. */
  async #clear(): Promise<void> {
    for (const path of [this.#places.content, this.#places.replaced]) {
      await rm(path, { recursive: true, force: true })
    }
  }

  async #release(): Promise<void> {
    if (this.#isOver) return
    this.#isOver = true
    try {
      if ((await lookAt(this.#directory)) !== undefined) await this.#clear()
      else await rm(this.#places.content, { recursive: true, force: true })
    } finally {
      // The name goes while the file is locked: whoever comes then makes a new one, and whoever has
      // opened this one sees that it has no name and starts over.
      await rm(this.#places.lock, { force: true }).catch(() => {})
      await this.#lock.close()
      await rmdir(this.#places.work).catch(() => {}) // another restore has begun in it
    }
  }
}

/** The directory is ours as long as the file in it is open. ERR_LOCKED. */
async function lockedIn({ work, lock }: Places): Promise<Database> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await onDisk(() => lockOnce(work, lock))
    } catch (error) {
      // Its last owner has just removed it.
      if (!HotboltError.is(error, 'ERR_NOT_FOUND') || attempt === lockAttemptsMax) throw error
    }
  }
}

async function lockOnce(work: string, lock: string): Promise<Database> {
  await makeDirectory(work)
  await requirePrivateDirectory(work)
  const stats = await lookAt(lock)
  if (stats !== undefined) await requireOwnFile(lock, stats)
  return openDatabase(lock, undefined, (store) => new StoreMaintainer(store))
}
