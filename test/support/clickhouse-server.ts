// A real ClickHouse inside this process: chdb, which test/clickhouse/package.json installs.
//
// A process has one data path at a time; each Session answers one query at a time.

import { readdirSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { repositoryRoot } from '../oracle/root.ts'

export interface Session {
  queryAsync(sql: string, options?: { format?: string }): Promise<{ text(): string }>
  close(): void
}

/** @clickhouse/client, as far as the tests call it. */
export interface HttpClient {
  query(parameters: { query: string; format: 'JSONEachRow' }): Promise<{ json(): unknown }>
  command(parameters: { query: string }): Promise<unknown>
  close(): Promise<void>
}

interface Packages {
  chdb: { Session: new (path: string) => Session }
  'chdb/connection': { createChdbConnection(options: { path: string }): unknown }
  '@clickhouse/client': { createClient(options: { connection: unknown }): HttpClient }
}

/** They are not typed here: the compiler has to run where they are not installed. */
function load<Name extends keyof Packages>(name: Name): Packages[Name] {
  const load = createRequire(join(repositoryRoot, 'test/clickhouse/'))
  return load(name) as Packages[Name]
}

export class TestServer implements Disposable {
  readonly dataPath: string
  /** Clients for a source or destination. */
  readonly sessions: readonly Session[]
  /** For what the test asks by itself. */
  readonly #own: Session

  /** The threads that wait for queries are those of the file system too: leave one. */
  constructor(dataPath: string, sessions = 3) {
    const { Session } = load('chdb')
    this.dataPath = dataPath
    this.#own = new Session(dataPath)
    this.sessions = Array.from({ length: sessions }, () => new Session(dataPath))
  }

  /** @clickhouse/client over the same engine; the caller closes it. */
  httpClient(): HttpClient {
    const connection = load('chdb/connection').createChdbConnection({ path: this.dataPath })
    return load('@clickhouse/client').createClient({ connection })
  }

  async run(...queries: readonly string[]): Promise<void> {
    for (const sql of queries) await this.#own.queryAsync(sql)
  }

  /** Each list in its order, the lists at once. */
  async runAll(lists: readonly (readonly string[])[]): Promise<void> {
    const queue = lists.values()
    const work = this.sessions.map(async (session) => {
      for (const list of queue) for (const sql of list) await session.queryAsync(sql)
    })
    await Promise.all(work)
  }

  /** The answer as lines of JSON. */
  async text(sql: string): Promise<string> {
    return (await this.#own.queryAsync(sql, { format: 'JSONEachRow' })).text()
  }

  async rows(sql: string): Promise<Record<string, unknown>[]> {
    const lines = (await this.text(sql)).split('\n').filter((line) => line !== '')
    return lines.map((line) => JSON.parse(line) as Record<string, unknown>)
  }

  /** What is in shadow, empty directories too, except the server's counter. */
  shadow(): string[] {
    const names = readdirSync(join(this.dataPath, 'shadow'), { encoding: 'utf8', recursive: true })
    return names.filter((name) => name !== 'increment.txt')
  }

  [Symbol.dispose](): void {
    for (const session of [this.#own, ...this.sessions]) session.close()
  }
}
