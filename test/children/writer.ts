// Writes and defragments until it is killed: writer <path> <seed> <first operation> <options>
//
// Writes lines: 'open', 'ack <n>' when everything up to operation n has been acknowledged, and
// 'phase <name>' when a defragmentation enters a phase.

import { subscribe } from 'node:diagnostics_channel'
import { open, type ChannelMessages, type OpenOptions } from '../../lib/index.ts'
import { begin, inFlightMax } from '../crash/workload.ts'

const [path = '', seed = '', first = '', options = '{}'] = process.argv.slice(2)
/** Resolves when the line is with the kernel: a line that waits in here dies with the process. */
const say = (line: string): Promise<unknown> =>
  new Promise((resolve) => process.stdout.write(`${line}\n`, resolve))

const db = await open(path, JSON.parse(options) as OpenOptions)
await say('open')

subscribe('hotbolt:defrag', (message) => {
  void say(`phase ${(message as ChannelMessages['hotbolt:defrag']).to}`)
})

async function defragForever(): Promise<never> {
  for (;;) await db.defrag({ fillPercent: 0.7 })
}

async function writeForever(): Promise<never> {
  for (let next = Number(first); ;) {
    const count = 1 + ((next * 7) % inFlightMax)
    const writes = Array.from({ length: count }, (_, index) =>
      begin(db, Number(seed), next + index),
    )
    await Promise.all(writes)
    next += count
    await say(`ack ${next - 1}`)
  }
}

await Promise.all([defragForever(), writeForever()])
