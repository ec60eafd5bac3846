// A source of tables that a test has in its hands: what each call does, when, and what came of it.

import { createHash } from 'node:crypto'
import { mkdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type {
  CopyOptions,
  Freeze,
  FreezeSource,
  FrozenTable,
  SourceTable,
  TableFile,
} from '../../lib/index.ts'

export type SourceVerb = 'list' | 'freeze' | 'copy' | 'unfreeze' | 'isFrozen'

export interface SourceCall {
  readonly verb: SourceVerb
  /** '' for a list. */
  readonly table: string
  readonly freeze: Freeze | undefined
  readonly signal: AbortSignal
}

/** Awaited before a call does its work; throws instead of it, or says that it is to do nothing. */
export type Intercept = (call: SourceCall) => Promise<void | 'nothing'> | void | 'nothing'

/** What a source answers with a number of its own. */
export class NumberedError extends Error {
  readonly number: number

  constructor(number: number) {
    super(`Number ${number} of the simulated source`)
    this.number = number
  }
}

export interface SimulatedTable {
  readonly files: Readonly<Record<string, string>>
  readonly version?: string
  /** Whether the source gives hashes; true. */
  readonly hashes?: boolean
}

export class SimulatedSource implements FreezeSource {
  readonly kind: string = 'simulated'
  readonly id: string
  readonly tables: Map<string, SimulatedTable>
  /** What is frozen now. */
  readonly frozen: Map<string, Freeze> = new Map()
  /** Every call that was begun, as 'verb table'. */
  readonly calls: string[] = []
  /** Ids of all freezes that were ever asked for. */
  readonly asked: Set<string> = new Set()
  /** Calls for a freeze during another one for it. */
  readonly overlaps: string[] = []
  frozenMax = 0
  intercept: Intercept = () => {}
  /** What is answered in the place of a frozen table. */
  answer: (frozen: FrozenTable) => FrozenTable = (frozen) => frozen
  freezeAll?: (
    freezes: readonly Freeze[],
    signal: AbortSignal,
  ) => Promise<readonly (FrozenTable | Error)[]>
  readonly #busy = new Set<string>()
  readonly #copies = new Set<Promise<unknown>>()

  constructor(tables: Readonly<Record<string, SimulatedTable>>, id = 'one') {
    this.tables = new Map(Object.entries(tables))
    this.id = id
  }

  /** As many tables as asked for, 't0' and on, of one small file each. */
  static of(count: number, id?: string): SimulatedSource {
    const names = Array.from({ length: count }, (_, index) => `t${index}`)
    const tables = names.map((name) => [name, { files: { data: `content of ${name}` } }])
    return new SimulatedSource(Object.fromEntries(tables) as Record<string, SimulatedTable>, id)
  }

  /** From now on it can freeze all at one moment. */
  withCut(): this {
    this.freezeAll = async (freezes, signal) => {
      const frozen = freezes.map((freeze) => this.freeze(freeze, signal))
      const outcomes = await Promise.allSettled(frozen)
      return outcomes.map((each) =>
        each.status === 'fulfilled' ? each.value : (each.reason as Error),
      )
    }
    return this
  }

  async listTables(signal: AbortSignal): Promise<readonly SourceTable[]> {
    await this.#call('list', undefined, signal, () => {})
    return [...this.tables.keys()].map((name) => ({ name, details: { of: name } }))
  }

  async freeze(freeze: Freeze, signal: AbortSignal): Promise<FrozenTable> {
    await this.#call('freeze', freeze, signal, () => {
      this.asked.add(freeze.id)
      this.frozen.set(freeze.id, freeze)
      this.frozenMax = Math.max(this.frozenMax, this.frozen.size)
    })
    const { version } = this.tables.get(freeze.table) ?? {}
    return this.answer({
      ...(version === undefined ? {} : { version }),
      metadata: { table: freeze.table },
      copy: (directory, options) => {
        const copy = this.#copy(freeze, directory, options)
        this.#copies.add(copy)
        return copy
      },
    })
  }

  /** Resolves when no copy is running, also none that nobody waits for. */
  async settled(): Promise<void> {
    await Promise.allSettled(this.#copies)
  }

  async unfreeze(freeze: Freeze, signal: AbortSignal): Promise<void> {
    await this.#call('unfreeze', freeze, signal, () => this.frozen.delete(freeze.id))
  }

  async isFrozen(freeze: Freeze, signal: AbortSignal): Promise<boolean> {
    await this.#call('isFrozen', freeze, signal, () => {})
    return this.frozen.has(freeze.id)
  }

  errorNumber(error: unknown): number | undefined {
    return error instanceof NumberedError ? error.number : undefined
  }

  async #copy(
    freeze: Freeze,
    directory: string,
    { signal, onBytes }: CopyOptions,
  ): Promise<readonly TableFile[]> {
    await this.#call('copy', freeze, signal, () => {})
    const { files = {}, hashes = true } = this.tables.get(freeze.table) ?? {}
    const copied: TableFile[] = []
    for (const [path, content] of Object.entries(files)) {
      await mkdir(dirname(join(directory, path)), { recursive: true })
      await writeFile(join(directory, path), content)
      onBytes(Buffer.byteLength(content))
      const sha256 = createHash('sha256').update(content).digest('hex')
      copied.push({ path, sizeBytes: Buffer.byteLength(content), ...(hashes ? { sha256 } : {}) })
    }
    return copied
  }

  async #call(
    verb: SourceVerb,
    freeze: Freeze | undefined,
    signal: AbortSignal,
    effect: () => void,
  ): Promise<void> {
    const { id = '', table = '' } = freeze ?? {}
    this.calls.push(`${verb} ${table}`.trim())
    if (id !== '' && this.#busy.has(id)) this.overlaps.push(`${verb} ${table}`)
    this.#busy.add(id)
    try {
      if ((await this.intercept({ verb, table, freeze, signal })) !== 'nothing') effect()
    } finally {
      this.#busy.delete(id)
    }
  }
}
