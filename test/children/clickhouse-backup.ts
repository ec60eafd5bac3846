// Backs up a ClickHouse and stands still at a point, to be killed there:
// clickhouse-backup <data path> <target> <point>
//
// Writes 'at <point>' when it is reached, 'done' when it never was.

import { clickhouseSource } from '../../lib/adapters/clickhouse/index.ts'
import { createBackup, type Target } from '../../lib/index.ts'
import { directoryTarget } from '../../lib/backup/directory-target.ts'
import { TestServer } from '../support/clickhouse-server.ts'

const [dataPath = '', path = '', point = ''] = process.argv.slice(2)
const server = new TestServer(dataPath)
let seen = 0

/** For ever, when it is the third time that this point is reached. */
async function reach(reached: string): Promise<void> {
  if (reached !== point || ++seen < (point.endsWith('manifest') ? 1 : 3)) return
  process.stdout.write(`at ${point}\n`)
  setInterval(() => {}, 1 << 30)
  await new Promise(() => {})
}

const clients = server.sessions.map((session) => async (sql: string, options: object) => {
  const verb = /^ALTER TABLE .* (FREEZE|UNFREEZE) WITH NAME/.exec(sql)?.[1]
  if (verb !== undefined) await reach(`before ${verb}`)
  const answer = await session.queryAsync(sql, options)
  if (verb !== undefined) await reach(`after ${verb}`)
  return answer.text()
})

const real = directoryTarget(path)
const target: Target = {
  location: real.location,
  stagingDirectory: real.stagingDirectory!,
  stateDirectory: real.stateDirectory!,
  put: async (key, body, signal) => {
    const kind = key.endsWith('manifest.json') ? 'manifest' : 'put'
    await reach(`before ${kind}`)
    await real.put(key, body, signal)
    await reach(`after ${kind}`)
  },
  get: (key, signal) => real.get(key, signal),
  list: (prefix, signal) => real.list(prefix, signal),
  delete: (key, signal) => real.delete(key, signal),
}

// All are frozen when the first is released, so that there is something to leave behind.
const source = await clickhouseSource({ client: clients })
await createBackup(source, { target, name: 'killed', unfreeze: 'deferred' })
process.stdout.write('done\n')
process.exit(0)
