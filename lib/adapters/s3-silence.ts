// No call waits for ever: a service that says nothing for some time is an error, and so is an
// object whose bytes stop coming. The time in which the caller does something else does not count.

import type { Readable } from 'node:stream'
/** A call with a signal of its own, which ends with the caller's or when `timeoutMs` are over. */
export async function answered<T>(
  ask: (signal: AbortSignal) => Promise<T>,
  timeoutMs: number,
  signal: AbortSignal | undefined,
): Promise<T> {
  signal?.throwIfAborted()
  const cancellation = new AbortController()
  const ended = rejectedBy(cancellation.signal)
  const onAbort = (): void => cancellation.abort(signal?.reason)
  const timer = setTimeout(() => cancellation.abort(silent(timeoutMs)), timeoutMs)
  signal?.addEventListener('abort', onAbort, { once: true })
  try {
    // Not only by the signal: a client may not listen to it.
    return await Promise.race([ask(cancellation.signal), ended])
  } finally {
    clearTimeout(timer)
    signal?.removeEventListener('abort', onAbort)
  }
}

/** The chunks of `body`; ends it when its reader leaves, at the signal, and when none comes. */
export async function* chunksOf(
  body: Readable,
  timeoutMs: number,
  signal: AbortSignal | undefined,
): AsyncGenerator<unknown> {
  const chunks = body[Symbol.asyncIterator]()
  try {
    for (;;) {
      const next = await answered(() => chunks.next(), timeoutMs, signal)
      if (next.done === true) return
      yield next.value
    }
  } finally {
    body.destroy()
  }
}

function rejectedBy(signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true })
  })
}

const silent = (timeoutMs: number): Error =>
  new Error(`The service has said nothing for ${timeoutMs} ms`)
