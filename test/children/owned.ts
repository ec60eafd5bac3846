// Opens a database as another user: owned <path> <who as JSON: uid, gid, groups> <verb>...
//
// After each verb it writes a line of JSON: what was read, or whose the files are then: [mode, uid,
// gid] by the tail of the file's name. Closes and ends when its standard input ends.

import { readdirSync, statSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { open } from '../../lib/index.ts'

interface Who {
  readonly uid: number
  readonly gid: number
  readonly groups: number[]
}

const [path = '', who = '', ...calls] = process.argv.slice(2)
const { uid, gid, groups } = JSON.parse(who) as Who
process.setgroups?.(groups)
process.setgid?.(gid)
process.setuid?.(uid)

function owners(): Record<string, readonly number[]> {
  const found: Record<string, readonly number[]> = {}
  for (const name of readdirSync(dirname(path))) {
    const stats = statSync(join(dirname(path), name))
    const kind = name.slice(basename(path).length).replaceAll(/[0-9a-f]{8,}$/g, '')
    found[kind] = [stats.mode & 0o7777, stats.uid, stats.gid]
  }
  return found
}

const db = await open(path)
const verbs: Record<string, () => Promise<unknown>> = {
  read: async () => db.bucket('b').get('key'),
  put: () => db.bucket('b').put('key', `of ${uid}`),
  defrag: () => db.defrag(),
  backup: () => db.backup(`${path}.copy`),
}
for (const call of calls) {
  const result = await verbs[call]?.()
  const text = result instanceof Uint8Array ? String(result) : undefined
  process.stdout.write(`${JSON.stringify(text ?? owners())}\n`)
}
for await (const _ of process.stdin) void _
await db.close()
