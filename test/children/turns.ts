// Takes turns at a file that others want too: turns <path> <name> <count> <seed>
//
// Writes a line of JSON for each turn: the keys that were acknowledged.

import { takeTurn } from '../support/turns.ts'
import { randomFrom } from '../support/random.ts'

const [path = '', name = '', count = '', seed = ''] = process.argv.slice(2)
const random = randomFrom(Number(seed))
for (let turn = 0; turn < Number(count); turn++) {
  const keys = await takeTurn(path, `${name}-${turn}`, random)
  process.stdout.write(`${JSON.stringify(keys)}\n`)
}
