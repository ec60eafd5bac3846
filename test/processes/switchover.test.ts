// Programs that compete for one file while it is replaced and released: what anybody was told is
// written is in the file that has the name in the end.
//
//   HOTBOLT_RACES=10000 FC_SEED=7 npx vitest run test/processes/switchover.test.ts

import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { turnOfEventLoop } from '../../lib/database/range.ts'
import { open } from '../../lib/index.ts'
import { Child } from '../support/child.ts'
import { seed } from '../support/property.ts'
import { announce } from '../support/replay.ts'
import { randomFrom } from '../support/random.ts'
import { describeIf } from '../support/tools.ts'
import {
  codeOf,
  inDirectory,
  leftovers,
  openFilesIn,
  sharedJudge,
  verifyFile,
} from '../support/with-database.ts'
import { takeTurn } from '../support/turns.ts'
import { countOf, patienceMs } from '../support/tiers.ts'

/** Turns of each of three programs, over all files. */
const races = countOf({ short: 32, ci: 160, long: 10_000 }, 'HOTBOLT_RACES')
/** That are fought over at the same time: whoever waits for a lock looks every 50 ms only. */
const files = 8

async function takeTurns(path: string, name: string, count: number): Promise<string[]> {
  const keys: string[] = []
  const random = randomFrom(seed)
  for (let turn = 0; turn < count; turn++) {
    keys.push(...(await takeTurn(path, `${name}-${turn}`, random)))
  }
  return keys
}

async function takeTurnsElsewhere(path: string, name: string, count: number): Promise<string[]> {
  await using child = new Child('turns', [path, name, String(count), String(seed + 1)])
  const lines = await child.rest()
  expect((await child.exit()).code, child.errors).toBe(0)
  return lines.flatMap((line) => JSON.parse(line) as string[])
}

describeIf(['go', 'linux'], `${races} turns of us, another process of ours, and bbolt`, () => {
  test.concurrent.for(Array.from({ length: files }, (_, index) => index))(
    'at file %i lose nothing',
    (_index, { expect }) =>
      inDirectory(async (directory) => {
        const path = join(directory, 'data.db')
        await (await open(path)).close()
        const bbolt = await sharedJudge()
        const turns = Math.ceil(races / files)
        const acknowledged: string[] = []
        const seen = { stale: 0, refused: 0 }
        const takeTurnsAsBbolt = async (): Promise<void> => {
          for (let turn = 0; turn < turns; turn++) {
            const key = `bbolt-${turn}`
            const { written, stale, refused } = await bbolt.writeKey(path, key, patienceMs)
            expect(written, `${key}: ${refused.join()}`).toBe(true)
            if (stale) seen.stale++
            seen.refused += refused.length
            acknowledged.push(key)
          }
        }
        await Promise.all([
          takeTurns(path, 'ours', turns).then((keys) => acknowledged.push(...keys)),
          takeTurnsElsewhere(path, 'other', turns).then((keys) => acknowledged.push(...keys)),
          takeTurnsAsBbolt(),
        ])
        expect(seen.stale, 'writes into a file without a name').toBe(0)
        const db = await open(path)
        const values = db.bucket('b').getMany(acknowledged).map(String)
        await db.close()
        expect(values).toEqual(acknowledged)
        await verifyFile(path)
        announce('test/processes/switchover.test.ts', `${seen.refused} replaced files refused`, {
          HOTBOLT_RACES: races,
        })
      }),
  )
})

/** Every way in which the owner of a file that has been replaced lets go of it. */
const ends = ['close', 'exit', 'natural', 'SIGKILL', 'worker-terminate', 'worker-natural']
const states = ['snapshot of a replaced file', 'held after-install', 'held before-clean', 'defrag']

describeIf(['go', 'linux'], 'a bbolt that waits for a file that is then replaced', () => {
  const cells = ends.flatMap((end) => states.map((state) => [end, state] as const))
  test.concurrent.for(cells)('writes into the new one: %s with %s', ([end, state], { expect }) =>
    inDirectory(async (directory) => {
      const path = join(directory, 'data.db')
      const bbolt = await sharedJudge()
      await using owner = new Child('exits', [path, state, end])
      while ((await owner.line()) !== 'open');
      const contest = bbolt.writeKey(path, 'by bbolt', patienceMs)
      while (openFilesIn(directory, bbolt.pid).length === 0) await turnOfEventLoop()
      owner.release()
      const { written, stale } = await contest
      expect({ written, stale }).toEqual({ written: true, stale: false })
      // Who ends without a close leaves a journal, which is stale once bbolt has written.
      await owner.exit()
      for (const name of leftovers(path)) await rm(join(directory, name))
    }),
  )
})

describe('who may have a file open beside whom', () => {
  const whos = ['ours', 'bbolt'] as const
  const modes = ['rw', 'ro'] as const
  type Holder = { release(): Promise<void> }

  /** Rejects with ERR_LOCKED or ErrTimeout when the file is not to be had. */
  async function take(who: string, mode: 'rw' | 'ro', path: string, ms: number): Promise<Holder> {
    if (who === 'bbolt') return (await sharedJudge()).lock(path, mode, { timeoutMs: ms })
    const child = new Child('hold', [
      path,
      JSON.stringify({ readOnly: mode === 'ro', lockTimeoutMs: ms }),
    ])
    const line = await child.line()
    const release = async (): Promise<void> => {
      child.release()
      await child.exit()
    }
    if (line === 'open') return { release }
    await release()
    throw Object.assign(new Error(line), { code: line?.split(' ')[0] })
  }

  const all = whos.flatMap((who) => modes.map((mode) => [who, mode] as const))
  const cells = all.flatMap((first) => all.map((second) => [...first, ...second] as const))
  describeIf(['go', 'linux'], 'all combinations', () => {
    test.concurrent.for(cells)(
      '%s %s, then %s %s',
      ([who, mode, otherWho, otherMode], { expect }) =>
        inDirectory(async (directory) => {
          const path = join(directory, 'data.db')
          await (await open(path)).close()
          const holder = await take(who, mode, path, 1000)
          const shared = mode === 'ro' && otherMode === 'ro'
          const refusal = otherWho === 'ours' ? 'ERR_LOCKED' : 'ErrTimeout'
          const attempt = async (): Promise<void> =>
            (await take(otherWho, otherMode, path, 60)).release()
          expect(await codeOf(attempt)).toBe(shared ? undefined : refusal)
          // And whoever waits gets it.
          const waiting = take(otherWho, otherMode, path, patienceMs)
          await holder.release()
          await (await waiting).release()
          await verifyFile(path)
        }),
    )
  })
})
