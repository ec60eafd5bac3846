// The paths of a table's files, which may be a million: is one of them a folder of another?
//
// A path has many folders, and a text for each of them would cost its length again. So the folders
// are asked for by a hash that is made on the way through the path, and only where a file has the
// same one, by name. The hash begins with a random number, so that nobody can make paths whose
// hashes meet often.

import { randomInt } from 'node:crypto'

const slash = 0x2f

export class PathSet {
  /** By its hash; the others of the same hash. */
  readonly #paths = new Map<number, string>()
  readonly #others = new Set<string>()
  /** Neither this folder nor one around it is a path, as of the last question. */
  #clear = ''
  readonly #seed = randomInt(2 ** 31)

  /** Whether the path is new. */
  add(path: string): boolean {
    let hash = this.#seed
    for (let at = 0; at < path.length; at++) hash = next(hash, path.charCodeAt(at))
    if (this.#has(hash, path)) return false
    this.#clear = ''
    if (this.#paths.has(hash)) this.#others.add(path)
    else this.#paths.set(hash, path)
    return true
  }

  /** Whether a path of the set is a folder of this one. */
  hasFolderOf(path: string): boolean {
    const folder = path.slice(0, Math.max(0, path.lastIndexOf('/')))
    if (folder === this.#clear) return false
    let hash = this.#seed
    for (let at = 0; at < path.length; at++) {
      const code = path.charCodeAt(at)
      if (code === slash && this.#paths.has(hash) && this.#has(hash, path.slice(0, at))) return true
      hash = next(hash, code)
    }
    this.#clear = folder
    return false
  }

  #has(hash: number, path: string): boolean {
    return this.#paths.get(hash) === path || this.#others.has(path)
  }
}

/** A step of a hash of 32 bits in which each bit of the state reaches every other. */
function next(hash: number, code: number): number {
  const mixed = Math.imul(hash ^ code, 0x85ebca6b)
  return mixed ^ (mixed >>> 15)
}
