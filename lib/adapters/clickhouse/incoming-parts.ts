// The parts of one table that a restore brings.
//
//   <table>/hotbolt_restore_<random>/<part>/...   being built; ours alone
//   <table>/detached/<part>/...                   complete, and the server's
//
// They are built where the server's user cannot reach them, given to it by descriptor, and moved to
// where they are attached from. What a restore that was killed leaves is in the directory of a
// table that was never put in place. DROP TABLE removes it too, but not what is root's.

import { randomBytes } from 'node:crypto'
import { readdir, rename, rmdir } from 'node:fs/promises'
import { join } from 'node:path'

import { decodeTree } from './copy-files.ts'
import { HeldDirectory, holding, serverOf } from './held-directory.ts'

export class IncomingParts {
  readonly #table: HeldDirectory
  readonly #name: string
  readonly #building: HeldDirectory

  private constructor(table: HeldDirectory, name: string, building: HeldDirectory) {
    this.#table = table
    this.#name = name
    this.#building = building
  }

  /** `table` is a table's directory on the disk at `disk`, a real path. */
  static async begin(table: string, disk: string): Promise<IncomingParts> {
    const held = await HeldDirectory.open(table, await serverOf(disk))
    try {
      const name = `hotbolt_restore_${randomBytes(8).toString('hex')}`
      return new IncomingParts(held, name, await held.makeOurs(name))
    } catch (error) {
      await held.close()
      throw error
    }
  }

  /** Where they are put, as long as this is open. */
  get directory(): string {
    return this.#building.path
  }

  /** They are all there: the server may attach them. */
  async install(): Promise<void> {
    await decodeTree(this.directory)
    await this.#building.giveContent()
    await holding(this.#table.make('detached', 0o750), async (detached) => {
      for (const part of await readdir(this.directory)) {
        await rename(join(this.directory, part), join(detached.path, part))
      }
      await detached.sync()
    })
  }

  /** Removes what was not moved. */
  async close(): Promise<void> {
    try {
      for (const part of await readdir(this.directory)) {
        await this.#building.remove(part)
      }
      // It is empty; the server may have moved it, which is then left to the server.
      await rmdir(join(this.#table.path, this.#name)).catch(() => {})
    } finally {
      await this.#building.close()
      await this.#table.close()
    }
  }
}
