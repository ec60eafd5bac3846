// How long acknowledgements are held back, and when the clock of the checkpoints tells.

import { describe, expect, test, vi } from 'vitest'
import { BackPressure } from '../../lib/database/back-pressure.ts'
import { CheckpointClock } from '../../lib/database/checkpoint-clock.ts'

const room = 64 << 20
const nowMs = 1000

describe('acknowledgements', () => {
  test('are not held back below three quarters of the room, whatever their size', () => {
    const pressure = new BackPressure()
    expect(pressure.holdUntilMs(1 << 30, 0.75 * room - 1, room, nowMs)).toBe(0)
    expect(pressure.isFelt(0.75 * room - 1, room)).toBe(false)
    expect(pressure.isFelt(0.75 * room, room)).toBe(true)
  })

  test('wait until there is room when there is none', () => {
    expect(new BackPressure().holdUntilMs(1, room, room, nowMs)).toBe(Infinity)
  })

  test('wait in proportion to their bytes, and the longer the less room is left', () => {
    const waitMs = (bytes: number, fullness: number): number =>
      new BackPressure().holdUntilMs(bytes, fullness * room, room, nowMs) - nowMs
    expect(waitMs(200_000, 0.9)).toBeCloseTo(2 * waitMs(100_000, 0.9))
    expect(waitMs(100_000, 0.8)).toBeGreaterThan(0)
    expect(waitMs(100_000, 0.9)).toBeGreaterThan(waitMs(100_000, 0.8))
  })

  test('share what room is left over the rest of the checkpoint, or of the next one', () => {
    const pressure = new BackPressure()
    for (let n = 0; n < 30; n++) pressure.mergeEnded(10_000_000, 1000)
    expect(pressure.bytesPerMs).toBeCloseTo(10_000, 0)
    const waitMs = (at: number): number =>
      pressure.holdUntilMs(room / 20, 0.8 * room, room, nowMs + at) - nowMs - at
    const quarterMs = (0.8 * room) / pressure.bytesPerMs / 4
    expect(waitMs(0)).toBeCloseTo(quarterMs, 0)
    pressure.mergeBegins(0.6 * room, 0.6 * room, nowMs + 100_000)
    const mergeMs = (0.6 * room) / pressure.bytesPerMs
    expect(waitMs(100_000)).toBeCloseTo(mergeMs / 4, 0)
    expect(waitMs(120_000)).toBeCloseTo(10_000 / 4, 0) // overdue
    pressure.mergeEnded(0, 0)
    expect(waitMs(200_000)).toBeCloseTo(quarterMs, 0)
  })

  test('fill one half of the room while the other half is merged, and no more', () => {
    const pressure = new BackPressure()
    pressure.mergeBegins(0.1 * room, 0.1 * room, nowMs)
    const waitMs = (fullness: number): number =>
      pressure.holdUntilMs(room / 20, fullness * room, room, nowMs) - nowMs
    const mergeMs = (0.1 * room) / pressure.bytesPerMs
    expect(waitMs(0.34)).toBe(-nowMs) // not at all
    expect(waitMs(0.4)).toBeCloseTo(mergeMs / 4, 0)
    expect(waitMs(0.59)).toBeCloseTo((mergeMs * 0.05) / (0.41 / 4), 0)
  })

  test('of many small writes wait 5 ms at most, though what they cost adds up', () => {
    const pressure = new BackPressure()
    let longestMs = 0
    for (let n = 0; n < 100_000; n++) {
      longestMs = Math.max(longestMs, pressure.holdUntilMs(1000, 0.9 * room, room, nowMs) - nowMs)
    }
    expect(longestMs).toBe(5)
  })

  test('keep to a limit below the threshold too, until it is lifted', () => {
    const pressure = new BackPressure()
    pressure.limit(5000)
    expect(pressure.holdUntilMs(10_000, 0, room, nowMs)).toBe(nowMs + 2)
    expect(pressure.holdUntilMs(10_000, 0, room, nowMs)).toBe(nowMs + 4)
    pressure.limit(Infinity)
    expect(pressure.holdUntilMs(10_000, 0, room, nowMs)).toBe(0)
  })
})

describe('the clock', () => {
  function clockOf(intervalMs: number, idleMs: number): { clock: CheckpointClock; due: number[] } {
    const due: number[] = []
    const startMs = performance.now()
    const onDue = (): void => void due.push(performance.now() - startMs)
    return { clock: new CheckpointClock(intervalMs, idleMs, onDue), due }
  }
  function writeFor(clock: CheckpointClock, durationMs: number): void {
    for (let n = 0; n < durationMs / 10; n++) {
      clock.wrote(performance.now())
      vi.advanceTimersByTime(10)
    }
  }
  const withFakeTimers = (run: () => void) => () => {
    vi.useFakeTimers()
    try {
      run()
    } finally {
      vi.useRealTimers()
    }
  }

  test(
    'tells some time after the last write, once, and has no timer before and after',
    withFakeTimers(() => {
      const { clock, due } = clockOf(0, 1000)
      expect(vi.getTimerCount()).toBe(0)
      writeFor(clock, 3000)
      expect(vi.getTimerCount()).toBe(1)
      expect(due).toEqual([])
      vi.advanceTimersByTime(10_000)
      expect(due).toEqual([2990 + 1000])
      expect(vi.getTimerCount()).toBe(0)
    }),
  )

  test(
    'tells at the latest some time after the first write',
    withFakeTimers(() => {
      const { clock, due } = clockOf(500, 100)
      writeFor(clock, 1050)
      expect(due).toEqual([500, 1000])
    }),
  )

  test(
    'is silent when it is stopped, and where both times are 0',
    withFakeTimers(() => {
      const { clock, due } = clockOf(100, 50)
      writeFor(clock, 20)
      clock.stop()
      vi.advanceTimersByTime(1000)
      expect([due, vi.getTimerCount()]).toEqual([[], 0])
      writeFor(clockOf(0, 0).clock, 100)
      expect(vi.getTimerCount()).toBe(0)
    }),
  )
})
