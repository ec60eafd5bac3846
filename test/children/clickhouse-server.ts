// A ClickHouse of another user: clickhouse-server <data path> <uid>
//
// Each line of its standard input is a query, as JSON; it answers with { text } or { error }.

import { createInterface } from 'node:readline'
import { TestServer } from '../support/clickhouse-server.ts'

const [dataPath = '', uid = ''] = process.argv.slice(2)
process.setgroups?.([])
process.setgid?.(Number(uid))
process.setuid?.(Number(uid))

const server = new TestServer(dataPath, 1)
const answer = async (sql: string): Promise<object> => {
  try {
    return { text: await server.text(sql) }
  } catch (error) {
    return { error: (error as Error).message }
  }
}
for await (const line of createInterface({ input: process.stdin })) {
  process.stdout.write(`${JSON.stringify(await answer(JSON.parse(line) as string))}\n`)
}
process.exit(0)
