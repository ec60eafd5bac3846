// Reads a database that was cut short while somebody else handles SIGBUS:
//
//   bus-error <path>
//
// Writes one line of JSON: the codes that the reads gave, and how many signals arrived.

import { once } from 'node:events'
import { truncateSync } from 'node:fs'
import { copyFile } from 'node:fs/promises'
import { open, type Database } from '../../lib/index.ts'

const [path = ''] = process.argv.slice(2)
const codes: string[] = []

function readCutShort(db: Database, file: string): void {
  truncateSync(file, 8192)
  try {
    for (const _ of db.bucket('b').range());
    codes.push('none')
  } catch (error) {
    codes.push((error as { code: string }).code)
  }
}

const files = [1, 2, 3].map((number) => `${path}.${number}`)
for (const file of files) await copyFile(path, file)
const [first, second, third] = await Promise.all(files.map((file) => open(file)))

let signals = 0
const listener = (): void => {
  signals++
}
process.on('SIGBUS', listener)
readCutShort(first!, files[0]!)

const arrival = once(process, 'SIGBUS')
// Waiting for a signal alone does not keep a process.
const alive = setInterval(() => {}, 1000)
process.kill(process.pid, 'SIGBUS')
await arrival
clearInterval(alive)

process.off('SIGBUS', listener)
readCutShort(second!, files[1]!)

process.once('SIGBUS', listener)
process.removeAllListeners('SIGBUS')
readCutShort(third!, files[2]!)

process.stdout.write(`${JSON.stringify({ codes, signals })}\n`)
process.exit()
