// The process of one engine: does what its parent says in one message and answers with one.

import { mkdirSync } from 'node:fs'
import { boundCases, overwriteForever, reopen, type Bound, type BoundCase } from './bounds.ts'
import { engineOf, type EngineName } from './engines/index.ts'
import { measureLimits, type Limits } from './limits.ts'
import { measurePause } from './pause.ts'
import { Records } from './records.ts'
import type { Figures } from './stats.ts'
import { live } from './workloads.ts'

export type Task =
  | { readonly kind: 'limits'; readonly directory: string }
  | {
      readonly kind: 'life'
      readonly directory: string
      readonly engine: EngineName
      readonly records: number
      readonly only: readonly string[]
    }
  | {
      readonly kind: 'pause'
      readonly directory: string
      readonly records: number
      readonly rounds: number
    }
  | {
      readonly kind: 'bounds'
      readonly directory: string
      readonly name: BoundCase
      readonly milliseconds: number
    }
  | { readonly kind: 'overwrite' | 'reopen'; readonly directory: string }

export type Answer = { readonly result: unknown } | { readonly error: string }

async function perform(task: Task): Promise<Limits | Figures | Figures[][] | Bound[]> {
  const { directory } = task
  mkdirSync(directory, { recursive: true })
  switch (task.kind) {
    case 'limits':
      return measureLimits(directory)
    case 'life': {
      const records = new Records(task.records)
      const open = await engineOf(task.engine)
      return live({ open, records, directory, only: new Set(task.only) })
    }
    case 'pause':
      return measurePause(new Records(task.records), directory, task.rounds)
    case 'bounds':
      return boundCases[task.name](directory, task.milliseconds)
    case 'overwrite':
      return overwriteForever(directory)
    case 'reopen':
      return reopen(directory)
  }
}

process.once('message', (task) => {
  const answer = (message: Answer): void => {
    process.send?.(message, () => process.exit())
  }
  perform(task as Task).then(
    (result) => answer({ result }),
    (error: unknown) => answer({ error: error instanceof Error ? error.stack! : String(error) }),
  )
})
// The parent has gone: its directory goes with it.
process.once('disconnect', () => process.exit(1))
