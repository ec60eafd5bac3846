// Signals that cancel: what they become as errors.

import { HotboltError } from '../errors.ts'

/** ERR_ABORTED with the signal's reason as its cause. `what` begins the sentence. */
export function throwIfAborted(signal: AbortSignal | undefined, what: string): void {
  if (signal?.aborted === true) throw cancelled(signal, what)
}

export function cancelled(signal: AbortSignal, what: string): HotboltError {
  return new HotboltError('ERR_ABORTED', `${what} was cancelled`, { cause: signal.reason })
}
