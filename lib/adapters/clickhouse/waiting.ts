// Waiting that a signal ends, with ERR_ABORTED.

import { setTimeout as timer } from 'node:timers/promises'

import { HotboltError } from '../../index.ts'

/** What `promise` gives, or ERR_ABORTED when the signal comes first; the promise itself goes on. */
export async function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  promise.catch(() => {})
  throwIfAborted(signal)
  let forget = (): void => {}
  const cancelled = new Promise<never>((_, reject) => {
    forget = onAbort(signal, () => reject(aborted(signal)))
  })
  try {
    return await Promise.race([promise, cancelled])
  } finally {
    forget()
  }
}

/** A signal gets one listener however many wait: Node takes many for a leak. */
const waiting = new WeakMap<AbortSignal, Set<() => void>>()

function onAbort(signal: AbortSignal, callback: () => void): () => void {
  const callbacks = waiting.get(signal) ?? new Set()
  if (!waiting.has(signal)) {
    waiting.set(signal, callbacks)
    signal.addEventListener('abort', () => callbacks.forEach((each) => each()), { once: true })
  }
  callbacks.add(callback)
  return () => callbacks.delete(callback)
}

export function throwIfAborted(signal: AbortSignal): void {
  if (signal.aborted) throw aborted(signal)
}

function aborted(signal: AbortSignal): HotboltError {
  return new HotboltError('ERR_ABORTED', 'It was cancelled', { cause: signal.reason })
}

export async function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  await unlessAborted(timer(milliseconds), signal)
}
