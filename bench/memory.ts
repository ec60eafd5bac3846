// How much memory something takes at most.

import { readFileSync } from 'node:fs'

const memoryIntervalMs = 20

/**
 * The most memory above that of the start, apart from pages of mapped files where that is known.
 */
export class MemoryWatch {
  readonly #start = memoryBytes()
  #most = this.#start
  readonly #timer = setInterval(() => {
    this.#most = Math.max(this.#most, memoryBytes())
  }, memoryIntervalMs)

  stop(): number {
    clearInterval(this.#timer)
    return this.#most - this.#start
  }
}

function memoryBytes(): number {
  if (process.platform !== 'linux') return process.memoryUsage.rss()
  const status = readFileSync('/proc/self/status', 'latin1')
  return 1024 * Number(/^RssAnon:\s*(\d+)/m.exec(status)?.[1] ?? 0)
}
