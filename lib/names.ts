// Names of any Unicode text as names of files: of a catalog's stores, and of tables in a backup.
//
// Lower-case ASCII letters, digits, '-', '_' and '.' (not in front) stand for themselves; every
// other byte of the UTF-8 is '%' and two lower-case hexadecimal digits. So two names never meet,
// not even where file names ignore case or normalize accents. What would become too long for a file
// system is '%~' and the SHA-256 of the name: whoever lists such files keeps the name beside them.
//
// Backups themselves are called by names that are file names as they are.

import { createHash } from 'node:crypto'
import { invalid, type Rule } from './rules.ts'

const encodedLengthMax = 200
export const nameBytesMax = 1024
const literal = /^[a-z0-9_-]$/

/** What a backup may be called; 'latest' stands for the newest one on the command line. */
export const backupName: Rule = {
  expected: "1 to 100 letters, digits, '.', '_' and '-', not beginning with '.', nor 'latest'",
  accepts: (value) =>
    typeof value === 'string' &&
    value !== 'latest' &&
    /^[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}$/.test(value),
}

/** Throws ERR_INVALID_ARGUMENT unless `name` is 1 to 1,024 bytes of well-formed Unicode. */
export function requireName(name: unknown): asserts name is string {
  if (typeof name !== 'string' || name === '') throw invalid('name', 'a non-empty string', name)
  const bytes = Buffer.from(name)
  if (bytes.length > nameBytesMax) {
    throw invalid('name', `at most ${nameBytesMax} bytes of UTF-8`, name)
  }
  if (!name.isWellFormed()) throw invalid('name', 'well-formed Unicode', name)
}

/** The file name for `name`. Requires: requireName(). */
export function encodeName(name: string): string {
  const encoded = [...Buffer.from(name)].map(encodeByte).join('')
  if (encoded.length <= encodedLengthMax) return encoded
  return `%~${createHash('sha256').update(name).digest('hex')}`
}

/** The name that has this file name; undefined: none, or one that is too long to be in it. */
export function decodeName(file: string): string | undefined {
  if (!/^(?:[a-z0-9_.-]|%[0-9a-f]{2})+$/.test(file)) return undefined
  const bytes = file.replace(/%([0-9a-f]{2})/g, (_match, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  )
  const name = Buffer.from(bytes, 'latin1').toString()
  return encodeName(name) === file ? name : undefined
}

function encodeByte(byte: number, index: number): string {
  const character = String.fromCharCode(byte)
  if (literal.test(character) || (character === '.' && index > 0)) return character
  return `%${byte.toString(16).padStart(2, '0')}`
}
