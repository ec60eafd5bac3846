// Writes the golden files anew with the bbolt of ../oracle/bbolt/go.mod:
//
//   npm run build:ts && node dist/test/golden/make.js
//
// bbolt places pages at random, so the files differ from run to run; what golden.json says of them
// does not.

import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'

import { BboltJudge, type FormatOptions, type JudgeOp, type JudgeStep } from '../oracle/bbolt.ts'
import { goldenDir, type GoldenFile } from './golden.ts'

const small: JudgeStep[] = [
  { ops: [{ kind: 'put', path: ['users'], key: 'ada', value: 'lovelace' }] },
]

/**
 * Every shape at once: nested, inline and empty buckets, sequences, overflow runs, deletions,
 * several levels.
 */
const shapes: JudgeStep[] = [
  {
    ops: [
      ...numbered(400, (n) => put(['tree'], `key-${n}`, `value ${n}`.repeat(8))),
      ...numbered(3, (n) => put(['inline'], `k${n}`, `v${n}`)),
      { kind: 'createBucket', path: ['empty'] },
      { kind: 'createBucket', path: ['nest', 'empty'] },
      put(['nest', 'a', 'b', 'c', 'd'], 'deep', 'down'),
      put(['nest', 'a'], Buffer.from([0, 1, 254, 255]), Buffer.from([255, 0])),
      put(['nest'], 'no value', ''),
      { kind: 'setSequence', path: ['nest'], sequence: 42n },
      { kind: 'setSequence', path: ['nest', 'a'], sequence: 2n ** 64n - 1n },
      { kind: 'setSequence', path: ['empty'], sequence: 1n },
      put(['overflow'], 'one', Buffer.alloc(10_000, 'x')),
      put(['overflow'], 'two', Buffer.alloc(150_000, 'y')),
      put(['overflow'], Buffer.alloc(32_768, 'k'), 'the longest key'),
    ],
  },
  {
    ops: [
      ...numbered(150, (n) => ({ kind: 'delete', path: ['tree'], key: `key-${n}` })),
      { kind: 'deleteBucket', path: ['nest', 'empty'] },
      { kind: 'delete', path: ['overflow'], key: 'one' },
    ],
  },
]

const files: [name: string, steps: JudgeStep[], format: FormatOptions][] = [
  ['fresh-4096.db', [], { pageSize: 4096 }],
  ['small-1024.db', small, { pageSize: 1024 }],
  ['small-65536.db', small, { pageSize: 65536 }],
  ['shapes-1024.db', shapes, { pageSize: 1024 }],
  ['shapes-4096.db', shapes, { pageSize: 4096, freelist: 'hashmap' }],
  ['shapes-16384.db', shapes, { pageSize: 16384 }],
  ['shapes-65536.db', shapes, { pageSize: 65536 }],
  ['shapes-4096-no-freelist.db', shapes, { pageSize: 4096, noFreelistSync: true }],
]

function put(path: string[], key: string | Uint8Array, value: string | Uint8Array): JudgeOp {
  return { kind: 'put', path, key, value }
}

function numbered(count: number, make: (n: string) => JudgeOp): JudgeOp[] {
  return Array.from({ length: count }, (_, index) => make(String(index).padStart(4, '0')))
}

async function makeGoldenFiles(): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), 'hotbolt-golden-'))
  const judge = await BboltJudge.start()
  const entries: Omit<GoldenFile, 'path'>[] = []
  for (const [name, steps, format] of files) {
    const path = join(directory, name)
    assert.deepEqual(await judge.script(path, steps, format), [])
    await writeFile(join(goldenDir, `${name}.gz`), gzipSync(await readFile(path), { level: 9 }))
    const dump = await judge.dump(path)
    entries.push({
      name,
      pageSize: format.pageSize!,
      freelist: format.noFreelistSync !== true,
      dump,
    })
  }
  await writeFile(join(goldenDir, 'golden.json'), `${JSON.stringify(entries, null, 2)}\n`)
  await judge.close()
  await rm(directory, { recursive: true })
}

await makeGoldenFiles()
