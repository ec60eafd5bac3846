// Puts one large value and changes its neighbours: large-value <path> <way> <bytes>
//
// Writes a line of JSON: by how much the greatest resident size grew, and the bytes that writing
// the value and, after that, writing each neighbour took.

import { readFileSync } from 'node:fs'
import { open, type Database } from '../../lib/index.ts'

const [path = '', way = '', bytes = ''] = process.argv.slice(2)
const size = Number(bytes)

const ways: Record<string, (db: Database, value: Uint8Array) => Promise<unknown>> = {
  put: (db, value) => db.bucket('b').put('m', value),
  'put of shared memory': (db, value) => db.bucket('b').put('m', value),
  update: (db, value) =>
    db.update((tx) => {
      tx.bucket('b').put('m', value)
      tx.bucket('b').put('z', 'beside it')
      if (tx.bucket('b').getInto('m', Buffer.alloc(1)) !== size) throw new Error('it is not there')
    }),
}

function makeValue(): Uint8Array {
  const isShared = way === 'put of shared memory'
  const memory = isShared ? new SharedArrayBuffer(size) : new ArrayBuffer(size)
  return new Uint8Array(memory).fill(7)
}

/** By calls of the file system, whatever the disk makes of them. */
function bytesWritten(): number {
  return Number(/^wchar: (\d+)/m.exec(readFileSync('/proc/self/io', 'utf8'))?.[1])
}

async function written(work: () => Promise<unknown>): Promise<number> {
  const before = bytesWritten()
  await work()
  return bytesWritten() - before
}

const db = await open(path)
await db.bucket('b').put('a', 'first')
await db.bucket('b').put('z', 'last')
await db.checkpoint()
const value = makeValue()
const write = ways[way]
if (write === undefined) throw new Error(`no such way: ${way}`)
const before = process.resourceUsage().maxRSS
const itself = await written(async () => {
  await write(db, value)
  await db.checkpoint()
})
const grownBytes = (process.resourceUsage().maxRSS - before) * 1024
const neighbours: number[] = []
for (const key of ['a', 'l', 'm0', 'z']) {
  neighbours.push(
    await written(async () => {
      await db.bucket('b').put(key, 'changed')
      await db.checkpoint()
    }),
  )
}
await db.close()
process.stdout.write(`${JSON.stringify({ grownBytes, itself, neighbours })}\n`)
