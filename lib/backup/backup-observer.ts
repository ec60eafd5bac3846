// What a backup tells while it runs: phases, progress, warnings, and a line for each table.

import { tell } from '../callbacks.ts'
import { publish } from '../channels.ts'
import { toHotboltError } from '../errors.ts'
import type { BackupProgress, TableReport } from './backup-options.ts'

const progressIntervalMs = 100

export type BackupPhase = BackupProgress['phase']

/** What the backup knows of a table before it is released. */
export type TableOutcome = Pick<TableReport, 'name' | 'outcome' | 'sizeBytes' | 'copyMs'>

export class BackupObserver {
  readonly warnings: string[] = []
  tablesTotal = 0

  readonly #name: string
  readonly #startMs = performance.now()
  readonly #onProgress: ((progress: BackupProgress) => void) | undefined
  readonly #onError: (error: unknown) => void
  readonly #frozen: () => number
  readonly #timer: NodeJS.Timeout | undefined
  #phase: BackupPhase = 'listing'
  #tablesCopied = 0
  #bytesCopied = 0
  #dirty = false

  /** `onError` gets what an `onProgress` callback throws. */
  constructor(
    name: string,
    onProgress: ((progress: BackupProgress) => void) | undefined,
    onError: (error: unknown) => void,
    frozen: () => number,
  ) {
    this.#name = name
    this.#onProgress = onProgress
    this.#onError = onError
    this.#frozen = frozen
    if (onProgress === undefined) return
    this.#timer = setInterval(() => this.#repeat(), progressIntervalMs).unref()
  }

  get elapsedMs(): number {
    return performance.now() - this.#startMs
  }

  enter(phase: BackupPhase): void {
    this.#phase = phase
    this.#tell()
  }

  /** Something has changed that the next progress event says. */
  readonly changed = (): void => {
    this.#dirty = true
  }

  addBytes(bytes: number): void {
    this.#bytesCopied += bytes
    this.#dirty = true
  }

  tableDone(table: TableOutcome): void {
    if (table.outcome !== 'gone') this.#tablesCopied++
    const { name, outcome, sizeBytes, copyMs } = table
    publish('hotbolt:backup-table', {
      backup: this.#name,
      table: name,
      outcome,
      sizeBytes,
      durationMs: copyMs,
    })
    this.#tell()
  }

  readonly warn = (message: string): void => {
    this.warnings.push(message)
    publish('hotbolt:backup-warning', { backup: this.#name, message })
  }

  /** The same for a step that may fail without harm to what matters. Whether it went well. */
  async attempt(doing: string, step: () => Promise<void>): Promise<boolean> {
    try {
      await step()
      return true
    } catch (error) {
      this.warn(`${doing} failed: ${toHotboltError(error).message}`)
      return false
    }
  }

  end(): void {
    clearInterval(this.#timer)
  }

  #repeat(): void {
    if (this.#dirty) this.#tell()
  }

  #tell(): void {
    this.#dirty = false
    const progress: BackupProgress = {
      phase: this.#phase,
      tablesTotal: this.tablesTotal,
      tablesCopied: this.#tablesCopied,
      frozen: this.#frozen(),
      bytesCopied: this.#bytesCopied,
      elapsedMs: this.elapsedMs,
    }
    tell(this.#onProgress, progress, this.#onError)
  }
}
