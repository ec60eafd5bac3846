// Defragmentations under writers who never stop: they end, and what they hold has a bound.

import { join } from 'node:path'
import { describe, expect, test, vi } from 'vitest'
import { storeOf } from '../../lib/database/database.ts'
import type { Checkpointer } from '../../lib/database/checkpointer.ts'
import type { Database } from '../../lib/index.ts'
import { native } from '../../lib/native.ts'
import { Checkpoints } from '../support/checkpoints.ts'
import { runChild } from '../support/child.ts'
import { Gate, turns } from '../support/gate.ts'
import { holdDefragAt, inDirectory, withDatabase } from '../support/with-database.ts'

const value = Buffer.alloc(1000, 'x')

function write(db: Database, from: number, count: number): Promise<void> {
  let last = Promise.resolve()
  for (let n = from; n < from + count; n++) last = db.bucket('b').put(`k${n}`, value)
  return last
}

/** Writes, awaiting every acknowledgement, until it is stopped. */
function writeOn(db: Database): () => Promise<void> {
  let stopped = false
  const writing = (async () => {
    for (let n = 0; !stopped; n += 20) await write(db, n % 40_000, 20)
  })()
  return async () => {
    stopped = true
    await writing
  }
}

/**
 * Each step but the last round's lasts until writers have written a fifth of the round and have
 * been told their pace often, or have outrun it.
 */
function slowSteps(checkpointer: Checkpointer): void {
  const paced = vi.spyOn(checkpointer, 'paceWriters')
  const last = vi.spyOn(checkpointer, 'defer')
  const step = native.defragCatchUp.bind(native)
  vi.spyOn(native, 'defragCatchUp').mockImplementation(async (handle, isUrgent) => {
    const { backlogBytes } = native.defragProgress(handle)
    const { writtenBytes } = checkpointer
    const share = (): number => (checkpointer.writtenBytes - writtenBytes) / backlogBytes
    const result = await step(handle, isUrgent)
    paced.mockClear()
    const isLong = (): boolean => paced.mock.calls.length >= 25 && share() > 0.2
    while (last.mock.calls.length === 0 && !isLong() && share() < 1) await turns(1)
    return result
  })
}

test(
  'each round is at most half of the one before, whoever writes meanwhile',
  withDatabase(
    async ({ db }) => {
      await write(db, 0, 1000)
      await db.checkpoint()
      const held = holdDefragAt(db, 'copy-started')
      await held.reached
      await write(db, 0, 30_000)
      slowSteps(storeOf(db).checkpointer)
      const stop = writeOn(db)
      held.release()
      const { rounds, warnings } = await held.report
      vi.restoreAllMocks()
      await stop()
      expect(warnings).toEqual([])
      expect(rounds.length).toBeGreaterThan(1)
      for (const [index, { bytes }] of rounds.slice(1).entries()) {
        expect(bytes).toBeLessThanOrEqual(rounds[index]!.bytes / 2)
      }
    },
    { checkpointBytes: 8 << 20 },
  ),
)

describe('when the new file is in place', () => {
  test(
    'checkpoints go on as ever, before the old file is emptied',
    withDatabase(
      async ({ db }) => {
        await write(db, 0, 10)
        const held = holdDefragAt(db, 'after-install')
        await held.reached
        using checkpoints = new Checkpoints()
        void write(db, 0, 200)
        await checkpoints.of(db, 1)
        held.release()
        await held.report
      },
      { checkpointBytes: 64 << 10 },
    ),
  )

  test(
    'who waited for room that the switch has made waits no more',
    withDatabase(
      async ({ db }) => {
        await write(db, 0, 10)
        const held = holdDefragAt(db, 'round')
        await held.reached
        const gate = new Gate()
        void storeOf(db).checkpointer.exclusive(() => gate.pass())
        const acknowledged = write(db, 10, 1) // its checkpoint waits at the gate
        const { lastSeq } = db.stats()
        while (db.stats().durableSeq < lastSeq) await turns(1)
        held.release()
        gate.open()
        await held.report
        await acknowledged
      },
      { maxRetainedBytes: 1 },
    ),
  )
})

interface Kept {
  readonly pinnedBytes: number
  readonly keptBytesMax: number
  readonly writtenBytesMax: number
  readonly code?: string
  readonly warnings?: readonly string[]
}

describe('on one processor, what is kept stays within maxRetainedBytes', () => {
  test.each([
    ['1 byte', 1, 'writes'],
    ['1 byte, beside long checkpoints', 1, 'checkpoints'],
    ['1 MiB', 1 << 20, 'writes'],
    ['1 MiB, beside long checkpoints', 1 << 20, 'checkpoints'],
  ])('%s', (_, maxRetainedBytes, beside) =>
    inDirectory(async (directory) => {
      const path = join(directory, 'data.db')
      const [line] = await runChild('retained', [path, String(maxRetainedBytes), beside], {
        before: 'taskset -p -c 0 $$ > /dev/null 2>&1',
      })
      const kept = JSON.parse(line!) as Kept
      expect(kept).toMatchObject({ code: 'none', warnings: [] })
      const bound = maxRetainedBytes + kept.pinnedBytes + kept.writtenBytesMax
      expect(kept.keptBytesMax).toBeLessThanOrEqual(bound)
    }),
  )
})
