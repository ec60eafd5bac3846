// hotbolt backup with an embedded ClickHouse, as installed with chdb beside it: what was in the
// tables is in them again, and nothing stays frozen.

import { execFile } from 'node:child_process'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect } from 'vitest'
import { repositoryRoot } from '../oracle/root.ts'
import { install, runCommand, type Run } from '../support/installed.ts'
import { testIf } from '../support/tools.ts'
import { inDirectory } from '../support/with-database.ts'

/** Queries in a process of their own, for one process at a time can have the data. */
async function query(path: string, ...queries: string[]): Promise<string> {
  const script = `
    const { Session } = require('chdb')
    const session = new Session(process.argv[1])
    for (const sql of process.argv.slice(2)) process.stdout.write(session.query(sql, 'CSV'))
    session.close()`
  const cwd = join(repositoryRoot, 'test/clickhouse')
  const args = ['--eval', script, path, ...queries]
  return (await promisify(execFile)(process.execPath, args, { cwd })).stdout
}

const sums = ['one', 'two'].map((name) => `SELECT count(), sum(number) FROM shop.${name}`)

testIf('chdb', 'tables of an embedded ClickHouse go round', () =>
  inDirectory(async (directory) => {
    const script = await install(directory, { chdb: 'test/clickhouse' })
    const [data, again] = [join(directory, 'data'), join(directory, 'again')]
    const target = ['--target', join(directory, 'backups')]
    const backup = (...args: string[]): Promise<Run> =>
      runCommand(script, ['backup', ...args, ...target])
    const create = (name: string): string =>
      `CREATE TABLE shop.${name} ENGINE = MergeTree ORDER BY number AS SELECT * FROM numbers(1000)`
    await query(data, 'CREATE DATABASE shop', create('one'), create('two'))
    const expected = await query(data, ...sums)
    const none = await backup('create', '--chdb', join(directory, 'none'))
    expect(none).toMatchObject({ code: 1, out: '' })
    const created = await backup('create', '--chdb', data, '--name', 'one', '--json')
    expect(created, created.errors).toMatchObject({ code: 0 })
    expect(JSON.parse(created.out)).toMatchObject({
      tables: [{ name: 'shop.one' }, { name: 'shop.two' }],
      warnings: [],
      leftover: [],
    })
    expect(await readdir(join(data, 'shadow'))).toEqual(['increment.txt'])
    expect((await backup('show', 'one')).out).toMatch(/^of +clickhouse /m)
    expect(await backup('verify', 'one')).toMatchObject({ code: 0 })
    const ignoring = ['--ignore-errors', '60,81', '--ignore-errors', '999']
    const two = await backup('create', '--chdb', data, '--name', 'two', ...ignoring)
    expect(two, two.errors).toMatchObject({ code: 0 })
    await query(again, 'SELECT 1')
    const restored = await backup('restore', 'one', '--chdb', again)
    expect(restored, restored.errors).toMatchObject({ code: 0 })
    expect(await query(again, ...sums)).toBe(expected)
    const twice = await backup('restore', 'one', '--chdb', again)
    expect(twice).toMatchObject({ code: 1, errors: expect.stringContaining('ERR_EXISTS') })
    expect(await backup('clean', '--chdb', data)).toMatchObject({
      code: 0,
      out: expect.stringContaining('nothing to clean'),
    })
  }),
)

testIf('chdb', 'a server that does not answer is an error', () =>
  inDirectory(async (directory) => {
    const script = await install(directory, { '@clickhouse/client': 'test/clickhouse' })
    const args = ['--clickhouse', 'http://127.0.0.1:1', '--target', join(directory, 'backups')]
    const run = await runCommand(script, ['backup', 'create', ...args])
    expect(run, run.errors).toMatchObject({ code: 1, out: '' })
    expect(run.errors).toMatch(/ECONNREFUSED|ERR_SOURCE/)
  }),
)
