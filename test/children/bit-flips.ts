// Flips bits of a database and uses it: bit-flips <good file> <scratch folder> <list>
//
// The list is a file with a line of "<offset> <bit>" for each flip. Writes that line before each,
// so that whoever waits knows where it died, and one line of JSON behind it: what came of it.

import { readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { open } from '../../lib/index.ts'

const [goodFile = '', folder = '', list = ''] = process.argv.slice(2)
const good = readFileSync(goodFile)
const path = join(folder, 'data.db')
const say = (line: string): unknown => process.stdout.write(`${line}\n`)

/** Codes of what was refused, by the step that met it. */
type Met = Record<string, string>

async function attempt<T>(met: Met, step: string, run: () => Promise<T>): Promise<T | undefined> {
  try {
    return await run()
  } catch (error) {
    met[step] = (error as { code?: string }).code ?? String(error)
    return undefined
  }
}

/** What a reader sees: the hash, the keys of two buckets, backwards too. */
async function use(met: Met): Promise<{ hash: string | undefined; ok: boolean | undefined }> {
  const db = await attempt(met, 'open', () => open(path))
  if (db === undefined) return { hash: undefined, ok: undefined }
  const report = await attempt(met, 'check', () => db.check())
  const hash = await attempt(met, 'hash', () => db.hash())
  await attempt(met, 'scan', async () => {
    for (const name of db.buckets()) {
      for (const [key] of db.bucket(name).range({ reverse: true, limit: 500 }))
        db.bucket(name).get(key)
    }
  })
  await attempt(met, 'get', async () => void db.bucket('tree').get('key-0150'))
  await attempt(met, 'put', () => db.bucket('tree').put('key-0150x', 'new'))
  await attempt(met, 'close', () => db.close())
  return { hash, ok: report?.ok }
}

for (const line of readFileSync(list, 'utf8').trim().split('\n')) {
  const [offset = 0, bit = 0] = line.split(' ').map(Number)
  say(line)
  const bytes = Buffer.from(good)
  bytes[offset]! ^= 1 << bit
  writeFileSync(path, bytes)
  const met: Met = {}
  const seen = await use(met)
  for (const name of readdirSync(folder)) rmSync(join(folder, name))
  say(JSON.stringify({ met, ...seen, rss: process.memoryUsage.rss() }))
}
