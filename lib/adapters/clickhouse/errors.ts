// ClickHouse's numbers of errors, which every client hides somewhere else.

import { HotboltError } from '../../index.ts'

export const errorNumbers = {
  fileIsEmpty: 32,
  syntax: 62,
  unknownTable: 60,
  unknownSetting: 115,
} as const

/**
 * ClickHouse's number of an error, exactly: chdb has it as `clickhouseCode`, @clickhouse/client as
 * `code`, a string; others say "Code: 60. ..." where their message begins. undefined when the error
 * is not the server's answer.
 */
export function errorNumber(error: unknown): number | undefined {
  const chain = causes(error)
  if (chain.some((each) => ofSystemTables.has(each))) return undefined
  for (const each of chain) {
    const { clickhouseCode, code } = each as { clickhouseCode?: unknown; code?: unknown }
    if (typeof clickhouseCode === 'number') return clickhouseCode
    // Not numbers: those are of DOMExceptions, 20 for one that was aborted.
    if (typeof code === 'string' && /^\d{1,9}$/.test(code)) return Number(code)
  }
  for (const each of chain) {
    const match = /^\s*code: (\d{1,9})\b/i.exec((each as { message?: string }).message ?? '')
    if (match !== null) return Number(match[1])
  }
  return undefined
}

/** What queries of system tables failed with: their numbers say nothing of a table. */
const ofSystemTables = new WeakSet<object>()

/** The same for a query of a system table: a number of it does not mean that a table is gone. */
export function systemError(doing: string, cause: unknown): HotboltError {
  const error = sourceError(doing, cause)
  ofSystemTables.add(error)
  return error
}

/** The error and its causes; a circle ends. */
function causes(error: unknown): object[] {
  const chain: object[] = []
  let each: unknown = error
  while (typeof each === 'object' && each !== null && !chain.includes(each) && chain.length < 20) {
    chain.push(each)
    each = (each as { cause?: unknown }).cause
  }
  return chain
}

/** ERR_SOURCE, unless it is an error of ours already. */
export function sourceError(doing: string, cause: unknown): HotboltError {
  if (cause instanceof HotboltError) return cause
  const reason = cause instanceof Error ? cause.message : String(cause)
  const number = errorNumber(cause)
  const named =
    number === undefined || /^\s*code: \d/i.test(reason) ? reason : `Code: ${number}. ${reason}`
  return new HotboltError('ERR_SOURCE', `${doing}: ${named.trim()}${hintFor(number, reason)}`, {
    cause,
  })
}

function hintFor(number: number | undefined, reason: string): string {
  if (number !== errorNumbers.fileIsEmpty && !/increment\.txt/.test(reason)) return ''
  return (
    ' (The counter shadow/increment.txt in the data path is empty: a server that was killed as it' +
    ' froze leaves it so, and older servers then refuse every FREEZE. Write 0 and a line end into' +
    ' it.)'
  )
}

/** The answer of a server to a table that is not there, given in its place. */
export function tableIsGone(name: string): HotboltError {
  const cause = new Error(`Code: ${errorNumbers.unknownTable}. Table ${name} does not exist`)
  return new HotboltError('ERR_SOURCE', `Table ${name} does not exist`, { cause })
}
