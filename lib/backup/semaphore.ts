// At most so many at a time; who comes first is served first.

export class Semaphore {
  #free: number
  /** In the order in which they came. */
  readonly #waiting = new Set<() => void>()

  constructor(limit: number) {
    this.#free = limit
  }

  /** Waits for a permit; rejects with the signal's reason when it is aborted first. */
  async acquire(signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted()
    if (this.#free > 0) {
      this.#free--
      return
    }
    await new Promise<void>((resolve, reject) => {
      const onAbort = (): void => {
        this.#waiting.delete(serve)
        reject(signal?.reason as Error)
      }
      const serve = (): void => {
        signal?.removeEventListener('abort', onAbort)
        resolve()
      }
      this.#waiting.add(serve)
      signal?.addEventListener('abort', onAbort, { once: true })
    })
  }

  /** Gives a permit back: to the next one that waits, if there is one. */
  release(): void {
    const [next] = this.#waiting
    if (next === undefined) {
      this.#free++
      return
    }
    this.#waiting.delete(next)
    next()
  }

  /** Runs the task with a permit. */
  async run<T>(task: () => Promise<T>): Promise<T> {
    await this.acquire()
    try {
      return await task()
    } finally {
      this.release()
    }
  }
}

/** Runs the task for each item, `limit` at a time; rejects with the first error, once all ended. */
export async function forEachOf<Item>(
  items: Iterable<Item> | AsyncIterable<Item>,
  limit: number,
  task: (item: Item) => Promise<void>,
): Promise<void> {
  const semaphore = new Semaphore(limit)
  const running = new Set<Promise<void>>()
  const errors: unknown[] = []
  try {
    for await (const item of items) {
      await semaphore.acquire()
      if (errors.length > 0) break
      const work = task(item)
        .catch((error: unknown) => void errors.push(error))
        .finally(() => {
          running.delete(work)
          semaphore.release()
        })
      running.add(work)
    }
  } catch (error) {
    errors.push(error)
  }
  await Promise.all(running)
  if (errors.length > 0) throw errors[0]
}
