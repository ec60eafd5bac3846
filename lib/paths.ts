// Paths as callers give them, and names that are to stay.

import { constants } from 'node:fs'
import { open } from 'node:fs/promises'
import { resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { HotboltError } from './errors.ts'
import { invalid, rule } from './rules.ts'

/** The absolute path of what was given as a path or a file: URL; `name` is the argument's. */
export function pathOf(given: unknown, name: string): string {
  const path = given instanceof URL ? pathOfUrl(given, name) : given
  if (typeof path !== 'string') throw invalid(name, rule.path.expected, given)
  if (!rule.text.accepts(path)) throw invalid(name, rule.text.expected, path)
  return resolve(path)
}

/** The same of a file. */
export function filePathOf(given: unknown, name: string): string {
  const path = pathOf(given, name)
  if (!/[/\\]$/.test(String(given))) return path
  throw invalid(name, 'the path of a file, without a slash at its end', given)
}

function pathOfUrl(url: URL, name: string): string {
  try {
    return fileURLToPath(url)
  } catch (cause) {
    const message = `Expected \`${name}\` to be a path or a file: URL, got ${url.href}`
    throw new HotboltError('ERR_INVALID_ARGUMENT', message, { cause })
  }
}

/** Whether it is meant to be a path; whether it is one, pathOf() says. */
export const isPath = (given: unknown): given is string | URL =>
  typeof given === 'string' || given instanceof URL

/** Names that were made, changed or removed in the directory survive a power cut. */
export async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, constants.O_RDONLY | constants.O_DIRECTORY)
  try {
    await directory.sync()
  } finally {
    await directory.close()
  }
}
