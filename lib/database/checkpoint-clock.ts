// When what was written is merged although it is not much: some time after the last write, and at
// the latest some time after the first.
//
// While nothing waits there is no timer, and a busy store sets one about every `idleMs`, not one
// for each write. The timer does not keep the process alive.

export class CheckpointClock {
  readonly #intervalMs: number
  readonly #idleMs: number
  readonly #onDue: () => void
  #oldestMs = 0
  #newestMs = 0
  #timer: NodeJS.Timeout | undefined

  /** 0: never. */
  constructor(intervalMs: number, idleMs: number, onDue: () => void) {
    this.#intervalMs = intervalMs === 0 ? Infinity : intervalMs
    this.#idleMs = idleMs === 0 ? Infinity : idleMs
    this.#onDue = onDue
  }

  /** Something waits from now on. */
  wrote(nowMs: number): void {
    this.#newestMs = nowMs
    if (this.#timer !== undefined) return
    this.#oldestMs = nowMs
    this.#arm(nowMs)
  }

  /** Nothing waits any more. */
  stop(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
  }

  get #dueMs(): number {
    return Math.min(this.#newestMs + this.#idleMs, this.#oldestMs + this.#intervalMs)
  }

  #arm(nowMs: number): void {
    const dueMs = this.#dueMs
    if (dueMs === Infinity) return
    this.#timer = setTimeout(this.#fire, Math.max(1, dueMs - nowMs)).unref()
  }

  readonly #fire = (): void => {
    this.#timer = undefined
    const nowMs = performance.now()
    if (nowMs < this.#dueMs) this.#arm(nowMs)
    else this.#onDue()
  }
}
