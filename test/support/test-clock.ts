// A clock of which a test says when deadlines are over; pauses take no time.

import type { Clock, Deadline } from '../../lib/backup/clock.ts'

export class TestClock implements Clock {
  /** The pauses that were made. */
  readonly delays: number[] = []
  readonly #running = new Map<AbortController, number>()
  readonly #waiting: { readonly ms: number; readonly resolve: () => void }[] = []
  #nowMs = 0

  nowMs(): number {
    return this.#nowMs++
  }

  async delay(ms: number): Promise<void> {
    this.delays.push(ms)
    await new Promise((resolve) => setImmediate(resolve))
  }

  deadline(ms: number): Deadline {
    const controller = new AbortController()
    this.#running.set(controller, ms)
    for (const each of this.#waiting) if (each.ms === ms) each.resolve()
    return { signal: controller.signal, end: () => void this.#running.delete(controller) }
  }

  /** Resolves when there is a deadline of so many milliseconds. */
  async asked(ms: number): Promise<void> {
    if ([...this.#running.values()].includes(ms)) return
    await new Promise<void>((resolve) => this.#waiting.push({ ms, resolve }))
  }

  /** All deadlines of so many milliseconds are over. */
  expire(ms: number): void {
    for (const [controller, each] of this.#running) {
      if (each !== ms) continue
      this.#running.delete(controller)
      controller.abort(new Error(`${ms} ms are over`))
    }
  }
}
