// Random commands against a model: whatever is done in whatever order, the database shows what
// plain maps would. The commands are in commands.ts; how a failure is seen again, in ../README.md.

import fc from 'fast-check'
import { describe, test } from 'vitest'
import type { OpenOptions } from '../../lib/index.ts'
import { Model } from '../support/model.ts'
import { holds } from '../support/property.ts'
import { withDatabase } from '../support/with-database.ts'
import { commands, type Expected } from './commands.ts'

const runs = 180
const commandsMax = 80

async function compareWithModel(options: OpenOptions): Promise<void> {
  const lists = fc.commands(commands, { maxCommands: commandsMax, size: 'max' })
  const property = fc.asyncProperty(lists, (list) =>
    withDatabase(async (real) => {
      const expected: Expected = { model: new Model(), snapshots: [], iterators: [] }
      await fc.asyncModelRun(() => ({ model: expected, real }), list)
      for (const { iterator } of expected.iterators) iterator.return?.()
      for (const { snapshot } of expected.snapshots) snapshot.close()
    }, options)(),
  )
  await holds(property, runs)
}

describe('a database does what the model does', () => {
  test('with pages of 1 KiB and checkpoints all the time', () =>
    compareWithModel({ pageSize: 1024, checkpointBytes: 4 << 10 }))

  test('with pages of 4 KiB and little memory for defragmentations', () =>
    compareWithModel({ pageSize: 4096, checkpointBytes: 32 << 10, maxRetainedBytes: 8 << 10 }))

  test('with pages of 64 KiB and a commit for each flush', () =>
    compareWithModel({ pageSize: 65_536, checkpoint: 'flush', sync: 'never' }))
})
