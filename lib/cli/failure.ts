// What a failed command says on standard error, and its exit code.
//
// A command that fails while a database is open for writing may fail twice: closing the database
// fails as well, for the same reason as a rule. `await using` then throws a SuppressedError, whose
// own message says nothing: both errors are told, the first one first, which decides the exit
// code.

import { HotboltError } from '../index.ts'
import { exitCodes, UsageError } from './command.ts'

/** The errors that `error` stands for, in the order in which they happened. */
export function failuresOf(error: unknown): readonly unknown[] {
  const both = suppression(error)
  return both === undefined ? [error] : [both.suppressed, both.error].flatMap(failuresOf)
}

/** The class is not in Node 20, where TypeScript's helper makes an Error of this name. */
function suppression(error: unknown): { error: unknown; suppressed: unknown } | undefined {
  if (!(error instanceof Error) || error.name !== 'SuppressedError') return undefined
  return error as Error & { error: unknown; suppressed: unknown }
}

/** One line for each failure, with its code; the same line is not said twice. */
export function describeFailure(error: unknown): string[] {
  const lines = failuresOf(error).map(describeOne)
  return [...new Set(lines)].map((line) => `hotbolt: ${line}`)
}

function describeOne(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error)
  return HotboltError.is(error) ? `${message} (${error.code})` : message
}

export function exitCodeOf(error: unknown): number {
  const [first] = failuresOf(error)
  if (first instanceof UsageError) return exitCodes.usage
  if (HotboltError.is(first, 'ERR_INVALID_ARGUMENT')) return exitCodes.usage
  if (HotboltError.is(first, 'ERR_BACKUP_CORRUPT')) return exitCodes.damaged
  return HotboltError.is(first, 'ERR_LOCKED') ? exitCodes.locked : exitCodes.failed
}

/** Whether the command was cancelled, whatever failed as it ended. */
export const wasAborted = (error: unknown): boolean =>
  HotboltError.is(failuresOf(error)[0], 'ERR_ABORTED')
