// Samples and what is said about them: percentiles by nearest rank, maxima, medians of runs.

const firstCapacity = 4096

/** A growing list of numbers; adding to it allocates rarely, so that measuring costs little. */
export class Samples {
  #values = new Float64Array(firstCapacity)
  #count = 0
  #sorted = true

  get count(): number {
    return this.#count
  }

  add(value: number): void {
    if (this.#count === this.#values.length) {
      const larger = new Float64Array(2 * this.#count)
      larger.set(this.#values)
      this.#values = larger
    }
    this.#values[this.#count++] = value
    this.#sorted = false
  }

  /** The least sample that `percent` % of all do not exceed; NaN without samples. */
  percentile(percent: number): number {
    const sorted = this.#values.subarray(0, this.#count)
    if (!this.#sorted) sorted.sort()
    this.#sorted = true
    const rank = Math.max(1, Math.ceil((percent / 100) * this.#count))
    return sorted[rank - 1] ?? Number.NaN
  }

  get p50(): number {
    return this.percentile(50)
  }

  get p99(): number {
    return this.percentile(99)
  }

  get max(): number {
    return this.percentile(100)
  }
}

export interface LatencySummary {
  readonly count: number
  readonly p50Ms: number
  readonly p99Ms: number
  readonly maxMs: number
}

export function summarize(samples: Samples): LatencySummary {
  const { count, p50, p99, max } = samples
  return { count, p50Ms: p50, p99Ms: p99, maxMs: max }
}

/** The middle value, or the mean of the two in the middle; NaN without values. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((left, right) => left - right)
  const middle = sorted.length / 2
  const upper = sorted[Math.floor(middle)] ?? Number.NaN
  if (!Number.isInteger(middle)) return upper
  return (upper + (sorted[middle - 1] ?? Number.NaN)) / 2
}

/** Named figures of one run. */
export type Figures = Readonly<Record<string, number>>

/** Each figure's median over the runs that have it. */
export function mediansOf(runs: readonly Figures[]): Figures {
  const names = new Set(runs.flatMap((run) => Object.keys(run)))
  const valuesOf = (name: string): number[] =>
    runs.flatMap((run) => (run[name] === undefined ? [] : [run[name]]))
  return Object.fromEntries([...names].map((name) => [name, median(valuesOf(name))]))
}
