// What a backup can be made of, as a source.

import { Database } from '../database/database.ts'
import type { FreezeSource } from '../backup/freeze-source.ts'
import { invalid } from '../rules.ts'
import { Catalog } from './catalog.ts'
import { DatabaseSource, type StoreSourceOptions } from './store-source.ts'

/** A database, whose only table it is; a catalog, whose tables are its stores; or any source. */
export type BackupSource = Database | Catalog | FreezeSource

export function sourceOf(source: BackupSource): FreezeSource {
  if (source instanceof Database) return new DatabaseSource(source)
  if (source instanceof Catalog) return source.freezeSource()
  return source
}

/** One database as the source of a backup, copied in another style than usual. */
export function databaseSource(db: Database, options?: StoreSourceOptions): FreezeSource {
  if (!(db instanceof Database)) throw invalid('db', 'a database', db)
  return new DatabaseSource(db, options)
}
