// Tables that take no time to freeze and copy, and a known time to release: what is left is how a
// backup schedules them. And a target that forgets everything but its manifest.

import { createHash } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import type {
  Freeze,
  FreezeSource,
  FrozenTable,
  SourceTable,
  Target,
  TargetBody,
  TargetObject,
} from '../lib/index.ts'

const content = 'x'.repeat(100)
const sha256 = createHash('sha256').update(content).digest('hex')

export class SlowToRelease implements FreezeSource {
  readonly kind: string = 'bench'
  readonly id: string = 'bench'
  /** From the answer to a freeze to the end of its release. */
  readonly pinsMs: number[] = []
  readonly #tables: number
  readonly #latencyMs: number
  readonly #frozen = new Map<string, number>()

  constructor(tables: number, latencyMs: number) {
    this.#tables = tables
    this.#latencyMs = latencyMs
  }

  async listTables(): Promise<readonly SourceTable[]> {
    return Array.from({ length: this.#tables }, (_, index) => ({ name: `table-${index}` }))
  }

  async freeze(freeze: Freeze): Promise<FrozenTable> {
    this.#frozen.set(freeze.id, performance.now())
    return {
      copy: async (directory) => {
        await writeFile(join(directory, 'data'), content)
        return [{ path: 'data', sizeBytes: content.length, sha256 }]
      },
    }
  }

  async unfreeze({ id }: Freeze): Promise<void> {
    await new Promise((resolve) => setTimeout(resolve, this.#latencyMs))
    const startMs = this.#frozen.get(id)
    if (startMs !== undefined) this.pinsMs.push(performance.now() - startMs)
    this.#frozen.delete(id)
  }

  async isFrozen({ id }: Freeze): Promise<boolean> {
    return this.#frozen.has(id)
  }
}

export class ForgetfulTarget implements Target {
  readonly location: string = 'nowhere'
  readonly stagingDirectory: string
  readonly stateDirectory: string
  readonly #objects = new Map<string, Uint8Array>()

  constructor(directory: string) {
    this.stagingDirectory = join(directory, 'staging')
    this.stateDirectory = join(directory, 'state')
  }

  async put(key: string, body: TargetBody): Promise<void> {
    if (body instanceof Uint8Array) this.#objects.set(key, body)
  }

  async get(key: string): Promise<Readable> {
    return Readable.from([this.#objects.get(key) ?? new Uint8Array()])
  }

  async *list(prefix: string): AsyncIterable<TargetObject> {
    for (const [key, { length: sizeBytes }] of this.#objects) {
      if (key.startsWith(prefix)) yield { key, sizeBytes }
    }
  }

  async delete(key: string): Promise<void> {
    this.#objects.delete(key)
  }
}
