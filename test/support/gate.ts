// Where something stands still until a test lets it go on.

export class Gate {
  /** Resolves when so many have come, from the first on. */
  readonly #arrivals: { readonly count: number; readonly resolve: () => void }[] = []
  readonly #release: () => void
  readonly #released: Promise<void>
  #arrived = 0

  constructor() {
    let release = (): void => {}
    this.#released = new Promise((resolve) => (release = resolve))
    this.#release = release
  }

  /** How many have come so far. */
  get arrived(): number {
    return this.#arrived
  }

  /** What comes here waits until open(). */
  async pass(): Promise<void> {
    this.#arrived++
    for (const { count, resolve } of this.#arrivals) if (count <= this.#arrived) resolve()
    await this.#released
  }

  /** Resolves when `count` have come. */
  async reached(count = 1): Promise<void> {
    if (this.#arrived >= count) return
    await new Promise<void>((resolve) => this.#arrivals.push({ count, resolve }))
  }

  /** Lets all go on, and whoever comes later. */
  open(): void {
    this.#release()
  }
}

/** Waits until all that can happen without anything from outside has happened. */
export async function turns(count = 20): Promise<void> {
  for (let turn = 0; turn < count; turn++) await new Promise((resolve) => setImmediate(resolve))
}
