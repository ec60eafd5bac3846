// When checkpoints begin by themselves, and what waits for them.

import { expect, test, vi } from 'vitest'
import { storeOf } from '../../lib/database/database.ts'
import type { Database } from '../../lib/index.ts'
import { native } from '../../lib/native.ts'
import { Checkpoints } from '../support/checkpoints.ts'
import { Gate, turns } from '../support/gate.ts'
import { untimed, withDatabase } from '../support/with-database.ts'

const checkpointBytes = 64 << 10

test(
  'soon after the last write the page file alone holds everything',
  withDatabase(
    async ({ db }) => {
      using checkpoints = new Checkpoints()
      void db.bucket('b').put('k', 'v')
      await checkpoints.of(db, 1)
      const { coveredSeq, lastSeq } = db.stats()
      expect(coveredSeq).toBe(lastSeq)
    },
    { checkpointIntervalMs: 0, checkpointIdleMs: 20 },
  ),
)

test(
  'a store that never rests has a checkpoint after the interval',
  withDatabase(
    async ({ db }) => {
      using checkpoints = new Checkpoints()
      while (checkpoints.count(db) < 2) await db.bucket('b').put('k', 'v')
      expect(db.stats().coveredSeq).toBeGreaterThan(0)
    },
    { checkpointIntervalMs: 20, checkpointIdleMs: 3_600_000 },
  ),
)

test(
  'overwrites of one key begin a checkpoint by what they take of the journal',
  withDatabase(
    async ({ db }) => {
      using checkpoints = new Checkpoints()
      while (checkpoints.count(db) < 20) await db.bucket('b').put('k', 'v'.repeat(1000))
      const { memtableBytes, sealedBytes, journalBytes, lastSeq } = db.stats()
      expect(memtableBytes + sealedBytes).toBeLessThan(checkpointBytes)
      expect(lastSeq).toBeGreaterThan(20 * ((0.75 * checkpointBytes) / 1100))
      expect(journalBytes).toBeLessThan(32 << 20)
    },
    { ...untimed, checkpointBytes },
  ),
)

test(
  'with times of 0 only the bytes count',
  withDatabase(
    async ({ db }) => {
      using checkpoints = new Checkpoints()
      await db.bucket('b').put('k', 'v')
      await turns()
      expect([checkpoints.count(db), db.stats().coveredSeq]).toEqual([0, 0])
    },
    { ...untimed, checkpointBytes },
  ),
)

/** A write that is durable and for which there is no room, while no checkpoint can begin. */
async function writeWithoutRoom(db: Database): Promise<{ state: () => string; gate: Gate }> {
  const gate = new Gate()
  void storeOf(db).checkpointer.exclusive(() => gate.pass())
  await gate.reached()
  let state = 'waits'
  void db
    .bucket('b')
    .put('k', Buffer.alloc(2 * checkpointBytes))
    .then(() => (state = 'acknowledged'))
  const { lastSeq } = db.stats()
  while (db.stats().durableSeq < lastSeq) await turns(1)
  await turns()
  return { state: () => state, gate }
}

test(
  'an acknowledgement without room waits for the next checkpoint, which makes room',
  withDatabase(
    async ({ db }) => {
      const { state, gate } = await writeWithoutRoom(db)
      expect(state()).toBe('waits')
      const flushed = db.flush()
      gate.open()
      await flushed // behind it
      expect(state()).toBe('acknowledged')
    },
    { ...untimed, checkpointBytes },
  ),
)

test(
  'there is room for half as much again as a checkpoint takes, and a memtable fills half of it',
  withDatabase(
    async ({ db }) => {
      const { checkpointer } = storeOf(db)
      const gate = new Gate()
      void checkpointer.exclusive(() => gate.pass())
      await gate.reached()
      const heldAfter = (size: number): number => {
        void db.bucket('b').put('k', Buffer.alloc(size))
        return checkpointer.consider()
      }
      const held = [heldAfter(0.8 * checkpointBytes), heldAfter(0.6 * checkpointBytes)]
      const { sealedMemtables } = db.stats()
      held.push(heldAfter(0.2 * checkpointBytes))
      gate.open()
      expect(sealedMemtables).toBe(1)
      expect(held.map((untilMs) => untilMs === Infinity)).toEqual([false, false, true])
    },
    { ...untimed, checkpointBytes },
  ),
)

test(
  'close lets go of acknowledgements that wait for room',
  withDatabase(
    async ({ db }) => {
      const { state, gate } = await writeWithoutRoom(db)
      expect(state()).toBe('waits')
      const closed = db.close()
      await turns()
      expect(state()).toBe('acknowledged')
      gate.open()
      await closed
    },
    { ...untimed, checkpointBytes },
  ),
)

test(
  'a checkpoint that fails lets go of acknowledgements that wait for room, and no more are held',
  withDatabase(
    async ({ db }) => {
      const { state, gate } = await writeWithoutRoom(db)
      const failing = vi.spyOn(native, 'checkpoint')
      failing.mockRejectedValue(new Error('the disk is full'))
      expect(state()).toBe('waits')
      gate.open()
      while (state() === 'waits') await turns(1)
      await db.bucket('b').put('k', Buffer.alloc(2 * checkpointBytes))
      failing.mockRestore()
      await db.checkpoint()
      expect(db.stats().coveredSeq).toBe(db.stats().lastSeq)
    },
    { ...untimed, checkpointBytes },
  ),
)

test(
  'what is kept is merged beyond half of maxRetainedBytes, and while that is deferred not at all',
  withDatabase(
    async ({ db }) => {
      using checkpoints = new Checkpoints()
      const { checkpointer } = storeOf(db)
      checkpointer.hold()
      while (checkpoints.count(db) < 1) await db.bucket('b').put('k', Buffer.alloc(1000))
      checkpointer.defer()
      await checkpointer.exclusive(async () => {}) // after those that had begun
      const { coveredSeq } = db.stats()
      for (let n = 0; n < 70; n++) void db.bucket('b').put('k', Buffer.alloc(1000))
      await turns()
      await checkpointer.exclusive(async () => {})
      expect(db.stats().coveredSeq).toBe(coveredSeq)
      checkpointer.release()
      const { lastSeq } = db.stats()
      await checkpointer.exclusive(async () => {})
      expect(db.stats().coveredSeq).toBe(lastSeq)
    },
    { ...untimed, checkpointBytes, maxRetainedBytes: checkpointBytes },
  ),
)

test(
  'checks that are asked for while one runs share the next one',
  withDatabase(async ({ db }) => {
    await db.bucket('b').put('k', 'v')
    const check = vi.spyOn(native, 'check')
    const reports = await Promise.all(Array.from({ length: 50 }, () => db.check()))
    expect(reports.every(({ ok }) => ok)).toBe(true)
    expect(check).toHaveBeenCalledTimes(2)
    await db.check()
    expect(check).toHaveBeenCalledTimes(3)
    check.mockRestore()
  }),
)
