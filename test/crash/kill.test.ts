// kill -9 in a loop: a process writes and defragments all the time and is killed at any moment;
// whoever opens the file then finds everything that was acknowledged, in order, and no more than
// what was begun. One database goes through all cycles.
//
//   HOTBOLT_KILL_CYCLES=1000 FC_SEED=7 npx vitest run test/crash

import { copyFile, readdir } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { expect, test } from 'vitest'
import { open, type Database, type OpenOptions } from '../../lib/index.ts'
import { Child } from '../support/child.ts'
import { Model } from '../support/model.ts'
import { seed } from '../support/property.ts'
import { randomFrom } from '../support/random.ts'
import { hasTool } from '../support/tools.ts'
import { countOf } from '../support/tiers.ts'
import {
  inDirectory,
  leftovers,
  memoryDirectory,
  sharedJudge,
  verifyFile,
} from '../support/with-database.ts'
import { follow, inFlightMax } from './workload.ts'

const cycles = countOf({ short: 20, ci: 200, long: 2000 }, 'HOTBOLT_KILL_CYCLES')
const phases = ['preparing', 'copying', 'catching-up', 'switching', 'cleaning', 'done']

const variants: OpenOptions[] = [
  { pageSize: 1024, checkpointBytes: 8 << 10, maxRetainedBytes: 16 << 10 },
  { checkpointBytes: 64 << 10 },
  { checkpointBytes: 2 << 10, sync: 'never' },
  { checkpointBytes: 8 << 10, checkpoint: 'flush' },
]

/** How the model says the file ought to be, and after how many transactions. */
class Progress {
  model = new Model()
  done = 0

  /** Goes on to where the database is: at least `acknowledged`, at most what was begun. */
  async meet(db: Database, acknowledged: number): Promise<void> {
    const hash = await db.hash()
    while (this.done < acknowledged) this.#step()
    const most = acknowledged + inFlightMax
    while (this.model.hash() !== hash && this.done < most) this.#step()
    expect(this.model.hash(), `transaction ${acknowledged} to ${most}`).toBe(hash)
  }

  #step(): void {
    this.done++
    follow(this.model, seed, this.done)
  }
}

/** Lets a writer run until `enough` lines, or the given phase, and kills it; the last ack. */
async function runAndKill(
  args: readonly string[],
  enough: number,
  phase: string | undefined,
): Promise<number> {
  await using child = new Child('writer', args)
  let acknowledged = Number(args[2]) - 1
  const note = (line: string): void => {
    if (line.startsWith('ack ')) acknowledged = Number(line.slice(4))
  }
  for (let lines = 0; ; lines++) {
    const line = await child.line()
    if (line === undefined) throw new Error(`the writer ended by itself: ${child.errors}`)
    note(line)
    if (lines >= enough && (phase === undefined || line === `phase ${phase}`)) break
  }
  child.kill()
  // What it had written before it died counts too.
  for (const line of await child.rest()) note(line)
  expect((await child.exit()).signal).toBe('SIGKILL')
  return acknowledged
}

/** The page file alone, as bbolt would find it, is sound at every moment. */
async function expectSoundPageFile(path: string): Promise<void> {
  if (!hasTool('go')) return
  const copy = `${path}.copy`
  await copyFile(path, copy)
  expect(await (await sharedJudge()).check(copy)).toEqual({ ok: true, errors: [] })
}

async function inspect(path: string, progress: Progress, acknowledged: number): Promise<void> {
  const reader = await open(path, { readOnly: true })
  try {
    await progress.meet(reader, acknowledged)
    expect((await reader.check()).issues).toEqual([])
  } finally {
    await reader.close()
  }
}

test(`${cycles} times killed, nothing that was acknowledged is lost`, () =>
  inDirectory(async (directory) => {
    console.info(`${cycles} cycles, seed ${seed}`)
    const path = join(directory, 'data.db')
    const random = randomFrom(seed)
    const progress = new Progress()
    const seen = { segments: 0, temporaries: 0 }
    for (let cycle = 0; cycle < cycles; cycle++) {
      const options = variants[random(variants.length)]!
      const args = [path, String(seed), String(progress.done + 1), JSON.stringify(options)]
      const phase = random(2) === 0 ? undefined : phases[random(phases.length)]
      const acknowledged = await runAndKill(args, random(60), phase)
      const names = await readdir(directory)
      seen.segments += names.filter((name) => name.includes('-journal-')).length
      seen.temporaries += names.filter((name) => name.includes('-defrag-')).length
      await expectSoundPageFile(path)
      await inspect(path, progress, acknowledged)
      // Every other time the next writer itself has to recover.
      if (cycle % 2 === 0) continue
      const db = await open(path)
      expect(await db.hash()).toBe(progress.model.hash())
      expect(leftovers(path).filter((name) => name.includes('-defrag-'))).toEqual([])
      await db.close()
      expect(leftovers(path)).toEqual([])
      await verifyFile(path, progress.model.hash())
    }
    console.info(`${progress.done} transactions; left behind: ${JSON.stringify(seen)}`)
    expect(seen.segments, `${basename(path)} left journals behind`).toBeGreaterThan(0)
    expect(seen.temporaries, 'kills fell into defragmentations').toBeGreaterThan(0)
  }, memoryDirectory))
