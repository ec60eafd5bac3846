// Where results and complaints go: lines for people, or JSON for programs.
//
// Names, paths and messages may be anybody's, and a terminal obeys what it is sent. So nothing
// else in the command line writes to a stream, and text passes through here line by line: within a
// line nothing steers the terminal, and no text makes a line of its own.

import type { DatabaseStats } from '../index.ts'

/** Each function waits while the reader of the other end is slower than we are. */
export interface Output {
  readonly json: boolean
  /** `value` for programs, or what `lines` makes of it for people. */
  readonly result: (value: unknown, lines: () => readonly string[]) => Promise<void>
  /** Each becomes one line, whatever it holds. */
  readonly lines: (lines: readonly string[]) => Promise<void>
  /** A value of the database, as it is. */
  readonly bytes: (bytes: Uint8Array) => Promise<void>
}

/** Whoever read standard output has left, as `head` does. */
export class ReaderLeft extends Error {}

export function createOutput(json: boolean): Output {
  return {
    json,
    result: (value, lines) => write(json ? toJson(value) : toText(lines())),
    lines: (lines) => write(toText(lines)),
    bytes: write,
  }
}

/** Whether a person sees standard output, rather than a file or a program. */
export const isOnTerminal = (): boolean => process.stdout.isTTY

/** Lines on standard error. */
export function complain(...lines: readonly string[]): void {
  process.stderr.write(toText(lines))
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

/** Escapes, other controls, what turns the direction of writing, ends of lines; not the tab. */
const steering = /(?!\t)[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu

/** One JSON document and a line end; bigints as strings. All that steers is within strings. */
function toJson(value: unknown): string {
  const replacer = (_key: string, each: unknown): unknown =>
    typeof each === 'bigint' ? String(each) : each
  const escaped = (unit: string): string => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`
  const json = JSON.stringify(value, replacer)
  return `${json.replace(steering, (each) => each.split('').map(escaped).join(''))}\n`
}

const toText = (lines: readonly string[]): string =>
  lines.map((line) => `${plain(line)}\n`).join('')

/** Text in which nothing steers the terminal: `\\u{1b}` for an escape. */
export function plain(text: string): string {
  return text.replace(steering, (each) => `\\u{${each.codePointAt(0)?.toString(16)}}`)
}

/** Those of a text of ours. */
export const linesOf = (text: string): readonly string[] => text.replace(/\n$/, '').split('\n')

/** Rows of a name and a value, aligned. */
export function toTable(rows: readonly (readonly [name: string, value: string])[]): string[] {
  const width = Math.max(...rows.map(([name]) => name.length)) + 2
  return rows.map(([name, value]) => `${name.padEnd(width)}${value}`)
}

export interface Column {
  readonly title: string
  /** Numbers and sizes are easier to compare at the right. */
  readonly right?: boolean
}

/** Rows under titles, aligned; nothing without rows. */
export function toColumns(
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
): string[] {
  if (rows.length === 0) return []
  const lines = [columns.map(({ title }) => title), ...rows.map((row) => row.map(plain))]
  const widths = columns.map((_, at) =>
    lines.reduce((width, line) => Math.max(width, line[at]?.length ?? 0), 0),
  )
  const pad = (text: string, at: number): string =>
    columns[at]?.right === true ? text.padStart(widths[at] ?? 0) : text.padEnd(widths[at] ?? 0)
  return lines.map((line) => line.map(pad).join('  ').trimEnd())
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
