// Single bits of a database are flipped, and what is left is opened, checked, read, written and
// closed through the public API: nobody dies, hangs or takes memory without bound, every error has
// a code of the library, and no flip in the structure of the file changes what is read without a
// word, except where the format cannot tell.

import { existsSync } from 'node:fs'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { errorCodes, open, type OpenOptions } from '../../lib/index.ts'
import { Child } from '../support/child.ts'
import { readMetas } from '../support/page-file.ts'
import { mapPages, type ByteClass } from '../support/page-map.ts'
import { seed } from '../support/property.ts'
import { randomFrom } from '../support/random.ts'
import { countOf, isLong, patienceMs } from '../support/tiers.ts'

const flipCount = countOf({ short: 500, ci: 5000, long: 100_000 }, 'HOTBOLT_FLIPS')
/** A flip takes milliseconds; this is for a machine that does ten other things. */
const rssMax = 600 << 20
/** Where fields are densest: of every page. */
const headBytes = 64

/** What has no checksum, and what nothing in the file contradicts. */
const untold: ReadonlySet<ByteClass> = new Set<ByteClass>([
  'free',
  'kind',
  'count',
  'last size',
  'sequence',
  'key',
  'value',
])

interface Outcome {
  readonly met: Readonly<Record<string, string>>
  readonly hash?: string
  readonly ok?: boolean
  readonly rss: number
}

/** Trees of two levels, nested, inline and empty buckets, an overflow value, free pages. */
async function makeDatabase(path: string, options: OpenOptions): Promise<string> {
  const db = await open(path, options)
  const tree = db.bucket('tree')
  await db.update((tx) => {
    for (let n = 100; n < 500; n++) tx.bucket('tree').put(`key-0${n}`, `value ${n} `.repeat(7))
    for (let n = 0; n < 4; n++) tx.bucket('inline').put(`k${n}`, `v${n}`)
    tx.bucket('nest').bucket('a').bucket('b').put('deep', 'down'.repeat(200))
    tx.bucket('nest').bucket('a').put('key', 'value'.repeat(100))
    tx.bucket('nest').bucket('small').put('key', 'value')
    tx.bucket('overflow').put('large', 'o'.repeat(12_000))
    tx.createBucket('empty')
    tx.bucket('nest').setSequence(7n)
  })
  await db.checkpoint()
  for (let n = 150; n < 250; n++) void tree.delete(`key-0${n}`)
  await db.checkpoint()
  await tree.put('key-0150', 'again')
  await db.checkpoint()
  // The metas of the last two commits say the same: losing one loses nothing.
  const hash = await db.hash()
  await db.close()
  return hash
}

/** All bits of the first bytes of every page, shuffled, then any others. */
function planFlips(file: Buffer, pageSize: number, count: number): string[] {
  const random = randomFrom(seed)
  const heads: string[] = []
  for (let page = 0; page < file.length; page += pageSize) {
    for (let bit = 0; bit < headBytes * 8; bit++) heads.push(`${page + (bit >> 3)} ${bit & 7}`)
  }
  for (let n = heads.length - 1; n > 0; n--) {
    const other = random(n + 1)
    ;[heads[n], heads[other]] = [heads[other]!, heads[n]!]
  }
  const some = heads.slice(0, isLong ? heads.length : Math.ceil(count / 2)).slice(0, count)
  while (some.length < count) some.push(`${random(file.length)} ${random(8)}`)
  return some
}

async function lineInTime(child: Child, after: string): Promise<string | undefined> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`hangs at flip ${after}`)), patienceMs)
  })
  try {
    return await Promise.race([child.line(), late])
  } finally {
    clearTimeout(timer)
  }
}

/** What came of each flip. Throws when the child dies or hangs. */
async function flipAll(good: string, flips: readonly string[]): Promise<Map<string, Outcome>> {
  const memory = existsSync('/dev/shm') ? '/dev/shm' : tmpdir()
  const folder = await mkdtemp(join(memory, 'hotbolt-flips-'))
  const list = `${folder}.txt`
  try {
    await writeFile(list, flips.join('\n'))
    await using child = new Child('bit-flips', [good, folder, list])
    const outcomes = new Map<string, Outcome>()
    for (const flip of flips) {
      expect(await lineInTime(child, flip), child.errors).toBe(flip)
      const line = await lineInTime(child, flip)
      if (line === undefined) {
        const { code, signal } = await child.exit()
        throw new Error(`died at flip ${flip}: ${signal ?? code} ${child.errors}`)
      }
      outcomes.set(flip, JSON.parse(line) as Outcome)
    }
    return outcomes
  } finally {
    await rm(folder, { recursive: true, force: true })
    await rm(list, { force: true })
  }
}

describe.each([
  ['1 KiB', { pageSize: 1024 }],
  ['4 KiB', { pageSize: 4096 }],
] as const)('a database with pages of %s', (_, options) => {
  let directory = ''
  let path = ''
  let hash = ''
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'hotbolt-test-'))
    path = join(directory, 'good.db')
    hash = await makeDatabase(path, options)
  })
  afterAll(() => rm(directory, { recursive: true, force: true }))

  test(`survives flipped bits, and tells of those in its structure (seed ${seed})`, async () => {
    const file = await readFile(path)
    expect(file.length).toBeLessThanOrEqual(128 << 10)
    const [zero, one] = await readMetas(path)
    const root = zero.txid > one.txid ? zero.root : one.root
    const classes = mapPages(file, options.pageSize, root)
    const flips = [...new Set(planFlips(file, options.pageSize, flipCount / 2))]
    const outcomes = await flipAll(path, flips)

    const counts = new Map<string, number>()
    const silent: string[] = []
    for (const [flip, { met, ok, rss, ...seen }] of outcomes) {
      expect(rss, flip).toBeLessThan(rssMax)
      for (const code of Object.values(met)) {
        expect(errorCodes, flip).toContain(code)
        expect(code, `${flip} ${JSON.stringify(met)}`).not.toBe('ERR_INTERNAL')
      }
      const name = classes[Number(flip.split(' ')[0])]!
      const told = ok !== true || Object.keys(met).length > 0
      const changed = seen.hash !== hash
      const outcome = told ? 'told' : changed ? `misread ${name}` : 'harmless'
      counts.set(outcome, (counts.get(outcome) ?? 0) + 1)
      if (!told && changed && !untold.has(name)) silent.push(`${flip} (${name})`)
    }
    console.info(`${outcomes.size} flips, seed ${seed}: ${JSON.stringify([...counts])}`)
    expect(silent).toEqual([])
    expect(counts.get('told') ?? 0).toBeGreaterThan(outcomes.size / 10)
    expect(counts.get('harmless') ?? 0).toBeGreaterThan(0)
  })
})
