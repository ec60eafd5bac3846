// Worker threads that are terminated in the middle of things: nothing acknowledged is lost, and
// nothing of theirs stays behind in the process that goes on.

import { once } from 'node:events'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { open } from '../../lib/index.ts'
import { startThread } from '../support/child.ts'
import { inDirectory, openFilesIn, verifyFile } from '../support/with-database.ts'

test('a thread that is terminated while it defragments lets go of its file', () =>
  inDirectory(async (directory) => {
    const path = join(directory, 'data.db')
    for (let round = 0; round < 3; round++) {
      const thread = startThread('threads', { path, task: 'defrag' })
      expect(await once(thread, 'message')).toEqual(['held'])
      await thread.terminate()
      expect(openFilesIn(directory)).toEqual([])
      const db = await open(path)
      expect(db.bucket('b').count()).toBe(2000)
      await db.close()
    }
    await verifyFile(path)
  }))

test('a thread that is terminated while it waits for a lock ends at once', () =>
  inDirectory(async (directory) => {
    const path = join(directory, 'data.db')
    await using db = await open(path)
    const thread = startThread('threads', { path, task: 'lock' })
    expect(await once(thread, 'message')).toEqual(['waiting'])
    await thread.terminate()
    await db.bucket('b').put('k', 'v')
  }))
