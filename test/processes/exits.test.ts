// Every way in which a process or a thread ends, in the middle of everything that a database can be
// doing: it ends at once and as it was told to, what was acknowledged is there, nothing is left
// behind that the next open does not clear away.
//
//   HOTBOLT_EXIT_REPEATS=200 npx vitest run test/processes/exits.test.ts -t 'worker-terminate'

import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { open } from '../../lib/index.ts'
import { repositoryRoot } from '../oracle/root.ts'
import { Child, type Exit } from '../support/child.ts'
import { countOf, isLong, patienceMs, tier } from '../support/tiers.ts'
import { inDirectory, leftovers, pausePoints, verifyFile } from '../support/with-database.ts'

const repeats = countOf({ short: 1, ci: 1, long: 50 }, 'HOTBOLT_EXIT_REPEATS')

const exited = (code: number): Exit => ({ code, signal: null })
const killed = (signal: NodeJS.Signals): Exit => ({ code: null, signal })

/** How the process ends, and whether what has begun settles before. */
const exits: Record<string, { readonly end: Exit; readonly settles: boolean }> = {
  natural: { end: exited(0), settles: true },
  beforeExit: { end: exited(9), settles: true },
  exit: { end: exited(7), settles: false },
  'exit inside an update': { end: exited(7), settles: false },
  throw: { end: exited(1), settles: false },
  rejection: { end: exited(1), settles: false },
  SIGTERM: { end: killed('SIGTERM'), settles: false },
  SIGKILL: { end: killed('SIGKILL'), settles: false },
  'worker-natural': { end: exited(0), settles: true },
  'worker-exit': { end: exited(0), settles: false },
  'worker-throw': { end: exited(0), settles: false },
  'worker-terminate': { end: exited(0), settles: false },
}

const calm = ['idle', 'snapshot', 'snapshot of a replaced file', 'iterator', 'waiting long']
const busy = [
  'put',
  'group',
  'flush',
  'update queued',
  'update open',
  'close',
  'opening',
  'waiting',
]
const background = ['checkpoint', 'check', 'hash', 'defrag']
const states = calm.concat(
  busy,
  background,
  pausePoints.map((point) => `held ${point}`),
)

/** Waits for as long as it was told to: for a lock, or behind an update. */
const isEndless = (state: string, exit: string): boolean =>
  (state === 'waiting long' && exits[exit]?.settles === true) ||
  (state === 'update open' && exit === 'exit inside an update')

/** The long form has every cell, CI the rows and columns that differ most; every state and exit. */
const isChosen = (state: string, exit: string): boolean =>
  isLong ||
  (tier === 'ci' ? ['natural', 'exit', 'worker-terminate'] : ['worker-terminate']).includes(exit) ||
  (tier === 'ci' ? ['group', 'checkpoint', 'held after-publish'] : ['group']).includes(state)

interface Told {
  readonly acknowledged: string[]
  readonly unsettled: string[]
  readonly reopened: string | undefined
}

function read(lines: readonly string[]): Told {
  const after = (prefix: string): string[] =>
    lines.filter((line) => line.startsWith(prefix)).map((line) => line.slice(prefix.length))
  const settled = new Set(after('settled '))
  return {
    acknowledged: after('ack '),
    unsettled: after('begun ').filter((what) => !settled.has(what)),
    reopened: after('reopened ')[0],
  }
}

/** Runs the child to its end; its lines. */
async function runToEnd(path: string, state: string, exit: string): Promise<string[]> {
  await using child = new Child('exits', [path, state, exit])
  const watchdog = setTimeout(() => child.kill(), patienceMs)
  child.release()
  try {
    const lines = await child.rest()
    expect(lines, child.errors).toContain('ready')
    expect(await child.exit(), child.errors).toEqual(exits[exit]?.end)
    return lines
  } finally {
    clearTimeout(watchdog)
  }
}

async function expectContent(path: string, told: Told): Promise<void> {
  const db = await open(path)
  try {
    const left = leftovers(path).filter((name) => !name.includes('-journal-'))
    expect(left, 'an open clears away what is not its journal').toEqual([])
    const values = db.bucket('b').getMany(told.acknowledged).map(String)
    expect(values, 'what was acknowledged').toEqual(told.acknowledged)
    expect(db.bucket('fill').count()).toBe(2000)
  } finally {
    await db.close()
  }
  expect(leftovers(path)).toEqual([])
  await verifyFile(path)
}

describe.each(Object.keys(exits))('%s', (exit) => {
  const cells = states.filter((state) => isChosen(state, exit) && !isEndless(state, exit))
  test.concurrent.for(cells)('while: %s', async (state, { expect }) => {
    for (let repeat = 0; repeat < repeats; repeat++) {
      await inDirectory(async (directory) => {
        const path = join(directory, 'data.db')
        const told = read(await runToEnd(path, state, exit))
        expect(told.acknowledged.length).toBeGreaterThanOrEqual(20)
        if (exits[exit]?.settles === true) expect(told.unsettled).toEqual([])
        if (exit.startsWith('worker-')) {
          expect(Number(told.reopened)).toBeGreaterThanOrEqual(told.acknowledged.length)
        }
        await expectContent(path, told)
      })
    }
  })
})

test('a process that has only loaded the library ends', () => {
  const source = `import ${JSON.stringify(join(repositoryRoot, 'dist/lib/index.js'))}`
  const args = ['--input-type=module', '--eval', source]
  const { status, signal } = spawnSync(process.execPath, args, { timeout: patienceMs })
  expect({ code: status, signal }).toEqual(exited(0))
})
