// Backs up and restores a ClickHouse of its own as a user without privileges:
// clickhouse-own <directory> <uid>
//
// Writes the content of the table and that of the restored one, as lines.

import { join } from 'node:path'
import { clickhouseDestination, clickhouseSource } from '../../lib/adapters/clickhouse/index.ts'
import { createBackup, restoreBackup } from '../../lib/index.ts'
import { TestServer } from '../support/clickhouse-server.ts'

const [directory = '', uid = ''] = process.argv.slice(2)
process.setgroups?.([])
process.setgid?.(Number(uid))
process.setuid?.(Number(uid))

const server = new TestServer(join(directory, 'data'))
await server.run(
  'CREATE DATABASE d',
  'CREATE TABLE d.t (a UInt64, b String) ENGINE = MergeTree ORDER BY a',
  'INSERT INTO d.t SELECT number, toString(number) FROM numbers(1000)',
)
const backup = { target: join(directory, 'backups'), name: 'one' }
await createBackup(await clickhouseSource({ client: server.sessions }), backup)
const mapTable = (): string => 'd.restored'
const into = clickhouseDestination({ client: server.sessions, mapTable })
await restoreBackup({ into, ...backup })
for (const name of ['t', 'restored']) {
  process.stdout.write(`${await server.text(`SELECT count(), sum(a) FROM d.${name}`)}\n`)
}
process.exit(0)
