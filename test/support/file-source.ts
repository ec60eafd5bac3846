// A source whose tables and freezes are files, so that freezes outlive the process that made them:
//
//   <root>/tables/<name>   the content of a table
//   <root>/frozen/<id>     a freeze, for as long as it is held

import { existsSync, mkdirSync, readdirSync } from 'node:fs'
import { copyFile, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Freeze, FreezeSource, FrozenTable, SourceTable, TableFile } from '../../lib/index.ts'

export class FileSource implements FreezeSource {
  readonly kind: string = 'files'
  readonly id: string
  /** Awaited before and after the work of each call: 'freeze before a', ... */
  readonly #at: (point: string) => Promise<void>

  constructor(root: string, at: (point: string) => Promise<void> = async () => {}) {
    this.id = root
    this.#at = at
    mkdirSync(join(root, 'tables'), { recursive: true })
    mkdirSync(join(root, 'frozen'), { recursive: true })
  }

  /** The ids of what is frozen. */
  get frozen(): string[] {
    return readdirSync(join(this.id, 'frozen')).toSorted()
  }

  listTables(): Promise<readonly SourceTable[]> {
    return this.#call('list', '', async () => {
      const names = await readdir(join(this.id, 'tables'))
      return names.toSorted().map((name) => ({ name }))
    })
  }

  freeze(freeze: Freeze): Promise<FrozenTable> {
    const { table } = freeze
    return this.#call('freeze', table, async () => {
      await writeFile(this.#pathOf(freeze), JSON.stringify(freeze))
      return { copy: (directory) => this.#copy(table, directory) }
    })
  }

  unfreeze(freeze: Freeze): Promise<void> {
    return this.#call('unfreeze', freeze.table, () => rm(this.#pathOf(freeze), { force: true }))
  }

  isFrozen(freeze: Freeze): Promise<boolean> {
    return this.#call('isFrozen', freeze.table, async () => existsSync(this.#pathOf(freeze)))
  }

  #copy(table: string, directory: string): Promise<readonly TableFile[]> {
    return this.#call('copy', table, async () => {
      const file = join(directory, 'data')
      await copyFile(join(this.id, 'tables', table), file)
      return [{ path: 'data', sizeBytes: (await stat(file)).size }]
    })
  }

  #pathOf({ id }: Freeze): string {
    return join(this.id, 'frozen', id)
  }

  async #call<T>(verb: string, table: string, work: () => Promise<T>): Promise<T> {
    await this.#at(`${verb} before ${table}`)
    const result = await work()
    await this.#at(`${verb} after ${table}`)
    return result
  }
}
