// A process that backs up a real ClickHouse is killed at every step. What it has left frozen is
// released by the next cleanFreezes(), and the next backup is whole.
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { clickhouseSource } from '../../lib/adapters/clickhouse/index.ts'
import { cleanFreezes, createBackup } from '../../lib/index.ts'
import { verifyBackup } from '../../lib/backup/verify.ts'
import { Child } from '../support/child.ts'
import { describeIf } from '../support/tools.ts'
import { memoryDirectory } from '../support/with-database.ts'
import { TestServer } from '../support/clickhouse-server.ts'
import { makeTables } from './tables.ts'

const points = [
  ['before FREEZE', false],
  ['after FREEZE', false],
  ['before put', false],
  ['after put', false],
  ['before manifest', false],
  ['after manifest', true],
  ['before UNFREEZE', true],
  ['after UNFREEZE', true],
] as const
const tableCount = 10

/** All files below a directory, which need not exist. */
function filesOf(path: string): string[] {
  if (!existsSync(path)) return []
  const entries = readdirSync(path, { recursive: true, withFileTypes: true })
  return entries.flatMap((entry) => (entry.isFile() ? [entry.name] : []))
}

describeIf('chdb', 'a backup that is killed', () => {
  let directory = ''
  let data = ''

  beforeAll(async () => {
    directory = mkdtempSync(join(memoryDirectory, 'hotbolt-clickhouse-'))
    data = join(directory, 'data')
    using server = new TestServer(data)
    await server.run('CREATE DATABASE d')
    await makeTables(server, ['d'], tableCount)
  })

  afterAll(() => rmSync(directory, { recursive: true, force: true }))

  test.each(points)('%s', async (point, isComplete) => {
    const target = join(directory, point.replace(' ', '-'))
    await using child = new Child('clickhouse-backup', [data, target, point])
    expect(await child.line(), child.errors).toBe(`at ${point}`)
    child.kill()
    await child.exit()

    using server = new TestServer(data)
    const before = server.shadow()
    expect(before.length > 0 || point === 'before FREEZE').toBe(true)
    const source = await clickhouseSource({ client: server.sessions })
    const dry = await cleanFreezes(source, { target, dryRun: true })
    expect(server.shadow()).toEqual(before)
    const report = await cleanFreezes(source, { target })
    expect(report.released.map(({ id }) => id)).toEqual(dry.released.map(({ id }) => id))
    expect(report.released.length).toBeGreaterThan(0)
    expect(report).toMatchObject({ leftover: [], running: [] })
    expect(report.abandoned).toEqual(isComplete ? [] : ['killed'])
    expect(server.shadow()).toEqual([])
    expect(filesOf(join(target, 'killed')).length > 0).toBe(isComplete)
    const verify = { target, name: 'killed' }
    if (isComplete) expect(await verifyBackup(verify)).toMatchObject({ ok: true })

    const next = await createBackup(source, { target, name: 'next' })
    expect(next).toMatchObject({ warnings: [], leftover: [] })
    expect(next.tables.length).toBe(tableCount)
    expect(server.shadow()).toEqual([])
    expect(await verifyBackup({ target, name: 'next' })).toMatchObject({ ok: true })
  })
})
