// Streams a compact backup of a database that its user may not write: <path> <uid>
//
// Writes how many bytes came, or the code of the error.

import { buffer } from 'node:stream/consumers'
import { open } from '../../lib/index.ts'

const [path = '', uid = ''] = process.argv.slice(2)
process.setgroups?.([])
process.setgid?.(Number(uid))
process.setuid?.(Number(uid))

const db = await open(path, { readOnly: true })
try {
  const { length } = await buffer(db.backupStream({ compact: true }))
  process.stdout.write(`${length}\n`)
} catch (error) {
  process.stdout.write(`${(error as { code?: string }).code}\n`)
} finally {
  await db.close()
}
