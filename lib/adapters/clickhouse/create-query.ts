// The definition of a table, as the server tells it, made into one for another name.

import { HotboltError } from '../../index.ts'
import { quoteTable, type TableName } from './names.ts'

const identifier = /(?:`(?:[^`\\]|\\[^]|``)*`|"(?:[^"\\]|\\[^]|"")*"|[A-Za-z_][A-Za-z0-9_]*)/.source
const literal = /'(?:[^'\\]|\\[^]|'')*'/.source

const head = new RegExp(
  String.raw`^\s*(?:CREATE|ATTACH)\s+TABLE\s+(?:IF\s+NOT\s+EXISTS\s+)?${identifier}` +
    String.raw`(?:\.${identifier})?(?:\s+UUID\s+${literal})?(?=[\s(])`,
  'i',
)
const replicated = new RegExp(
  String.raw`(\bENGINE\s*=\s*)Replicated([A-Za-z]*MergeTree)` +
    String.raw`(?:\(\s*${literal}\s*,\s*${literal}\s*(?:,\s*)?)?`,
)

/** ERR_BACKUP_CORRUPT for what is not CREATE TABLE. The new table gets a UUID of its own. */
export function createQueryFor(name: TableName, createQuery: string): string {
  if (!head.test(createQuery)) {
    const message = `Not the definition of a table: ${createQuery.slice(0, 80)}`
    throw new HotboltError('ERR_BACKUP_CORRUPT', message)
  }
  // A function: names may have '$' in them.
  return createQuery.replace(head, () => `CREATE TABLE ${quoteTable(name)}`)
}

export function isReplicated(engine: string): boolean {
  return engine.startsWith('Replicated')
}

/** The same table without replicas: its parts can be attached to the one with them. */
export function withoutReplication(createQuery: string): string {
  return createQuery.replace(
    replicated,
    (whole, engine: string, family: string) =>
      `${engine}${family}${whole.includes('(') ? '(' : ''}`,
  )
}
