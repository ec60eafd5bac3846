// What the sources and targets of a backup throw, as errors of this package.

import { HotboltError, toHotboltError } from '../errors.ts'

/** An error's message, or what was thrown instead of one. */
export const messageOf = (error: unknown): string =>
  error instanceof Error ? error.message : String(error)

/** ERR_SOURCE with the cause, and what was being done; an error of ours is what it is. */
export function sourceError(error: unknown, doing: string): HotboltError {
  if (error instanceof HotboltError) return error
  return new HotboltError('ERR_SOURCE', `${doing}: ${messageOf(error)}`, { cause: error })
}

/** The system's and our errors are what they are; ERR_IO with the cause. */
export function targetError(error: unknown, doing: string): HotboltError {
  const known = toHotboltError(error)
  if (known.code !== 'ERR_INTERNAL' || known === error) return known
  return new HotboltError('ERR_IO', `${doing}: ${messageOf(error)}`, { cause: error })
}
