// What a backup is of: a store (a file), a catalog (a directory) or ClickHouse.

import { stat } from 'node:fs/promises'
import { databaseSource, open, openCatalog, type FreezeSource } from '../../index.ts'
import type { ClickHouseSourceOptions } from 'hotbolt/clickhouse'
import { textOption, UsageError, type OptionSpecs, type OptionValues } from '../command.ts'
import { loadOptional } from '../optional-package.ts'

export const sourceOptions: OptionSpecs = {
  clickhouse: { type: 'string' },
  chdb: { type: 'string' },
  'data-path': { type: 'string' },
}

export const sourceOptionHelp: readonly (readonly [string, string])[] = [
  ['--clickhouse <url>', 'of a ClickHouse server on this machine, instead of a path'],
  ['--chdb <directory>', 'the data of an embedded ClickHouse, instead of a path'],
  ['--data-path <directory>', "where the server's data is, if not where it says itself"],
]

/** Each does one query at a time, in a thread of those that the file system has too: 4. */
const chdbSessions = 3

type Client = ClickHouseSourceOptions['client']

/** Runs with the store or catalog at `path`, or the ClickHouse that the options name. */
export async function withSource<T>(
  path: string | undefined,
  values: OptionValues,
  run: (source: FreezeSource) => Promise<T>,
): Promise<T> {
  requireOne(path, values)
  if (path === undefined) {
    return withClickHouse(values, async (options) => {
      const { clickhouseSource } = await import('hotbolt/clickhouse')
      return run(await clickhouseSource(options))
    })
  }
  const style = { compact: values['compact'] === true }
  if (await isDirectory(path)) {
    await using catalog = await openCatalog(path, { create: false })
    return await run(catalog.freezeSource(style))
  }
  await using database = await open(path, { create: false })
  return await run(databaseSource(database, style))
}

export interface ClickHouseOptions {
  readonly client: Client
  readonly dataPath: string | undefined
}

/** Whether the options name a ClickHouse. */
export function isClickHouse(values: OptionValues): boolean {
  return values['clickhouse'] !== undefined || values['chdb'] !== undefined
}

export async function withClickHouse<T>(
  values: OptionValues,
  run: (options: ClickHouseOptions) => Promise<T>,
): Promise<T> {
  const url = textOption(values, 'clickhouse')
  const dataPath = textOption(values, 'data-path')
  if (url === undefined) return withChdb(textOption(values, 'chdb') ?? '', dataPath, run)
  const { createClient } = await loadOptional<ClickHousePackage>(
    '@clickhouse/client',
    'use --clickhouse',
  )
  const { CLICKHOUSE_USER: username, CLICKHOUSE_PASSWORD: password } = process.env
  const login = { ...(username && { username }), ...(password && { password }) }
  // Freezing a table of many parts takes long, and its outcome has to be known.
  const client = createClient({ url, ...login, request_timeout: 3_600_000 })
  // Not `finally`: a failure there would hide the one that matters.
  await using _ = { [Symbol.asyncDispose]: () => client.close() }
  return await run({ client, dataPath })
}

async function withChdb<T>(
  path: string,
  dataPath: string | undefined,
  run: (options: ClickHouseOptions) => Promise<T>,
): Promise<T> {
  // chdb would make a new one.
  if (!(await isDirectory(path))) throw new UsageError(`${path} is no directory`)
  const { Session } = await loadOptional<ChdbPackage>('chdb', 'use --chdb')
  const sessions = Array.from({ length: chdbSessions }, () => new Session(path))
  using _ = { [Symbol.dispose]: () => sessions.forEach((session) => session.close()) }
  return await run({ client: sessions, dataPath })
}

async function isDirectory(path: string): Promise<boolean> {
  const stats = await stat(path).catch((error: NodeJS.ErrnoException) => {
    throw error.code === 'ENOENT' ? new Error(`There is nothing at ${path}`) : error
  })
  return stats.isDirectory()
}

function requireOne(path: string | undefined, values: OptionValues): void {
  const given = [path, values['clickhouse'], values['chdb']].filter((each) => each !== undefined)
  if (given.length === 1) return
  throw new UsageError('Expected one of: a file, a directory, --clickhouse, --chdb')
}

interface ClickHousePackage {
  readonly createClient: (options: object) => Client & { close(): Promise<void> }
}

interface ChdbPackage {
  readonly Session: new (path: string) => Exclude<Client, readonly unknown[]> & {
    close(): void
  }
}
