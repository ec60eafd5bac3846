// Opens a database and holds it: hold <path> <options as JSON> [uid]
//
// Writes 'open' or the code of the error; closes and ends when its standard input ends.

import { open, type OpenOptions } from '../../lib/index.ts'

const [path = '', options = '{}', uid] = process.argv.slice(2)
if (uid !== undefined) {
  process.setgroups?.([])
  process.setgid?.(Number(uid))
  process.setuid?.(Number(uid))
}

try {
  const db = await open(path, JSON.parse(options) as OpenOptions)
  process.stdout.write('open\n')
  for await (const _ of process.stdin) void _
  await db.close()
} catch (error) {
  const { code, message } = error as { code?: string; message: string }
  process.stdout.write(`${code} ${message}\n`)
}
