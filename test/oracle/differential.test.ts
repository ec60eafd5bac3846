// The same random operations through hotbolt and through bbolt: both refuse the same ones, both say
// the same in the end, and each goes on with what the other has written.
//
//   FC_SEED=1234 npx vitest run test/oracle/differential

import { copyFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { open, type Database, type OpenOptions } from '../../lib/index.ts'
import { applyTo, type Operation } from '../support/operations.ts'
import { seed } from '../support/property.ts'
import { randomFrom } from '../support/random.ts'
import { describeIf } from '../support/tools.ts'
import { countOf } from '../support/tiers.ts'
import { damagedOnPurpose } from '../support/verdict.ts'
import { inDirectory, refusalOf, sharedJudge, verifyFile } from '../support/with-database.ts'
import type { FormatOptions, JudgeOp, JudgeStep } from './bbolt.ts'

const operationsTotal = countOf({ short: 60_000, ci: 400_000, long: 10_000_000 })
const operationsPerRound = 5000

const pageSizes = [1024, 2048, 4096, 8192, 16_384, 32_768, 65_536]

/** bbolt's names for what we refuse. */
const ourCode: Readonly<Record<string, string>> = {
  ErrKeyRequired: 'ERR_KEY_REQUIRED',
  ErrKeyTooLarge: 'ERR_KEY_TOO_LARGE',
  ErrIncompatibleValue: 'ERR_INCOMPATIBLE_VALUE',
  ErrBucketNotFound: 'ERR_BUCKET_NOT_FOUND',
  ErrBucketExists: 'ERR_BUCKET_EXISTS',
}

type Target = Parameters<typeof applyTo>[0]
type Random = (limit: number) => number

/** Skewed, so that there are large trees beside small and inline buckets. */
function randomOperation(random: Random): Operation {
  const path = [`bucket-${random(1 + random(6))}`]
  while (path.length < 5 && random(4) === 0) path.push(`n${random(3)}`)
  const key = (): string => (random(30) === 0 ? `n${random(3)}` : `key-${random(2500)}`)
  const size = (): number => {
    const dice = random(200)
    if (dice === 0) return random(20_000)
    return dice < 20 ? random(1200) : random(90)
  }
  const dice = random(100)
  if (dice < 66) {
    return { kind: 'put', path, key: key(), value: Buffer.alloc(size(), 97 + random(26)) }
  }
  if (dice < 91) return { kind: 'delete', path, key: key() }
  if (dice < 94) return { kind: 'createBucket', path }
  if (dice < 95) return { kind: 'deleteBucket', path }
  if (dice < 96) return { kind: 'put', path, key: '', value: Buffer.alloc(1) }
  return { kind: 'setSequence', path, sequence: BigInt(random(2 ** 31)) << BigInt(random(33)) }
}

/** Transactions, some of them rolled back, and times at which the file is closed and opened. */
function randomSteps(
  random: Random,
  count: number,
): { operations: Operation[]; rollback: boolean }[] {
  const steps: { operations: Operation[]; rollback: boolean }[] = []
  for (let done = 0; done < count;) {
    const operations = Array.from({ length: 1 + random(400) }, () => randomOperation(random))
    steps.push({ operations, rollback: random(10) === 0 })
    done += operations.length
  }
  return steps
}

/**
 * bbolt 1.5 loses pages when a bucket is changed and deleted in one transaction; its own check says
 * so. They are neither free nor in use, and nothing else may be wrong with a file that it wrote.
 */
async function losesPagesAtMost(path: string): Promise<boolean> {
  const { ok, errors } = await (await sharedJudge()).check(path)
  expect(errors.filter((error) => !error.endsWith('unreachable unfreed'))).toEqual([])
  return !ok
}

class Rollback extends Error {}

/** The refusals, as bbolt's judge reports them. */
async function runOurs(
  db: Database,
  steps: readonly { operations: Operation[]; rollback: boolean }[],
): Promise<[number, string][]> {
  const refused: [number, string][] = []
  let index = 0
  for (const [number, { operations, rollback }] of steps.entries()) {
    const run = (target: Target): void => {
      for (const operation of operations) {
        const code = refusalOf(() => applyTo(target, operation))
        if (code !== undefined) refused.push([index, code])
        index++
      }
    }
    // The same outside a transaction is one of its own for each.
    if (!rollback && number % 4 === 0) run(db)
    else {
      const done = db.update((tx) => {
        run(tx)
        if (rollback) throw new Rollback()
      })
      await done.catch((error: unknown) => {
        if (!(error instanceof Rollback)) throw error
      })
    }
    if (number % 7 === 0) await db.checkpoint()
  }
  return refused
}

function toJudge(steps: readonly { operations: Operation[]; rollback: boolean }[]): JudgeStep[] {
  return steps.map(({ operations, rollback }) => ({ ops: operations as JudgeOp[], rollback }))
}

async function copied(path: string): Promise<string> {
  await copyFile(path, `${path}.copy`)
  return `${path}.copy`
}

describeIf('go', 'hotbolt and bbolt', () => {
  test(`say the same after ${operationsTotal} operations (seed ${seed})`, () =>
    inDirectory(async (directory) => {
      damagedOnPurpose(directory) // bbolt loses pages of freelists that are arrays
      const bbolt = await sharedJudge()
      const random = randomFrom(seed)
      const files = [1024, 4096].map((pageSize) => ({
        pageSize,
        ours: join(directory, `ours-${pageSize}.db`),
        theirs: join(directory, `theirs-${pageSize}.db`),
      }))
      let done = 0
      let refusals = 0
      for (let round = 0; done < operationsTotal; round++) {
        const { pageSize, ours, theirs } = files[round % files.length]!
        const options: OpenOptions = { pageSize, checkpointBytes: 64 << 10, sync: 'never' }
        const steps = randomSteps(random, operationsPerRound)
        const theirRefusals = bbolt.script(theirs, toJudge(steps), { pageSize })
        const db = await open(ours, options)
        const refused = await runOurs(db, steps)
        if (round % 3 === 0) await db.defrag()
        const hash = await db.hash()
        await db.close()
        const wanted = (await theirRefusals).map(({ index, error }) => [index, ourCode[error]])
        expect(refused, `round ${round}`).toEqual(wanted)
        expect((await bbolt.dump(theirs)).sha256, `round ${round}`).toBe(hash)
        await verifyFile(ours, hash)
        done += steps.reduce((sum, { operations }) => sum + operations.length, 0)
        refusals += refused.length
      }
      expect(refusals).toBeGreaterThan(done / 1000)
    }))

  const formats: FormatOptions[] = pageSizes.flatMap((pageSize) => [
    { pageSize, freelist: 'array' as const, noFreelistSync: false },
    { pageSize, freelist: 'hashmap' as const, noFreelistSync: true },
  ])

  test.each(formats)(
    'hand a file of $pageSize-byte pages, freelist $freelist, to each other',
    (format) =>
      inDirectory(async (directory) => {
        damagedOnPurpose(directory) // bbolt loses pages of freelists that are arrays
        const bbolt = await sharedJudge()
        const random = randomFrom(seed + format.pageSize!)
        const path = join(directory, 'shared.db')
        const made = await bbolt.generate(path, { seed, count: 1500, ...format })
        const twin = join(directory, 'twin.db') // only bbolt ever writes this one
        await copyFile(path, twin)
        let { sha256 } = made
        let lost = await losesPagesAtMost(path)
        for (let round = 0; round < 3; round++) {
          const db = await open(path, { checkpointBytes: 32 << 10 })
          expect(db.stats().pageSize).toBe(format.pageSize)
          expect(await db.hash(), `round ${round}`).toBe(sha256)
          expect((await db.check()).ok, 'both checks agree').toBe(!lost)
          const ours = randomSteps(random, 400)
          await runOurs(db, ours)
          if (round === 1 || lost) await db.defrag() // which finds them again
          sha256 = await db.hash()
          await db.close()
          await verifyFile(path, sha256)
          await bbolt.script(twin, toJudge(ours), format)
          const theirs = toJudge(randomSteps(random, 400))
          const both = [path, twin].map((file) => bbolt.script(file, theirs, format))
          const [one, two] = await Promise.all(both)
          expect(one).toEqual(two)
          lost = await losesPagesAtMost(path)
          const dumps = await Promise.all([path, twin].map((file) => bbolt.dump(file)))
          expect(dumps[0]).toEqual(dumps[1])
          ;({ sha256 } = dumps[0]!)
        }
      }),
  )

  test('hand a free list of more than 65,535 pages to each other', () =>
    inDirectory(async (directory) => {
      const bbolt = await sharedJudge()
      const path = join(directory, 'long.db')
      const options = { seed, count: 300, pageSize: 1024, freePages: 70_000 }
      const { sha256 } = await bbolt.generate(path, options)
      expect((await bbolt.info(path)).freePages).toBeGreaterThan(65_535)
      const db = await open(path)
      expect(await db.hash()).toBe(sha256)
      await db.bucket('ours').put('k', 'v')
      await db.deleteBucket('ours')
      await db.close()
      await verifyFile(path, sha256)
      expect((await bbolt.info(path)).freePages, 'written by us').toBeGreaterThan(65_535)
      const put: JudgeOp = { kind: 'put', path: ['theirs'], key: 'k', value: 'v' }
      expect(await bbolt.script(path, [{ ops: [put] }])).toEqual([])
      const again = await open(path)
      await again.deleteBucket('theirs')
      const report = await again.defrag()
      expect(report.sizeAfterBytes).toBeLessThan(report.sizeBeforeBytes / 10)
      await again.close()
      await verifyFile(path, sha256)
    }))

  test('agree on what is left when bbolt has lost pages, which a defragmentation finds again', () =>
    inDirectory(async (directory) => {
      damagedOnPurpose(directory) // bbolt loses pages of freelists that are arrays
      const bbolt = await sharedJudge()
      const random = randomFrom(seed)
      const path = join(directory, 'lost.db')
      await bbolt.generate(path, { seed, count: 1500, pageSize: 1024, freelist: 'array' })
      for (let round = 0; round < 5; round++) {
        await bbolt.script(path, toJudge(randomSteps(random, 500)), { freelist: 'array' })
      }
      const { sha256 } = await bbolt.dump(path)
      const db = await open(path)
      expect(await db.hash()).toBe(sha256)
      const lost = await losesPagesAtMost(await copied(path))
      expect((await db.check()).ok, 'both checks agree').toBe(!lost)
      await db.bucket('ours').put('k', 'v')
      await db.deleteBucket('ours')
      await db.defrag()
      expect((await db.check()).issues).toEqual([])
      await db.close()
      await verifyFile(path, sha256)
    }))

  test('agree on the bytes of a new database', () =>
    inDirectory(async (directory) => {
      const bbolt = await sharedJudge()
      for (const pageSize of pageSizes) {
        const [ours, theirs] = [join(directory, 'ours.db'), join(directory, 'theirs.db')]
        await (await open(`${ours}.${pageSize}`, { pageSize })).close()
        await bbolt.script(`${theirs}.${pageSize}`, [], { pageSize })
        const [one, two] = await Promise.all(
          [ours, theirs].map((file) => bbolt.info(`${file}.${pageSize}`)),
        )
        expect([one!.pageSize, one!.pages]).toEqual([two!.pageSize, two!.pages])
      }
    }))
})
