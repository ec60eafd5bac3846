// A directory of the server's in which this process makes something, held by its descriptor.
//
// The server's user may rename what is in its directories, and put links in the place, at any
// moment; for root a name would then lead wherever that user likes. A descriptor leads to the same
// directory as long as it is open. Node has no openat(), but Linux has a path for each descriptor:
// what comes after it is looked up in that very directory. Where there is none (macOS, no /proc),
// root is refused if the data are another user's. The server's user itself goes by names: it may do
// nothing to itself.

import type { Stats } from 'node:fs'
import { lstat, mkdir, readdir, rmdir, stat, unlink, type FileHandle } from 'node:fs/promises'
import { join } from 'node:path'

import { HotboltError } from '../../index.ts'
import { directoryMode, lookAt, makeDirectory, openDirectory, openFile } from '../../safe-files.ts'

/** The server's user and group. */
export type Owner = Pick<Stats, 'uid' | 'gid'>

/** Of the directory in which the server keeps tables; where there is none, of the disk's. */
export async function serverOf(disk: string): Promise<Stats> {
  const tables = await lookAt(join(disk, 'store'))
  return tables?.isDirectory() === true ? tables : lstat(disk)
}

const us = (): number => process.geteuid?.() ?? 0

export class HeldDirectory {
  /** What is in it is reached by this path, as long as it is held. */
  readonly path: string
  readonly #handle: FileHandle
  readonly #server: Owner

  private constructor(path: string, handle: FileHandle, server: Owner) {
    this.path = path
    this.#handle = handle
    this.#server = server
  }

  /** That of a disk, a real path, whose parents are not the server's. */
  static async ofDisk(disk: string): Promise<HeldDirectory> {
    return HeldDirectory.#hold(disk, await serverOf(disk), undefined)
  }

  /** One of the server's. ERR_NOT_A_FILE for a link, ERR_PERMISSION for somebody else's. */
  static open(path: string, server: Owner): Promise<HeldDirectory> {
    return HeldDirectory.#hold(path, server, [server.uid])
  }

  /** One of the server's in it. The same errors. */
  enter(name: string): Promise<HeldDirectory> {
    return HeldDirectory.open(join(this.path, name), this.#server)
  }

  /** The same; it is made if there is none, and becomes the server's. */
  async make(name: string, mode: number): Promise<HeldDirectory> {
    const path = join(this.path, name)
    await makeDirectory(path, mode)
    const directory = await HeldDirectory.#hold(path, this.#server, [this.#server.uid, us()])
    await give(directory.#handle, this.#server)
    return directory
  }

  /** A new one in it, which is ours: nobody else may enter it. Fails with EEXIST. */
  async makeOurs(name: string): Promise<HeldDirectory> {
    const path = join(this.path, name)
    await mkdir(path, { mode: directoryMode })
    return HeldDirectory.#hold(path, this.#server, [us()])
  }

  static async #hold(
    path: string,
    server: Owner,
    owners: readonly number[] | undefined,
  ): Promise<HeldDirectory> {
    const handle = await openDirectory(path)
    try {
      const { uid } = await handle.stat()
      if (owners?.includes(uid) === false) throw refused(path, `belongs to user ${uid}`)
      return new HeldDirectory(await placeOf(handle, path, server), handle, server)
    } catch (error) {
      await handle.close()
      throw error
    }
  }

  /** Removes what has this name, with all that is in it; links go, what they name stays. */
  async remove(name: string): Promise<void> {
    const path = join(this.path, name)
    const stats = await lookAt(path)
    if (stats === undefined) return
    if (!stats.isDirectory()) return unlink(path)
    await holding(
      HeldDirectory.#hold(path, this.#server, [this.#server.uid, us()]),
      async (held) => {
        for (const below of await readdir(held.path)) await held.remove(below)
      },
    )
    await rmdir(path)
  }

  /** Everything in it becomes the server's. REQUIRES: it is ours. */
  async giveContent(): Promise<void> {
    await giveTree(this.path, this.#server)
  }

  async sync(): Promise<void> {
    await this.#handle.sync()
  }

  async close(): Promise<void> {
    await this.#handle.close()
  }
}

/** Closes it after `run`. */
export async function holding<T>(
  opening: Promise<HeldDirectory>,
  run: (directory: HeldDirectory) => Promise<T>,
): Promise<T> {
  const directory = await opening
  try {
    return await run(directory)
  } finally {
    await directory.close()
  }
}

async function placeOf(handle: FileHandle, path: string, server: Owner): Promise<string> {
  if (server.uid === us()) return path
  const place = `/proc/self/fd/${handle.fd}`
  const [held, found] = [await handle.stat(), await stat(place).catch(() => undefined)]
  if (found?.dev === held.dev && found.ino === held.ino) return place
  throw refused(path, `belongs to user ${server.uid}: do this as that user`)
}

/** What this process makes in the server's directories has to be the server's. By descriptor. */
export async function give(made: FileHandle, server: Owner): Promise<void> {
  const { uid, gid } = await made.stat()
  if (uid !== server.uid || gid !== server.gid) await made.chown(server.uid, server.gid)
}

async function giveTree(directory: string, server: Owner): Promise<void> {
  for (const entry of await readdir(directory, { withFileTypes: true })) {
    const path = join(directory, entry.name)
    if (entry.isDirectory()) await giveTree(path, server)
    const made = await (entry.isDirectory() ? openDirectory(path) : openFile(path))
    try {
      await give(made, server)
    } finally {
      await made.close()
    }
  }
}

function refused(path: string, why: string): HotboltError {
  return new HotboltError('ERR_PERMISSION', `${path} ${why}`, { path })
}
