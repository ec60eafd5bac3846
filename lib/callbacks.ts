// The caller's functions that are told of progress.

/** What a callback threw; boxed, because that may be undefined. */
export interface Thrown {
  readonly error: unknown
}

/**
 * Calls the callback if there is one. `onError` gets what it throws, and what the promise of an
 * asynchronous one rejects with: nobody else would notice.
 */
export function tell<Message>(
  callback: ((message: Message) => unknown) | undefined,
  message: Message,
  onError: (error: unknown) => void,
): void {
  try {
    const returned = callback?.(message)
    if (returned instanceof Promise) returned.catch(onError)
  } catch (error) {
    onError(error)
  }
}
