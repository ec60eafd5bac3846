// Where results go: text for people, or JSON for programs.

import type { DatabaseStats } from '../index.ts'

export interface Output {
  readonly json: boolean
  /** Waits while the reader of the other end is slower than we are. */
  readonly write: (text: string | Uint8Array) => Promise<void>
}

/** Whoever read standard output has left, as `head` does. */
export class ReaderLeft extends Error {}

export function createOutput(json: boolean): Output {
  return { json, write }
}

function write(text: string | Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => {
    process.stdout.write(text, (error?: NodeJS.ErrnoException | null) => {
      if (error === null || error === undefined) resolve()
      else reject(error.code === 'EPIPE' ? new ReaderLeft('Nobody reads the output') : error)
    })
  })
}

/**
 * Errors of standard output are those of write(): the command ends in order and closes its
 * database. Of standard error there is nobody to tell.
 */
export function keepStreamErrors(): void {
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {})
}

/** One JSON document and a line end; bigints as strings. */
export function toJson(value: unknown): string {
  const replacer = (_key: string, each: unknown): unknown =>
    typeof each === 'bigint' ? String(each) : each
  return `${JSON.stringify(value, replacer)}\n`
}

/** Text in which nothing steers the terminal: `\\u{1b}` for an escape. */
export function plain(text: string): string {
  const steering = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu
  return text.replace(steering, (each) => `\\u{${each.codePointAt(0)?.toString(16)}}`)
}

/** Rows of a name and a value, aligned. */
export function toTable(rows: readonly (readonly [name: string, value: string])[]): string {
  const width = Math.max(...rows.map(([name]) => name.length)) + 2
  return rows.map(([name, value]) => `${name.padEnd(width)}${plain(value)}\n`).join('')
}

export interface Column {
  readonly title: string
  /** Numbers and sizes are easier to compare at the right. */
  readonly right?: boolean
}

/** Rows under titles, aligned; '' without rows. */
export function toColumns(
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
): string {
  if (rows.length === 0) return ''
  const lines = [columns.map(({ title }) => title), ...rows.map((row) => row.map(plain))]
  const widths = columns.map((_, at) => Math.max(...lines.map((line) => line[at]?.length ?? 0)))
  const pad = (text: string, at: number): string =>
    columns[at]?.right === true ? text.padStart(widths[at] ?? 0) : text.padEnd(widths[at] ?? 0)
  return lines.map((line) => `${line.map(pad).join('  ').trimEnd()}\n`).join('')
}

/** `1 table`, `12 tables`. */
export function counted(count: number, noun: string): string {
  return `${count.toLocaleString('en-US')} ${noun}${count === 1 ? '' : 's'}`
}

/** What a leftover journal holds on top of the file: '' when it holds nothing. */
export function journalNote({ lastSeq, coveredSeq }: DatabaseStats): string {
  const transactions = lastSeq - coveredSeq
  if (transactions === 0) return ''
  return `the journal beside the file has ${transactions} transactions more, which are not counted`
}
