// Who may change what a name stands for: one at a time for each name, the others wait in order.

const ignore = (): void => {}

export class NameLocks {
  readonly #last = new Map<string, Promise<void>>()

  async hold<T>(name: string, work: () => Promise<T>): Promise<T> {
    const before = this.#last.get(name) ?? Promise.resolve()
    const result = before.then(work)
    const ended = result.then(ignore, ignore)
    this.#last.set(name, ended)
    try {
      return await result
    } finally {
      if (this.#last.get(name) === ended) this.#last.delete(name)
    }
  }

  /** Both, of different names; in their order, so that nobody waits in a circle. */
  holdBoth<T>(one: string, other: string, work: () => Promise<T>): Promise<T> {
    const [first, second] = one < other ? [one, other] : [other, one]
    return this.hold(first, () => this.hold(second, work))
  }
}
