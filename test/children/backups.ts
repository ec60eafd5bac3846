// Makes a backup, or cleans, and stands still at a point: backups <verb> <root> <point> <options>
//
// Verbs: 'create', 'clean', and 'forever', which makes one backup after another. The source is a
// FileSource at <root>/source, the target <root>/backups. Points are numbered from 1 in the order
// in which they are passed; at the given one it writes 'at <what>' and waits to be killed. Writes
// 'done' at its end, and with 'forever' after each backup.

import { join } from 'node:path'
import { cleanFreezes, createBackup, type CreateBackupOptions } from '../../lib/index.ts'
import { directoryTarget } from '../../lib/backup/directory-target.ts'
import { FileSource } from '../support/file-source.ts'
import { WatchedTarget } from '../support/watched-target.ts'

const [verb = '', root = '', point = '', options = '{}'] = process.argv.slice(2)
/** Resolves when the line is with the kernel. */
const say = (line: string): Promise<unknown> =>
  new Promise((resolve) => process.stdout.write(`${line}\n`, resolve))

let passed = 0
async function at(what: string): Promise<void> {
  if (++passed !== Number(point)) return
  await say(`at ${what}`)
  setInterval(() => {}, 1000) // keeps the process alive
  await new Promise(() => {})
}

const source = new FileSource(join(root, 'source'), at)
const inner = directoryTarget(join(root, 'backups'))
const { stagingDirectory: staging = '', stateDirectory: state = '' } = inner
const target = new WatchedTarget(inner, { staging, state })
target.intercept = (call) => at(`${call.verb} before ${call.key}`)
target.afterwards = (call) => at(`${call.verb} after ${call.key}`)

const create = (name: string): Promise<unknown> =>
  createBackup(source, { ...(JSON.parse(options) as CreateBackupOptions), target, name })

if (verb === 'create') await create('b')
if (verb === 'clean') await cleanFreezes(source, { target })
for (let number = 1; verb === 'forever'; number++) {
  await create(`n${number}`)
  await say('done')
}
await say('done')
