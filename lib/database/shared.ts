// Work that several callers may share: one run at a time, and one more for all who call meanwhile,
// since what runs already may have missed what they have done.

export class Shared<Result> {
  readonly #work: () => Promise<Result>
  #running: Promise<Result> | undefined
  #next: Promise<Result> | undefined

  constructor(work: () => Promise<Result>) {
    this.#work = work
  }

  /** The result of a run that begins now or later. */
  run(): Promise<Result> {
    if (this.#running === undefined) return this.#begin()
    this.#next ??= this.#running.then(this.#begin, this.#begin)
    return this.#next
  }

  readonly #begin = (): Promise<Result> => {
    this.#next = undefined
    const running = this.#work()
    this.#running = running
    const end = (): void => {
      this.#running = undefined
    }
    running.then(end, end)
    return running
  }
}
