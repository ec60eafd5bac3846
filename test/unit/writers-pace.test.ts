// How fast writers may be while a defragmentation goes on.

import { describe, expect, test } from 'vitest'
import { expectRound, paceWhileCopying, RoundPace } from '../../lib/maintenance/writers-pace.ts'

const mb = 1_000_000

/** What writers write who are as fast as they may be, while a round is replayed. */
function writtenDuring(roundBytes: number, expected: number, actual: number, steps = 1): number {
  const pace = new RoundPace(roundBytes, roundBytes / expected, 0)
  const stepMs = roundBytes / steps / actual
  let written = 0
  let ended = 0
  for (let nowMs = 0; nowMs < roundBytes / actual; nowMs += 20) {
    if (nowMs >= (ended + 1) * stepMs) pace.stepEnded(roundBytes / steps, ++ended * stepMs)
    const bytesPerMs = pace.writersBytesPerMs(written, nowMs)
    expect(bytesPerMs).toBeGreaterThan(0)
    written += bytesPerMs * 20
  }
  return written
}

describe('during a round', () => {
  test.each([
    ['as fast as expected', 20_000, 20_000, 1],
    ['three times as slow', 20_000, 7000, 1],
    ['thirty times as slow', 20_000, 700, 1],
    ['slow, in steps', 20_000, 2000, 6],
    ['faster', 5000, 50_000, 4],
  ])('that is %s, less than half of it is written', (_, expected, actual, steps) => {
    expect(writtenDuring(100 * mb, expected, actual, steps)).toBeLessThan(50 * mb)
  })

  test('nobody is slowed down more than needed', () => {
    expect(writtenDuring(100 * mb, 20_000, 20_000)).toBeGreaterThan(30 * mb)
    expect(writtenDuring(100 * mb, 20_000, 7000)).toBeGreaterThan(30 * mb)
  })

  test('it is expected to take longer than a checkpoint, small ones more for each byte', () => {
    expect(expectRound(100 * mb, undefined, 20_000)).toBe(15_000)
    const last = { bytes: 100 * mb, entries: 1, durationMs: 4000 }
    expect(expectRound(25 * mb, last, 20_000)).toBe(3000)
    expect(expectRound(25 * mb, { ...last, bytes: 0 }, 20_000)).toBe(3750)
  })
})

describe('while it copies', () => {
  const progress = {
    bytesCopied: 25 * mb,
    entriesCopied: 0,
    bytesTotal: 100 * mb,
    backlogBytes: 0,
    spareBytes: 30 * mb,
    coversBase: false,
    caughtUp: false,
  }

  test('writers take what the disk has to spare in 400 ms at most, while it has enough', () => {
    expect(paceWhileCopying(progress, 30 * mb, 1000)).toBe((30 * mb) / 400)
  })

  test('with less than the journal took they share it until the copy is done', () => {
    expect(paceWhileCopying(progress, 40 * mb, 1000)).toBe((30 * mb) / 3000)
    expect(paceWhileCopying({ ...progress, spareBytes: 0 }, 40 * mb, 1000)).toBe(0)
  })

  test('how long it will take is not known before anything is copied, nor when it ends', () => {
    const begun = { ...progress, bytesCopied: 0 }
    const ending = { ...progress, bytesCopied: 100 * mb }
    expect(paceWhileCopying(begun, 40 * mb, 1000)).toBe((30 * mb) / 400)
    expect(paceWhileCopying(ending, 40 * mb, 1000)).toBe((30 * mb) / 400)
  })
})
