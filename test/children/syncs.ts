// Stores, deletes and restores, and says after each step that it is done: what has been synced by
// then is seen from outside.
//
//   syncs.js <directory>

import { mkdirSync, writeFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { deleteBackup } from '../../lib/backup/delete.ts'
import { directoryTarget } from '../../lib/backup/directory-target.ts'
import { restoreBackup } from '../../lib/backup/restore.ts'
import { filesDestination } from '../../lib/backup/restore-files.ts'
import { putBackup } from '../support/backups.ts'

const [directory = ''] = process.argv.slice(2)
const target = directoryTarget(join(directory, 'far/backups'))

async function step(name: string, work: Promise<unknown>): Promise<void> {
  await work
  writeSync(1, `done: ${name}\n`)
}

await step('bytes', target.put('one/tables/t/a', Buffer.from('bytes')))
mkdirSync(join(target.stagingDirectory!, 'run'), { recursive: true })
for (const file of [join(target.stagingDirectory!, 'run/b'), join(directory, '../foreign')]) {
  writeFileSync(file, 'file')
}
const staged = { file: join(target.stagingDirectory!, 'run/b'), sizeBytes: 4 }
await step('a staged file', target.put('one/tables/t/part/b', staged))
const foreign = { file: join(directory, '../foreign'), sizeBytes: 4 }
await step('a foreign file', target.put('one/tables/t/part/c', foreign))
const many = Array.from({ length: 20 }, (_, n) => target.put(`m/${n % 3}/${n}`, Buffer.from('x')))
await step('many at a time', Promise.all(many))
await step('deleting', target.delete('one/tables/t/part/c'))
await step('deleting the last ones', Promise.all([target.delete('m/0/0'), target.delete('m/1/1')]))

const contents = { 'part/1/data': 'content', empty: '' }
await step('a backup', putBackup(target, 'two', [{ name: 't', contents }]))
const restored = { target, name: 'two', overwrite: true }
const destination = filesDestination(join(directory, 'near/out'))
await step('a restore', restoreBackup(destination, restored))
await step('a restore over it', restoreBackup(destination, restored))
const streaming = Object.assign(target, { localFile: undefined })
await step('a restore of streams', restoreBackup(destination, { ...restored, target: streaming }))
await step('deleting the backup', deleteBackup({ target, name: 'two' }))
