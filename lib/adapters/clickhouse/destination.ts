// ClickHouse as the place where restoreBackup() puts tables.
//
// Each table is made under a name of its own beside the final one, its parts are put into
// `detached` and attached, and the hashes that the server now has are compared with those of the
// backup. Only commit() renames. What was there is dropped after all tables are in place.
//
// The definitions in a backup are executed: restore only backups that you trust.

import { randomBytes } from 'node:crypto'

import {
  HotboltError,
  type Manifest,
  type ManifestTable,
  type RestoreDestination,
  type RestoreSession,
} from '../../index.ts'
import { connect, type ClickHouseClient, type Connection } from './client.ts'
import { isReplicated } from './create-query.ts'
import { Disks } from './disks.ts'
import { sourceError } from './errors.ts'
import { isPartName, metadataOf } from './metadata.ts'
import { listedName, parseName, type TableName } from './names.ts'
import { ClickHouseRestore, type PlannedTable } from './restore-session.ts'

export interface ClickHouseDestinationOptions {
  /** A client of `@clickhouse/client`, a Session of chdb, a function, or several of them. */
  readonly client: ClickHouseClient | readonly ClickHouseClient[]
  /** Where this process finds the data of the disk 'default', if not where the server says. */
  readonly dataPath?: string | undefined
  /** Another name for a table: 'database.table' to 'database.table'. */
  readonly mapTable?: ((name: string) => string) | undefined
}

/**
 * A destination of restoreBackup(). A table that exists is ERR_EXISTS; with `overwrite` it is
 * replaced. One that is empty is filled, and keeps its definition: that is the way for Replicated
 * tables, which are only restored into empty ones.
 */
export function clickhouseDestination(options: ClickHouseDestinationOptions): RestoreDestination {
  const connection = connect(options.client)
  return {
    kind: 'clickhouse',
    begin: async (manifest, { overwrite }) => {
      const disks = await Disks.read(connection, options.dataPath)
      return beginRestore(connection, disks, manifest, overwrite, options.mapTable)
    },
  }
}

async function beginRestore(
  connection: Connection,
  disks: Disks,
  manifest: Manifest,
  overwrite: boolean,
  mapTable: ((name: string) => string) | undefined,
): Promise<RestoreSession> {
  const existing = await existingTables(connection)
  const run = randomBytes(4).toString('hex')
  const planned = manifest.tables.map((table, index): PlannedTable => {
    const metadata = metadataOf(table)
    requireParts(table, new Set(metadata.parts.map(({ name }) => name)))
    const final = mapTable === undefined ? metadata : parseName(mapTable(table.name))
    const { database } = final
    const name = { database, table: final.table }
    return {
      name: table.name,
      metadata,
      final: name,
      staged: { database, table: `hotbolt_restore_${run}_${index}` },
      replaced: { database, table: `hotbolt_replaced_${run}_${index}` },
      way: wayOf(name, metadata.engine, existing.get(listedName(name)), overwrite),
    }
  })
  refuseTwins(planned)
  return new ClickHouseRestore(connection, disks, planned)
}

type Existing = 'empty' | 'in use'

/** All tables of the server, under their listed names. */
async function existingTables(connection: Connection): Promise<ReadonlyMap<string, Existing>> {
  const tables = new Map<string, Existing>()
  try {
    const rows = await connection.rows(`SELECT database, name,
      engine LIKE '%MergeTree' AND (database, name) NOT IN
        (SELECT database, table FROM system.parts WHERE active) AS is_empty
      FROM system.tables`)
    for (const row of rows) {
      const name = { database: String(row['database']), table: String(row['name']) }
      tables.set(listedName(name), Number(row['is_empty']) === 1 ? 'empty' : 'in use')
    }
  } catch (error) {
    throw sourceError('The tables could not be listed', error)
  }
  return tables
}

/** How a table gets its final name. ERR_EXISTS. */
function wayOf(
  name: TableName,
  engine: string,
  existing: Existing | undefined,
  overwrite: boolean,
): PlannedTable['way'] {
  if (isReplicated(engine)) {
    if (existing === 'empty') return 'fill'
    const message = `Make the replicated table ${listedName(name)} first, empty: it is then filled`
    throw new HotboltError(existing === undefined ? 'ERR_NOT_FOUND' : 'ERR_EXISTS', message)
  }
  if (existing === undefined) return 'create'
  if (overwrite) return 'replace'
  if (existing === 'empty') return 'fill'
  throw new HotboltError('ERR_EXISTS', `The table ${listedName(name)} exists already`)
}

/** ERR_BACKUP_CORRUPT unless the files are those of the parts, all of them. */
function requireParts(table: ManifestTable, parts: ReadonlySet<string>): void {
  const found = new Set(table.files.map(({ path }) => path.split('/')[0]))
  const isSame = found.size === parts.size && [...found].every((part) => parts.has(part ?? ''))
  if (isSame && [...parts].every(isPartName)) return
  const message = `The files of ${table.name} are not those of its parts`
  throw new HotboltError('ERR_BACKUP_CORRUPT', message)
}

function refuseTwins(planned: readonly PlannedTable[]): void {
  const names = planned.map(({ final }) => listedName(final))
  const twin = names.find((name, index) => names.indexOf(name) !== index)
  if (twin === undefined) return
  const message = `Two tables of the backup would become ${twin}`
  throw new HotboltError('ERR_INVALID_ARGUMENT', message)
}
