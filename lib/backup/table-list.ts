// The tables that a backup is going to copy: what the source lists, proven, and what of it is
// meant.

import { HotboltError } from '../errors.ts'
import { requireName } from '../names.ts'
import { messageOf, sourceError } from './backup-error.ts'
import type { TableFilter } from './backup-options.ts'
import type { SourceTable } from './freeze-source.ts'
import type { GuardedSource } from './guarded-source.ts'
import { tableFilter } from './table-filter.ts'

/**
 * In the source's order. None when the source has none; ERR_NOT_FOUND when it has some, and none is
 * meant: a pattern is misspelled then. ERR_SOURCE, or a code of ours: what the source said.
 */
export async function listTables(
  source: GuardedSource,
  filter: TableFilter,
  signal: AbortSignal,
): Promise<readonly SourceTable[]> {
  signal.throwIfAborted()
  const listed = await provenTables(source, signal)
  signal.throwIfAborted()
  const isMeant = tableFilter(filter)
  const tables = listed.filter(({ name }) => isMeant(name))
  if (tables.length > 0 || listed.length === 0) return tables
  const message = `None of the ${listed.length} tables is meant by \`include\` and \`exclude\``
  throw new HotboltError('ERR_NOT_FOUND', message)
}

async function provenTables(
  source: GuardedSource,
  signal: AbortSignal,
): Promise<readonly SourceTable[]> {
  const names = new Set<string>()
  try {
    const listed = [...(await source.listTables(signal))]
    for (const { name } of listed) {
      if (names.has(name)) throw new HotboltError('ERR_SOURCE', `There are two tables "${name}"`)
      names.add(name)
    }
    for (const name of names) requireTableName(name)
    return listed
  } catch (error) {
    throw sourceError(error, 'The tables could not be listed')
  }
}

function requireTableName(name: string): void {
  try {
    requireName(name)
  } catch (cause) {
    const message = `A table has a name that cannot be: ${messageOf(cause)}`
    throw new HotboltError('ERR_SOURCE', message, { cause })
  }
}
