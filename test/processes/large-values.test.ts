// A large value costs one copy of its bytes in memory, is written once to the journal and once to
// the page file, and what changes beside it is written alone.

import { join } from 'node:path'
import { expect, test } from 'vitest'
import { runChild } from '../support/child.ts'
import { describeIf } from '../support/tools.ts'
import { inDirectory, verifyFile } from '../support/with-database.ts'

const size = 160 << 20

interface Measured {
  readonly grownBytes: number
  readonly itself: number
  readonly neighbours: readonly number[]
}

describeIf('linux', `a value of ${size} bytes`, () => {
  test.each(['put', 'put of shared memory', 'update'])(
    'by %s',
    (way) =>
      inDirectory(async (directory) => {
        const path = join(directory, 'a.db')
        const [line = ''] = await runChild('large-value', [path, way, String(size)])
        const { grownBytes, itself, neighbours } = JSON.parse(line) as Measured
        expect(grownBytes).toBeLessThan(1.4 * size)
        expect(itself).toBeLessThan(2.2 * size)
        for (const bytes of neighbours) expect(bytes).toBeLessThan(2 << 20)
        await verifyFile(path)
      }),
    120_000,
  )
})
