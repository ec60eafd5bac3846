// One program among others that want the same file: waits for it, writes, defragments it or not,
// and lets it go. In this process and in test/children/turns.ts.

import { open } from '../../lib/index.ts'
import { patienceMs } from './tiers.ts'

/** One turn; gives the keys of bucket 'b' that were acknowledged, each with itself as its value. */
export async function takeTurn(
  path: string,
  name: string,
  random: (limit: number) => number,
): Promise<string[]> {
  const db = await open(path, { lockTimeoutMs: patienceMs })
  const acknowledged: string[] = []
  const put = async (key: string): Promise<void> => {
    await db.bucket('b').put(key, key)
    acknowledged.push(key)
  }
  await put(`${name}-first`)
  const ending = random(4)
  if (ending > 0) {
    // Held to the end, it keeps the replaced file from being emptied.
    if (ending === 1) db.snapshot()
    const report = db.defrag()
    await put(`${name}-during`)
    // A close cancels it, or comes too late for that.
    if (ending === 2) report.catch(() => {})
    else await report
    await put(`${name}-last`)
  }
  await db.close()
  return acknowledged
}
