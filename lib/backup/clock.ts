// Time as backups see it, so that tests can stand in for it.

export interface Clock {
  /** Monotonic. */
  nowMs(): number
  delay(ms: number): Promise<void>
  /** Keeps the process alive until it is over, which AbortSignal.timeout() would not: end it. */
  deadline(ms: number): Deadline
}

export interface Deadline {
  /** Aborts when the time is up. */
  readonly signal: AbortSignal
  /** It is not needed any more. */
  end(): void
}

/** A longer one would be over at once. */
const timerMsMax = 0x7fff_ffff

export const systemClock: Clock = {
  nowMs: () => performance.now(),
  delay: (ms) => new Promise((resolve) => setTimeout(resolve, Math.min(ms, timerMsMax))),
  deadline: (ms) => {
    const controller = new AbortController()
    const expire = (): void =>
      controller.abort(new DOMException(`${ms} ms are over`, 'TimeoutError'))
    const timer = setTimeout(expire, Math.min(ms, timerMsMax))
    return { signal: controller.signal, end: () => clearTimeout(timer) }
  },
}

/** Who has been told to end, and has not in time: it may still be at work. */
export class GivenUp extends Error {}

/** Also of an error that was made of it. */
export function isGivenUp(error: unknown): boolean {
  return error instanceof GivenUp || (error instanceof Error && error.cause instanceof GivenUp)
}

/**
 * Waits for `work`; once `signal` is aborted for `graceMs` more at most, then rejects with GivenUp.
 */
export function withGrace<T>(
  work: Promise<T>,
  signal: AbortSignal,
  graceMs: number,
  clock: Clock,
): Promise<T> {
  return new Promise((resolve, reject) => {
    let grace: Deadline | undefined
    const onAbort = (): void => {
      grace = clock.deadline(graceMs)
      const message = `It did not end within ${graceMs} ms of being told to`
      grace.signal.addEventListener('abort', () => reject(new GivenUp(message)), { once: true })
    }
    const end = (): void => {
      signal.removeEventListener('abort', onAbort)
      grace?.end()
    }
    work.then(resolve, reject).finally(end).catch(reject)
    if (signal.aborted) onAbort()
    else signal.addEventListener('abort', onAbort, { once: true })
  })
}

/** Of a call that has a deadline of its own. */
const graceMsMax = 1000

/** Runs a call that has `timeoutMs`, and a moment to end when they are over; then GivenUp. */
export async function withDeadline<T>(
  call: (signal: AbortSignal) => Promise<T>,
  timeoutMs: number,
  clock: Clock,
): Promise<T> {
  const deadline = clock.deadline(timeoutMs)
  const { signal } = deadline
  const work = (async () => call(signal))()
  try {
    return await withGrace(work, signal, Math.min(timeoutMs, graceMsMax), clock)
  } finally {
    deadline.end()
  }
}
