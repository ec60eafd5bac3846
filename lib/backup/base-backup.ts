// The earlier backup on which an incremental one is based: which of its tables can be used again.
//
// A table can if the source gives it the same version, and its files are there with their sizes.
// Their bytes are not read: that is verifyBackup()'s work.

import { HotboltError } from '../errors.ts'
import type { SourceIdentity } from './freeze-journal.ts'
import { readManifest, tablePrefix, type ManifestTable } from './manifest.ts'
import { listBelow, type Target } from './target.ts'

export class BaseBackup {
  readonly #tables: ReadonlyMap<string, ManifestTable>
  readonly #sizes: ReadonlyMap<string, number>

  private constructor(tables: readonly ManifestTable[], sizes: ReadonlyMap<string, number>) {
    this.#tables = new Map(tables.map((table) => [table.name, table]))
    this.#sizes = sizes
  }

  /** ERR_INVALID_ARGUMENT when it is of another source: versions cannot be compared then. */
  static async read(
    target: Target,
    name: string,
    { kind, id }: SourceIdentity,
    signal: AbortSignal,
  ): Promise<BaseBackup> {
    const { source, tables } = await readManifest(target, name, signal)
    if (source.kind !== kind || source.id !== id) {
      const message = `Backup "${name}" is of ${source.kind} ${source.id}, not of ${kind} ${id}`
      throw new HotboltError('ERR_INVALID_ARGUMENT', `${message}: versions cannot be compared`)
    }
    const sizes = new Map<string, number>()
    for (const owner of new Set(tables.map((table) => table.owner))) {
      const objects = listBelow(target, `${owner}/tables/`, signal)
      for await (const { key, sizeBytes } of objects) sizes.set(key, sizeBytes)
    }
    return new BaseBackup(tables, sizes)
  }

  /** The table, if it has this version. */
  unchanged(name: string, version: string | undefined): ManifestTable | undefined {
    const table = this.#tables.get(name)
    return version !== undefined && table?.version === version ? table : undefined
  }

  /** Whether its files are there, as far as their sizes tell. */
  isWhole({ owner, name, files }: ManifestTable): boolean {
    const prefix = tablePrefix(owner, name)
    return files.every(({ path, sizeBytes }) => this.#sizes.get(`${prefix}${path}`) === sizeBytes)
  }
}
