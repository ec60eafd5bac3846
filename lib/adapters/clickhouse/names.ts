// Names of tables: as SQL has them, and as backups list them.
//
// A backup names a table `database.table`. A part that could be misread (it has a dot, a backquote,
// a backslash, a control character) is put into backquotes, as ClickHouse itself does, so that two
// tables never share a name.

import { HotboltError } from '../../index.ts'

export interface TableName {
  readonly database: string
  readonly table: string
}

/** For SQL, whatever the name has in it. */
export function quoteIdentifier(name: string): string {
  return `\`${name.replace(/[\\`]/g, '\\$&').replaceAll('\0', '\\0')}\``
}

/** A literal of SQL. */
export function quoteText(text: string): string {
  return `'${text.replace(/[\\']/g, '\\$&').replaceAll('\0', '\\0')}'`
}

export function quoteTable({ database, table }: TableName): string {
  return `${quoteIdentifier(database)}.${quoteIdentifier(table)}`
}

/** For the WHERE of a query of a system table with these columns. */
export function isTable({ database, table }: TableName, column: 'table' | 'name'): string {
  return `database = ${quoteText(database)} AND ${column} = ${quoteText(table)}`
}

export function listedName({ database, table }: TableName): string {
  return `${listedPart(database)}.${listedPart(table)}`
}

// eslint-disable-next-line no-control-regex
const plainPart = /^[^.`\\\x00-\x1f\x7f]+$/

function listedPart(part: string): string {
  return plainPart.test(part) ? part : quoteIdentifier(part)
}

const anyPart = /^(?:`((?:[^`\\]|\\[^])*)`|([^.`\\]+))/

/** The opposite of listedName(). ERR_INVALID_ARGUMENT. */
export function parseName(name: string): TableName {
  const database = takePart(name)
  const table = database?.rest.startsWith('.') ? takePart(database.rest.slice(1)) : undefined
  if (database === undefined || table === undefined || table.rest !== '') {
    const message = `Expected a table's name like database.table, got ${JSON.stringify(name)}`
    throw new HotboltError('ERR_INVALID_ARGUMENT', message)
  }
  return { database: database.part, table: table.part }
}

function takePart(text: string): { part: string; rest: string } | undefined {
  const match = anyPart.exec(text)
  if (match === null) return undefined
  const [whole, quoted, plain] = match
  const part = plain ?? unescape(quoted ?? '')
  return part === '' ? undefined : { part, rest: text.slice(whole.length) }
}

function unescape(quoted: string): string {
  return quoted.replace(/\\([^])/g, (_, escaped: string) => (escaped === '0' ? '\0' : escaped))
}
