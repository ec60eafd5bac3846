// clickhouseSource() before a server that a test plays: what is sent, in which order, and what is
// waited for when the server is slow, silent, old, or lies about its paths.
import { statSync } from 'node:fs'
import { mkdir, readdir, readFile, stat, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { clickhouseSource } from '../../lib/adapters/clickhouse/index.ts'
import type { Freeze, FreezeSource } from '../../lib/index.ts'
import { codeOf, inDirectory, memoryDirectory, otherDirectory } from '../support/with-database.ts'

const signal = new AbortController().signal
const uuid = 'abcdef00-1111-2222-3333-444444444444'
const freeze: Freeze = {
  id: 'hotbolt_1',
  table: 'd.t',
  details: { database: 'd', table: 't' },
  createdAt: '2026-01-01T00:00:00.000Z',
}

type Answer = (sql: string) => unknown

/** A server with one table of one part. Answers to queries that match come before its own. */
class PlayedServer {
  readonly sent: string[] = []
  readonly disk: string
  readonly shadow: string
  readonly #answers: readonly (readonly [RegExp, Answer])[]

  constructor(disk: string, answers: readonly (readonly [RegExp, Answer])[]) {
    this.disk = disk
    this.shadow = join(disk, 'shadow', freeze.id, 'store/abc', uuid, 'all_1_1_0')
    this.#answers = answers
  }

  /** Which of the queries that matter were sent. */
  get verbs(): string[] {
    return this.sent.flatMap((sql) => /\bSYSTEM UNFREEZE|\bUNFREEZE|\bFREEZE/.exec(sql)?.[0] ?? [])
  }

  readonly query = async (sql: string): Promise<unknown> => {
    this.sent.push(sql)
    const own = this.#answers.find(([pattern]) => pattern.test(sql))
    if (own !== undefined) return own[1](sql)
    if (/system\.disks/.test(sql)) return [{ name: 'default', type: 'Local', path: this.disk }]
    if (/^ALTER TABLE .* FREEZE/.test(sql)) return this.freeze()
    if (/FROM system\.tables/.test(sql)) {
      const path = `${this.disk}/store/abc/${uuid}/`
      return [{ uuid, engine: 'MergeTree', data_paths: [path], create_table_query: 'CREATE' }]
    }
    return []
  }

  async freeze(path: string = this.shadow): Promise<unknown> {
    await mkdir(this.shadow, { recursive: true })
    await writeFile(join(this.shadow, 'data.bin'), 'data')
    return [{ part_name: 'all_1_1_0', part_backup_path: `${path}/` }]
  }
}

const played = (
  answers: readonly (readonly [RegExp, Answer])[],
  run: (source: FreezeSource, server: PlayedServer) => Promise<void>,
): Promise<void> =>
  inDirectory(async (disk) => {
    const server = new PlayedServer(disk, answers)
    await run(await clickhouseSource({ client: server.query }), server)
  })

const failing = (message: string, properties: object = {}): Answer => {
  return () => Promise.reject(Object.assign(new Error(message), properties))
}

test('an UNFREEZE that does nothing: what is left is removed by path', () =>
  played([[/UNFREEZE/, () => []]], async (source, server) => {
    await source.freeze(freeze, signal)
    expect(await source.isFrozen(freeze, signal)).toBe(true)
    await source.unfreeze(freeze, signal)
    expect(await source.isFrozen(freeze, signal)).toBe(false)
    expect(await readdir(join(server.disk, 'shadow'))).toEqual(['increment.txt'])
    expect(server.verbs).toEqual(['FREEZE', 'UNFREEZE'])
  }))

test.each([60, 81, 218, 1001])('an UNFREEZE that fails with %d: removed, and told', (number) =>
  played([[/UNFREEZE/, failing('no', { code: String(number) })]], async (source, server) => {
    await source.freeze(freeze, signal)
    const error = await source.unfreeze(freeze, signal).catch((thrown: unknown) => thrown)
    expect(source.errorNumber?.(error)).toBe(number)
    expect((error as { code: string }).code).toBe('ERR_SOURCE')
    expect(await source.isFrozen(freeze, signal)).toBe(false)
    expect(await readdir(join(server.disk, 'shadow'))).toEqual(['increment.txt'])
  }),
)

test('an old server, without disks, verbose answers and UNFREEZE, is backed up by path', () =>
  inDirectory(async (disk) => {
    const old = 'Code: 62, e.displayText() = DB::Exception: Syntax error'
    const server = new PlayedServer(disk, [
      [/UNFREEZE|SETTINGS/, failing(old)],
      [/system\.disks/, failing('Code: 60, e.displayText() = DB::Exception: no such table')],
    ])
    expect(await codeOf(() => clickhouseSource({ client: server.query }))).toBe('ERR_SOURCE')
    const source = await clickhouseSource({ client: server.query, dataPath: disk })
    const frozen = await source.freeze(freeze, signal)
    const target = join(disk, 'target')
    await mkdir(target)
    const files = await frozen.copy(target, { signal, bytesPerSecond: 0, onBytes: () => {} })
    expect(files).toEqual([{ path: 'all_1_1_0/data.bin', sizeBytes: 4 }])
    await source.unfreeze(freeze, signal)
    expect(await source.isFrozen(freeze, signal)).toBe(false)
  }))

test('a FREEZE that still runs is not released; it is once it is over', () => {
  let answer = (): void => {}
  const asked = new Promise<void>((resolve) => (answer = resolve))
  const cancel = new AbortController()
  const isFreeze = /^ALTER TABLE .* FREEZE/
  const slow: Answer = async () => {
    cancel.abort()
    await asked
    return []
  }
  return played([[isFreeze, slow]], async (source, server) => {
    expect(await codeOf(() => source.freeze(freeze, cancel.signal))).toBe('ERR_ABORTED')
    const late = AbortSignal.abort()
    expect(await codeOf(() => source.unfreeze(freeze, late))).toBe('ERR_ABORTED')
    const released = source.unfreeze(freeze, signal)
    await server.freeze() // the server goes on
    expect(server.verbs).toEqual(['FREEZE'])
    answer()
    await released
    expect(server.verbs).toEqual(['FREEZE', 'UNFREEZE'])
    expect(await source.isFrozen(freeze, signal)).toBe(false)
  })
})

test('a FREEZE that nobody answered is looked for on the server before it is released', () => {
  const running = [2, 1, 0]
  const processes: Answer = () => [{ running: running.shift() }]
  const lost = failing('socket hang up', { code: 'ECONNRESET' })
  return played(
    [
      [/^ALTER TABLE .* FREEZE/, lost],
      [/system\.processes/, processes],
    ],
    async (source, server) => {
      expect(await codeOf(() => source.freeze(freeze, signal))).toBe('ERR_SOURCE')
      await source.unfreeze(freeze, signal)
      expect(running).toEqual([])
      expect(server.sent.at(-1)).toMatch(/UNFREEZE/)
    },
  )
})

test('an UNFREEZE that hangs: its deadline ends the waiting, and the files go by path', () => {
  const deadline = new AbortController()
  const hanging: Answer = () => {
    deadline.abort()
    return new Promise(() => {})
  }
  return played([[/UNFREEZE/, hanging]], async (source) => {
    await source.freeze(freeze, signal)
    await source.unfreeze(freeze, deadline.signal)
    expect(await source.isFrozen(freeze, signal)).toBe(false)
  })
})

test.each(['ObjectStorage', 's3', 'Unknown'])('a table on a disk of type %s is refused', (type) =>
  inDirectory(async (disk) => {
    const disks = [
      { name: 'default', type: 'Local', path: disk },
      { name: 'far', type, path: `${disk}/store/` },
    ]
    const server = new PlayedServer(disk, [[/system\.disks/, () => disks]])
    const source = await clickhouseSource({ client: server.query })
    expect(await codeOf(() => source.freeze(freeze, signal))).toBe('ERR_SOURCE')
    expect(server.verbs).toEqual([])
  }),
)

test('a server that is not on this machine is refused', () =>
  inDirectory(async (disk) => {
    const client = new PlayedServer(join(disk, 'nowhere'), []).query
    expect(await codeOf(() => clickhouseSource({ client }))).toBe('ERR_SOURCE')
  }))

test.each(['/etc', '/shadow/hotbolt_1', '/shadow/hotbolt_2/store', '/shadow/hotbolt_1/../..'])(
  'a part that the server says is in <disk>%s is refused',
  (path) =>
    inDirectory(async (disk) => {
      const server: PlayedServer = new PlayedServer(disk, [
        [/^ALTER TABLE .* FREEZE/, () => server.freeze(`${disk}${path}`)],
      ])
      const source = await clickhouseSource({ client: server.query })
      expect(await codeOf(() => source.freeze(freeze, signal))).toBe('ERR_SOURCE')
    }),
)

test('a part that is a link is refused, and so is a file in one', () =>
  inDirectory(async (disk) => {
    const server: PlayedServer = new PlayedServer(disk, [])
    const source = await clickhouseSource({ client: server.query })
    await mkdir(join(disk, 'outside'))
    await writeFile(join(disk, 'outside/secret'), 'secret')
    await mkdir(join(server.shadow, '..'), { recursive: true })
    await symlink(join(disk, 'outside'), server.shadow)
    expect(await codeOf(() => source.freeze(freeze, signal))).toBe('ERR_SOURCE')
    await source.unfreeze(freeze, signal)
    const frozen = await source.freeze(freeze, signal)
    await symlink(join(disk, 'outside/secret'), join(server.shadow, 'secret'))
    const target = join(disk, 'target')
    await mkdir(target)
    const options = { signal, bytesPerSecond: 0, onBytes: () => {} }
    expect(await codeOf(() => frozen.copy(target, options))).toBe('ERR_SOURCE')
    await source.unfreeze(freeze, signal)
    expect(await readdir(join(disk, 'outside'))).toEqual(['data.bin', 'secret'])
  }))

test('files are linked on one file system, without what FREEZE adds', () =>
  played([], async (source, server) => {
    const frozen = await source.freeze(freeze, signal)
    await writeFile(join(server.shadow, 'frozen_metadata.txt'), '')
    await mkdir(join(server.shadow, 'p x.proj'))
    await writeFile(join(server.shadow, 'p x.proj/data.bin'), '12')
    const target = join(server.disk, 'target')
    await mkdir(target)
    let bytes = 0
    const onBytes = (count: number): void => void (bytes += count)
    const files = await frozen.copy(target, { signal, bytesPerSecond: 0, onBytes })
    expect(files).toEqual([
      { path: 'all_1_1_0/data.bin', sizeBytes: 4 },
      { path: 'all_1_1_0/p~20x.proj/data.bin', sizeBytes: 2 },
    ])
    expect(bytes).toBe(6)
    expect((await stat(join(target, 'all_1_1_0/data.bin'))).nlink).toBe(2)
  }))

const isOtherDisk = statSync(memoryDirectory).dev !== statSync(tmpdir()).dev

const copiesSlowly = (): Promise<void> =>
  played([], (source) =>
    inDirectory(async (target) => {
      const frozen = await source.freeze(freeze, signal)
      const startMs = performance.now()
      const counts: number[] = []
      const onBytes = (count: number): void => void counts.push(count)
      // 4 bytes.
      const files = await frozen.copy(target, { signal, bytesPerSecond: 20, onBytes })
      expect(performance.now() - startMs).toBeGreaterThan(190)
      expect(files).toEqual([{ path: 'all_1_1_0/data.bin', sizeBytes: 4 }])
      expect(counts).toEqual([4])
      const copy = join(target, 'all_1_1_0/data.bin')
      expect(await readFile(copy, 'utf8')).toBe('data')
      expect((await stat(copy)).nlink).toBe(1)
    }, otherDirectory),
  )

// Elsewhere there is no second file system to copy to.
if (isOtherDisk) test('files are copied to another disk, no faster than allowed', copiesSlowly)

test('a table that has gone has the number of one', () =>
  played([[/FROM system\.tables/, () => []]], async (source, server) => {
    const error = await source.freeze(freeze, signal).catch((thrown: unknown) => thrown)
    expect(source.errorNumber?.(error)).toBe(60)
    expect(server.verbs).toEqual([])
  }))

test('a renaming of columns that is not done everywhere is waited out by the caller', () => {
  const renaming = [{ command: 'RENAME COLUMN a TO b' }]
  return played([[/system\.mutations/, () => renaming]], async (source) => {
    expect(await codeOf(() => source.freeze(freeze, signal))).toBe('ERR_BUSY')
    await source.unfreeze(freeze, signal)
    expect(await source.isFrozen(freeze, signal)).toBe(false)
  })
})

test('hostile ids reach neither the server nor the disk', () =>
  played([], async (source, server) => {
    const before = server.sent.length
    for (const id of ['../x', "x' OR 1", '..', '7', '']) {
      const hostile = { ...freeze, id }
      expect(await codeOf(() => source.freeze(hostile, signal))).toBe('ERR_INVALID_ARGUMENT')
      expect(await codeOf(() => source.unfreeze(hostile, signal))).toBe('ERR_INVALID_ARGUMENT')
      expect(await codeOf(() => source.isFrozen(hostile, signal))).toBe('ERR_INVALID_ARGUMENT')
    }
    expect(server.sent.length).toBe(before)
  }))
