// Writes until the limit of a file's size is met:
//
//   limited <path> journal      in the journal
//   limited <path> checkpoint   in an explicit checkpoint
//   limited <path> backlog      in background checkpoints, again and again
//
// Started under `ulimit -f`. Writes one line of JSON: what happened, and what was acknowledged.

import { open } from '../../lib/index.ts'

const [path = '', phase = ''] = process.argv.slice(2)
// Node resets what it inherits; without a handler the system ends a process at the limit.
process.on('SIGXFSZ', () => {})

const codeOf = (error: unknown): string => (error as { code?: string }).code ?? String(error)

const db = await open(
  path,
  phase === 'backlog'
    ? { checkpointBytes: 64 << 10, maxRetainedBytes: 512 << 10 }
    : { checkpointBytes: 1 << 30, checkpointIdleMs: 0, checkpointIntervalMs: 0 },
)
const bucket = db.bucket('b')
let acknowledged = 0
const codes: string[] = []
const attempt = async (run: () => Promise<unknown>): Promise<boolean> => {
  try {
    await run()
    return true
  } catch (error) {
    codes.push(codeOf(error))
    return false
  }
}

const small = Buffer.alloc(4000, 'x')
const large = Buffer.alloc(1 << 20, 'x')
for (let going = true; going; acknowledged += going ? 1 : 0) {
  const value = phase === 'journal' && acknowledged === 20 ? large : small
  going = await attempt(() => bucket.put(`k${acknowledged}`, value))
  if (phase !== 'checkpoint' || acknowledged % 10 !== 0 || !going) continue
  if (!(await attempt(() => db.checkpoint()))) break
}
const readable = bucket.count()
await attempt(() => db.close())
process.stdout.write(`${JSON.stringify({ acknowledged, readable, codes })}\n`)
