// What the process that is killed writes: transaction n follows from the seed and n alone, so that
// whoever knows how many there were knows everything.

import type { Database } from '../../lib/index.ts'
import type { Model } from '../support/model.ts'
import { applyTo, applyToModel, type Operation } from '../support/operations.ts'
import { randomFrom } from '../support/random.ts'

/** The most transactions that are begun before the ones before them are acknowledged. */
export const inFlightMax = 20

const buckets = [['a'], ['b'], ['b', 'inner'], ['c']]

/** The operations of transaction n. */
export function operationsOf(seed: number, n: number): Operation[] {
  const random = randomFrom(seed * 1_000_003 + n)
  const path = (): string[] => buckets[random(buckets.length)]!
  const key = (): string => `key-${random(400)}`
  const put = (): Operation => {
    const size = random(40) === 0 ? 3000 : random(120)
    return { kind: 'put', path: path(), key: key(), value: Buffer.alloc(size, `${n} `) }
  }
  const dice = random(100)
  if (dice < 60) return [put()]
  if (dice < 80) return [{ kind: 'delete', path: path(), key: key() }]
  if (dice < 82) return [{ kind: 'deleteBucket', path: path() }]
  if (dice < 85) return [{ kind: 'nextSequence', path: path() }]
  return Array.from({ length: 1 + random(12) }, () =>
    random(3) === 0 ? { kind: 'delete', path: path(), key: key() } : put(),
  )
}

/** Begins transaction n; resolves when it is durable. What is refused is no failure. */
export async function begin(db: Database, seed: number, n: number): Promise<void> {
  const operations = operationsOf(seed, n)
  const [first] = operations
  if (operations.length > 1) {
    await db.update((tx) => {
      for (const operation of operations) applyTo(tx, operation)
    })
    return
  }
  if (first?.kind === 'deleteBucket' && !exists(db, first)) return
  await applyTo(db, first!)
  if (first?.kind === 'nextSequence') await db.flush()
}

function exists(db: Database, { path }: Operation): boolean {
  let bucket = db.bucket(path[0]!)
  for (const name of path.slice(1)) bucket = bucket.bucket(name)
  return bucket.exists
}

/** The same on a model. */
export function follow(model: Model, seed: number, n: number): void {
  for (const operation of operationsOf(seed, n)) {
    if (operation.kind === 'deleteBucket' && model.find(operation.path) === undefined) continue
    applyToModel(model, operation)
  }
}
