// Everything at once, in an order that a seed decides: defragmentations, checks, hashes, closes,
// snapshots and updates of one store in this thread, and of another in a thread that is terminated
// or comes to its end. Each schedule ends in time, and with what was acknowledged.
//
//   HOTBOLT_SCHEDULES=5000 FC_SEED=7 npx vitest run test/processes/schedule.test.ts

import { once } from 'node:events'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { turnOfEventLoop } from '../../lib/database/range.ts'
import { open } from '../../lib/index.ts'
import { startThread } from '../support/child.ts'
import { churn, churnOptions, Ledger, within } from '../support/churn.ts'
import { seed } from '../support/property.ts'
import { randomFrom } from '../support/random.ts'
import { announce } from '../support/replay.ts'
import { countOf, patienceMs } from '../support/tiers.ts'
import { inDirectory, leftovers, openFilesIn } from '../support/with-database.ts'

const schedules = countOf({ short: 25, ci: 150, long: 5000 }, 'HOTBOLT_SCHEDULES')
/** Of a schedule; beyond this something waits for what will never come. */

async function expectContent(path: string, ledger: Ledger): Promise<void> {
  const db = await open(path, churnOptions)
  try {
    expect(ledger.problems(db)).toEqual([])
    expect((await db.check()).issues).toEqual([])
  } finally {
    await db.close()
  }
  expect(leftovers(path)).toEqual([])
}

/** A store of a thread, which is terminated at some time, or not. */
async function elsewhere(path: string, scheduleSeed: number, ledger: Ledger): Promise<void> {
  const random = randomFrom(scheduleSeed)
  const data = { path, memory: ledger.memory, seed: scheduleSeed, steps: 30 }
  const thread = startThread('churn', data)
  const failures: unknown[] = []
  thread.on('error', (error) => failures.push(error))
  const ended = once(thread, 'exit')
  if (random(4) > 0) {
    const writes = ledger.total + random(60)
    const turns = random(2000)
    for (let turn = 0; turn < turns && ledger.total < writes; turn++) await turnOfEventLoop()
    await thread.terminate()
  }
  await ended
  expect(failures).toEqual([])
  await expectContent(path, ledger)
}

async function here(path: string, scheduleSeed: number, ledger: Ledger): Promise<void> {
  expect(await churn(path, randomFrom(scheduleSeed), ledger, 30)).toEqual([])
  await expectContent(path, ledger)
}

test(`${schedules} schedules`, () =>
  inDirectory(async (directory) => {
    announce('test/processes/schedule.test.ts', `${schedules} schedules`, {
      HOTBOLT_SCHEDULES: schedules,
    })
    let ledgers = [new Ledger(), new Ledger()] as const
    for (let index = 0; index < schedules; index++) {
      const scheduleSeed = seed + index
      // Other files every now and then: young ones differ from old ones.
      if (index % 10 === 0) ledgers = [new Ledger(), new Ledger()]
      const generation = index - (index % 10)
      const both = Promise.all([
        here(join(directory, `here-${generation}.db`), scheduleSeed, ledgers[0]),
        elsewhere(join(directory, `elsewhere-${generation}.db`), scheduleSeed, ledgers[1]),
      ])
      await within(patienceMs, `the schedule FC_SEED=${scheduleSeed} HOTBOLT_SCHEDULES=1`, both)
      expect(openFilesIn(directory)).toEqual([])
    }
  }))
