// Backs a database up slowly, until it is killed: backup <database> <target>
//
// Writes 'copying' when some of the copy has been written.

import { open } from '../../lib/index.ts'

const [path = '', target = ''] = process.argv.slice(2)
const db = await open(path)
let said = false
await db.backup(target, {
  bytesPerSecond: 256 << 10,
  onProgress: ({ bytesCopied }) => {
    if (bytesCopied < 300 << 10 || said) return
    said = true
    process.stdout.write('copying\n')
  },
})
