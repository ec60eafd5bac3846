// Writes and defragments until it is killed: writer <path> <seed> <first operation> <options>
//
// Writes lines: 'open', 'ack <n>' when everything up to operation n has been acknowledged, and
// 'phase <name>' when a defragmentation enters a phase.

import { subscribe } from 'node:diagnostics_channel'
import { open, type ChannelMessages, type OpenOptions } from '../../lib/index.ts'
import { begin, inFlightMax } from '../crash/workload.ts'

const [path = '', seed = '', first = '', options = '{}'] = process.argv.slice(2)
const say = (line: string): unknown => process.stdout.write(`${line}\n`)

const db = await open(path, JSON.parse(options) as OpenOptions)
say('open')

subscribe('hotbolt:defrag', (message) => {
  say(`phase ${(message as ChannelMessages['hotbolt:defrag']).to}`)
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
    say(`ack ${next - 1}`)
  }
}

await Promise.all([defragForever(), writeForever()])
