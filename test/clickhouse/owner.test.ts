// ClickHouse runs as one user, and root, or that user, backs up and restores. Root gives the server
// what it makes, and follows no name that the server's user has prepared.
import { execFileSync } from 'node:child_process'
import { chmodSync, chownSync, lstatSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { expect } from 'vitest'
import { clickhouseDestination, clickhouseSource } from '../../lib/adapters/clickhouse/index.ts'
import { createBackup, restoreBackup, type RestoreDestination } from '../../lib/index.ts'
import { Child, runChild } from '../support/child.ts'
import { testIf } from '../support/tools.ts'
import { codeOf, inDirectory } from '../support/with-database.ts'

const uid = 2001

/** Done by the server's user, who is hostile, with another group; what it may not do fails. */
const asServer = (script: string, ...args: string[]): void => {
  try {
    execFileSync('sh', ['-c', script, 'sh', ...args], { uid, gid: 3000, stdio: 'ignore' })
  } catch {
    // It was not allowed.
  }
}

class ForeignServer implements AsyncDisposable {
  readonly directory: string
  readonly data: string
  readonly #child: Child
  #queue: Promise<unknown> = Promise.resolve()

  constructor(directory: string) {
    this.directory = directory
    chmodSync(directory, 0o755)
    this.data = join(directory, 'data')
    mkdirSync(this.data)
    chownSync(this.data, uid, uid)
    this.#child = new Child('clickhouse-server', [this.data, `${uid}`])
  }

  /** One at a time. */
  readonly query = (sql: string): Promise<string> => {
    const answer = this.#queue.then(() => this.#ask(sql))
    this.#queue = answer.catch(() => {})
    return answer
  }

  async #ask(sql: string): Promise<string> {
    this.#child.send(JSON.stringify(sql))
    const line = await this.#child.line()
    if (line === undefined) throw new Error(this.#child.errors)
    const { text, error } = JSON.parse(line) as { text?: string; error?: string }
    if (text === undefined) throw new Error(error)
    return text
  }

  /** Paths in its directory that are not the server's. */
  get foreign(): string[] {
    return readdirSync(this.data, { recursive: true, encoding: 'utf8' }).filter((name) => {
      const stats = lstatSync(join(this.data, name))
      return stats.uid !== uid || stats.gid !== uid
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.release()
    await this.#child.exit()
  }
}

const backupOf = (server: ForeignServer) => ({
  target: join(server.directory, 'backups'),
  name: 'one',
})

/** Run with a server that has a table, and a backup of it. */
const withServer = (run: (server: ForeignServer) => Promise<void>): Promise<void> =>
  inDirectory(async (directory) => {
    await using server = new ForeignServer(directory)
    await server.query('CREATE DATABASE d')
    await server.query('CREATE TABLE d.t (a UInt64) ENGINE = MergeTree ORDER BY a')
    await server.query('INSERT INTO d.t SELECT number FROM numbers(1000)')
    await createBackup(await clickhouseSource({ client: server.query }), backupOf(server))
    await run(server)
  })

const mapTable = (): string => 'd.restored'
const sumOf = (server: ForeignServer, table: string): Promise<string> =>
  server.query(`SELECT count(), sum(a) FROM ${table}`)

/**
 * The same destination; `meddle` runs with the new table's directory, when that was asked for or
 * its parts were written. What it gives runs before the table is dropped.
 */
const meddling = (
  server: ForeignServer,
  at: 'written' | 'asked',
  meddle: (table: string) => (() => void) | void,
): RestoreDestination => {
  const tableOf = (rows: string): string =>
    (JSON.parse(rows) as { data_paths: string[] }).data_paths[0]!.replace(/\/$/, '')
  let table = ''
  let undo: (() => void) | void
  const client = async (sql: string): Promise<string> => {
    if (sql.startsWith('DROP')) undo?.()
    const answer = await server.query(sql)
    if (sql.includes('SELECT data_paths')) {
      table = tableOf(answer)
      if (at === 'asked') undo = meddle(table)
    }
    return answer
  }
  const real = clickhouseDestination({ client, mapTable })
  return {
    kind: real.kind,
    begin: async (manifest, options) => {
      const session = await real.begin(manifest, options)
      return {
        directoryFor: (each) => session.directoryFor(each),
        complete: async (each, path, signal) => {
          if (at === 'written') undo = meddle(table)
          await session.complete(each, path, signal)
        },
        commit: () => session.commit(),
        abort: () => session.abort(),
      }
    },
  }
}

const secret = (server: ForeignServer): string => {
  const path = join(server.directory, 'secret')
  mkdirSync(path)
  writeFileSync(join(path, 'file'), 'of root', { mode: 0o600 })
  return path
}

const expectUntouched = (path: string): void => {
  expect(readdirSync(path)).toEqual(['file'])
  for (const each of [path, join(path, 'file')]) expect(lstatSync(each).uid).toBe(0)
}

testIf(['chdb', 'root'], 'root restores into the server of another user, whose all is then', () =>
  withServer(async (server) => {
    const destination = clickhouseDestination({ client: server.query, mapTable })
    await restoreBackup({ into: destination, ...backupOf(server) })
    expect(await sumOf(server, 'd.restored')).toBe(await sumOf(server, 'd.t'))
    expect(server.foreign).toEqual([])
    await server.query('DROP TABLE d.restored SYNC')
    expect(await server.query('EXISTS d.restored')).toContain('0')
  }),
)

testIf(['chdb', 'root'], 'links that the server plants while root restores are not followed', () =>
  withServer(async (server) => {
    const path = secret(server)
    const destination = meddling(server, 'written', (table) => {
      asServer('ln -s "$2/file" "$1/detached/link"', table, path)
      asServer('for d in "$1"/* "$1"/detached/*; do ln -s "$2/file" "$d/link"; done', table, path)
    })
    await restoreBackup({ into: destination, ...backupOf(server) })
    expectUntouched(path)
    expect(await sumOf(server, 'd.restored')).toBe(await sumOf(server, 'd.t'))
  }),
)

testIf(['chdb', 'root'], 'a directory that the server exchanges is not written to', () =>
  withServer(async (server) => {
    const path = secret(server)
    const destination = meddling(server, 'written', (table) => {
      asServer('for d in "$1"/hotbolt_*; do mv "$d" "$d.away"; ln -s "$2" "$d"; done', table, path)
    })
    await restoreBackup({ into: destination, ...backupOf(server) })
    expectUntouched(path)
    expect(await sumOf(server, 'd.restored')).toBe(await sumOf(server, 'd.t'))
  }),
)

const exchange = 'mv "$1/detached" "$1/away" && ln -s "$2" "$1/detached"'
for (const [what, at, script] of [
  ['directory of parts, when it is asked for', 'asked', exchange],
  ['directory of parts, when all are written', 'written', exchange],
  ['directory of a part', 'asked', 'ln -s "$2" "$1/detached/all_1_1_0"'],
] as const) {
  testIf(['chdb', 'root'], `a link in the place of the ${what} is refused`, () =>
    withServer(async (server) => {
      const path = secret(server)
      const destination = meddling(server, at, (table) => asServer(script, table, path))
      const code = await codeOf(() => restoreBackup({ into: destination, ...backupOf(server) }))
      expect(code).toBe('ERR_NOT_A_FILE')
      expectUntouched(path)
      expect(await server.query('SHOW TABLES FROM d')).not.toContain('hotbolt')
    }),
  )
}

testIf(['chdb', 'root'], "a directory of root's in the place of a table's is refused", () =>
  withServer(async (server) => {
    const outside = join(server.directory, 'outside')
    const destination = meddling(server, 'asked', (table) => {
      mkdirSync(join(outside, basename(table)), { recursive: true })
      asServer('mv "$1" "$2/away" && ln -s "$3" "$1"', dirname(table), server.data, outside)
      return () => asServer('rm "$1" && mv "$2/away" "$1"', dirname(table), server.data)
    })
    const code = await codeOf(() => restoreBackup({ into: destination, ...backupOf(server) }))
    expect(code).toBe('ERR_PERMISSION')
    const [name = ''] = readdirSync(outside)
    expect(readdirSync(join(outside, name))).toEqual([])
  }),
)

testIf(['chdb', 'root'], 'a user without privileges backs up and restores its own server', () =>
  inDirectory(async (directory) => {
    chownSync(directory, uid, uid)
    const lines = await runChild('clickhouse-own', [directory, `${uid}`])
    const [before, after] = lines.filter((line) => line !== '')
    expect(before).toContain('1000')
    expect(after).toBe(before)
  }),
)
