// A catalog of many stores: `npm run bench:catalog -- --stores=10000 --backup=1000`. What each
// operation takes, what an open store costs while it is idle, and how long a backup of many small
// stores takes, in slots and as one cut, whole and incremental.

import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { createBackup, openCatalog, type Catalog } from '../lib/index.ts'
import { positiveInteger } from './arguments.ts'
import { shuffled } from './records.ts'
import { Samples } from './stats.ts'
import { table, type Row } from './table.ts'
import { temporaryDirectory } from './temporary.ts'

const { values } = parseArgs({
  options: {
    stores: { type: 'string', default: '10000' },
    backup: { type: 'string', default: '1000' },
    directory: { type: 'string' },
  },
})
const storeCount = positiveInteger('stores', values.stores)
const backupCount = Math.min(positiveInteger('backup', values.backup), storeCount)
const directory = temporaryDirectory(values.directory)
const path = join(directory, 'catalog')
const names = Array.from({ length: storeCount }, (_, n) => `tenant-${n}`)
const say = (line: string): unknown => process.stdout.write(`${line}\n`)

interface Memory {
  readonly residentKiB: number
  readonly virtualKiB: number
  readonly heapKiB: number
  readonly descriptors: number
}

/** Of Linux. */
function memory(): Memory {
  globalThis.gc?.()
  const status = readFileSync('/proc/self/status', 'utf8')
  const field = (name: string): number =>
    Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(status)?.[1])
  return {
    residentKiB: field('VmRSS'),
    virtualKiB: field('VmSize'),
    heapKiB: process.memoryUsage().heapUsed / 1024,
    descriptors: readdirSync('/proc/self/fd').length,
  }
}

const rows: Row[] = []

async function timed(
  what: string,
  among: Iterable<string>,
  call: (name: string) => Promise<unknown>,
): Promise<void> {
  const samples = new Samples()
  const startMs = performance.now()
  let calls = 0
  for (const name of among) {
    const beginMs = performance.now()
    await call(name)
    samples.add(performance.now() - beginMs)
    calls++
  }
  const perSecond = calls / ((performance.now() - startMs) / 1000)
  const figure = (value: number): string => value.toFixed(3)
  rows.push([what, String(calls), perSecond.toFixed(0), figure(samples.p50), figure(samples.p99)])
}

const inDisorder = (): Iterable<string> =>
  Array.from(shuffled(storeCount, 9), (index) => names[index] ?? '')

async function measureOperations(catalog: Catalog): Promise<void> {
  await timed('create', names, (name) => catalog.create(name))
  await timed('open, write, release', inDisorder(), (name) =>
    catalog.use(name, (db) => db.bucket('b').put('key', Buffer.alloc(100))),
  )
  await timed('open, get, release; evicting', inDisorder(), (name) =>
    catalog.use(name, (db) => db.bucket('b').get('key')),
  )
  const startMs = performance.now()
  await catalog.list()
  rows.push(['list', '1', '', (performance.now() - startMs).toFixed(1), ''])
}

/** All stores open and idle. */
async function measureMemory(): Promise<void> {
  const catalog = await openCatalog(path, { maxOpen: storeCount })
  const before = memory()
  await timed('open for the first time', names, (name) => catalog.use(name, () => {}))
  const after = memory()
  await timed('open again, get, release', inDisorder(), (name) =>
    catalog.use(name, (db) => db.bucket('b').get('key')),
  )
  const { openStores } = catalog.stats()
  const each = (field: keyof Memory): number => (after[field] - before[field]) / openStores
  const startMs = performance.now()
  await catalog.close()
  say(
    `${openStores} open idle stores, each: ` +
      `${each('residentKiB').toFixed(1)} KiB resident, of which ` +
      `${each('heapKiB').toFixed(1)} KiB in the JavaScript heap; ` +
      `${(each('virtualKiB') / 1024).toFixed(1)} MiB of address space; ` +
      `${each('descriptors').toFixed(2)} descriptors`,
  )
  say(`closing ${openStores} stores: ${(performance.now() - startMs).toFixed(0)} ms`)
}

async function measureBackups(catalog: Catalog): Promise<void> {
  const target = join(directory, 'backups')
  const include = names.slice(0, backupCount)
  const options = { target, include, tableConcurrency: 8 }
  const backups = [
    { name: 'slots' },
    { name: 'cut', freezeAllFirst: true },
    { name: 'unchanged', diffFrom: 'cut', freezeAllFirst: true },
  ]
  for (const backup of backups) {
    const { durationMs, bytesCopied, tables } = await createBackup(catalog, {
      ...options,
      ...backup,
    })
    const perSecond = tables.length / (durationMs / 1000)
    say(
      `backup (${backup.name}) of ${tables.length} stores: ${durationMs.toFixed(0)} ms, ` +
        `${perSecond.toFixed(0)} stores/s, ${(bytesCopied / 2 ** 20).toFixed(1)} MiB copied`,
    )
  }
}

{
  await using catalog = await openCatalog(path)
  await measureOperations(catalog)
}
await measureMemory()
{
  await using catalog = await openCatalog(path)
  await measureBackups(catalog)
}
for (const line of table(['', 'calls', 'per second', 'p50 ms', 'p99 ms'], rows)) say(line)
