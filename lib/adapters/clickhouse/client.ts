// One face for whatever can send a query to ClickHouse: a client of @clickhouse/client, a Session
// of chdb, a function, or several of them. They are told apart by their methods; none is imported.
//
// A query is never given a signal: a client that stops waiting does not stop the server, and what
// goes on there has to be known (see source.ts).

import { HotboltError } from '../../index.ts'

/** A client of `@clickhouse/client`. */
export interface HttpClient {
  query(parameters: { query: string; format: 'JSONEachRow' }): Promise<{ json(): unknown }>
  command(parameters: { query: string }): Promise<unknown>
}

/** A `Session` of chdb, or chdb itself. */
export interface ChdbClient {
  queryAsync(sql: string, options?: { format?: string }): Promise<{ text(): string }>
}

/** Resolves to the rows as objects, or to their text in the format JSONEachRow. */
export type QueryFunction = (
  sql: string,
  options: { readonly format: 'JSONEachRow' },
) => Promise<unknown>

export type ClickHouseClient = HttpClient | ChdbClient | QueryFunction

export type Row = Readonly<Record<string, unknown>>

export interface Connection {
  rows(sql: string): Promise<readonly Row[]>
  command(sql: string): Promise<void>
}

/** Several clients share the queries, each with one at a time: a Session of chdb is serial. */
export function connect(client: ClickHouseClient | readonly ClickHouseClient[]): Connection {
  if (!Array.isArray(client)) return connectOne(client as ClickHouseClient)
  const connections = (client as readonly ClickHouseClient[]).map(connectOne)
  if (connections.length === 0) throw wrongClient('an empty array')
  return shared(connections)
}

function connectOne(client: ClickHouseClient): Connection {
  if (typeof client === 'function') {
    return {
      rows: async (sql) => rowsOf(await client(sql, { format: 'JSONEachRow' })),
      command: async (sql) => void (await client(sql, { format: 'JSONEachRow' })),
    }
  }
  if (has(client, 'queryAsync')) {
    const chdb = client as ChdbClient
    return {
      rows: async (sql) => rowsOf((await chdb.queryAsync(sql, { format: 'JSONEachRow' })).text()),
      command: async (sql) => void (await chdb.queryAsync(sql)),
    }
  }
  if (has(client, 'query') && has(client, 'command')) {
    const http = client as HttpClient
    return {
      rows: async (sql) =>
        rowsOf(await (await http.query({ query: sql, format: 'JSONEachRow' })).json()),
      command: async (sql) => void (await http.command({ query: sql })),
    }
  }
  throw wrongClient('something else')
}

function has(client: unknown, method: string): boolean {
  return (
    typeof client === 'object' &&
    client !== null &&
    typeof (client as Record<string, unknown>)[method] === 'function'
  )
}

function wrongClient(given: string): HotboltError {
  const expected = 'a client of @clickhouse/client, a Session of chdb, a function, or an array'
  return new HotboltError(
    'ERR_INVALID_ARGUMENT',
    `Expected \`client\` to be ${expected} of these,\
 got ${given}`,
  )
}

function rowsOf(answer: unknown): readonly Row[] {
  const rows = typeof answer === 'string' ? parseLines(answer) : (answer ?? [])
  if (Array.isArray(rows) && rows.every((row) => typeof row === 'object' && row !== null)) {
    return rows as Row[]
  }
  throw new HotboltError('ERR_SOURCE', 'The client did not answer with rows')
}

function parseLines(text: string): unknown[] {
  const lines = text.split('\n').filter((line) => line !== '')
  return lines.map((line) => JSON.parse(line) as unknown)
}

function shared(connections: readonly Connection[]): Connection {
  const idle = [...connections]
  const waiting: ((connection: Connection) => void)[] = []
  const using = async <T>(run: (connection: Connection) => Promise<T>): Promise<T> => {
    const connection =
      idle.pop() ?? (await new Promise<Connection>((resolve) => waiting.push(resolve)))
    try {
      return await run(connection)
    } finally {
      const next = waiting.shift()
      if (next === undefined) idle.push(connection)
      else next(connection)
    }
  }
  return {
    rows: (sql) => using((connection) => connection.rows(sql)),
    command: (sql) => using((connection) => connection.command(sql)),
  }
}
