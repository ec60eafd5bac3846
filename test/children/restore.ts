// Restores a backup and stands still in the middle of it, to be killed there.
//
//   restore.js <target directory> <backup> <directory> <n>
//
// Prints 'holding' when the n-th object is half read.

import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { directoryTarget } from '../../lib/backup/directory-target.ts'
import { restoreBackup } from '../../lib/backup/restore.ts'
import { filesDestination } from '../../lib/backup/restore-files.ts'
import type { Target } from '../../lib/backup/target.ts'

const [root = '', name = '', directory = '', nth = '0'] = process.argv.slice(2)

const inner = directoryTarget(root)
let objects = 0

async function* halfOf(bytes: Buffer): AsyncIterable<Buffer> {
  yield bytes.subarray(0, bytes.length / 2)
  console.log('holding')
  await new Promise(() => setInterval(() => {}, 1000))
}

const target: Target = {
  location: inner.location,
  put: (key, body) => inner.put(key, body),
  list: (prefix) => inner.list(prefix),
  delete: (key) => inner.delete(key),
  get: async (key) => {
    if (key.endsWith('/manifest.json') || objects++ < Number(nth)) return inner.get(key)
    return Readable.from(halfOf(await buffer(await inner.get(key))), { objectMode: false })
  },
}

await restoreBackup(filesDestination(directory), { target, name, tableConcurrency: 1 })
