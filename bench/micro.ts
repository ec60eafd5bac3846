// Single calls, by tinybench: `npm run bench:micro`. For finding out what a change of the code did;
// what users get is measured by run.ts.

import { join } from 'node:path'
import { Bench } from 'tinybench'
import { open } from '../lib/index.ts'
import { Records, shuffled } from './records.ts'
import { temporaryDirectory } from './temporary.ts'

const recordCount = 100_000
const rangeLength = 100
const updateWrites = 10

const records = new Records(recordCount)
const keys = Array.from(shuffled(recordCount, 9), (index) => records.key(index))
const db = await open(join(temporaryDirectory(), 'micro.db'))
const bucket = db.bucket('records')
await db.update((tx) => {
  const loading = tx.bucket('records')
  for (let index = 0; index < recordCount; index++) {
    loading.put(records.key(index), records.value(index))
  }
})
await db.checkpoint()

let calls = 0
const nextKey = (): Buffer => keys[calls++ % recordCount]!
const target = Buffer.alloc(128)
const value = records.value(1)

const bench = new Bench({ time: 1000 })
bench
  .add('get', () => {
    bucket.get(nextKey())
  })
  .add("get into the caller's buffer", () => {
    bucket.getInto(nextKey(), target)
  })
  .add('has', () => {
    bucket.has(nextKey())
  })
  .add(`range of ${rangeLength}`, () => {
    for (const entry of bucket.range({ gte: nextKey(), limit: rangeLength })) void entry
  })
  .add('put, the call', () => {
    void bucket.put(nextKey(), value)
  })
  .add('put, until it is durable', async () => {
    await bucket.put(nextKey(), value)
  })
  .add(`update of ${updateWrites}, until it is durable`, async () => {
    await db.update((tx) => {
      const writing = tx.bucket('records')
      for (let write = 0; write < updateWrites; write++) writing.put(nextKey(), value)
    })
  })
await bench.run()
console.table(bench.table())
await db.close()
