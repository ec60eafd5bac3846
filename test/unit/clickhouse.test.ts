// The parts of hotbolt/clickhouse that need no ClickHouse: names, numbers of errors, clients,
// proofs of paths, definitions of tables.
import { rmSync, symlinkSync } from 'node:fs'
import { chown, mkdir, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { connect } from '../../lib/adapters/clickhouse/client.ts'
import {
  copyTree,
  decodeFileName,
  decodeTree,
  encodeFileName,
} from '../../lib/adapters/clickhouse/copy-files.ts'
import { createQueryFor, withoutReplication } from '../../lib/adapters/clickhouse/create-query.ts'
import { errorNumber, sourceError, systemError } from '../../lib/adapters/clickhouse/errors.ts'
import { HeldDirectory, holding, serverOf } from '../../lib/adapters/clickhouse/held-directory.ts'
import { inOrder, isPartName, metadataOf } from '../../lib/adapters/clickhouse/metadata.ts'
import {
  listedName,
  parseName,
  quoteIdentifier,
  quoteText,
} from '../../lib/adapters/clickhouse/names.ts'
import {
  checkedFreezeId,
  freezeDirectory,
  hasFiles,
  partsOf,
  prepareCounter,
  provenInside,
  removeFreeze,
} from '../../lib/adapters/clickhouse/shadow.ts'
import { HotboltError, type ManifestTable } from '../../lib/index.ts'
import { holds } from '../support/property.ts'
import { testIf } from '../support/tools.ts'
import { codeOf, inDirectory, refusalOf } from '../support/with-database.ts'

test('a listed name is read back as the table it names, whatever is in it', async () => {
  const part = fc.oneof(
    fc.string({ minLength: 1, unit: 'binary' }),
    fc.string({ minLength: 1, unit: fc.constantFrom('.', '`', '\\', '0', '\0', '"', "'", 'a') }),
  )
  const property = fc.asyncProperty(part, part, async (database, table) => {
    expect(parseName(listedName({ database, table }))).toEqual({ database, table })
  })
  await holds(property, 1000)
})

test('names without dots and quotes are listed as they are', () => {
  expect(listedName({ database: 'shop', table: 'orders-2026' })).toBe('shop.orders-2026')
  expect(listedName({ database: 'a.b', table: 'c`d' })).toBe('`a.b`.`c\\`d`')
})

test.each(['', '.', 'a', 'a.', '.b', 'a.b.c', '`a.b', '`a`b.c', 'a.`b`c', '``.a', 'a\\.b'])(
  'no table has the name %j',
  (name) => expect(refusalOf(() => parseName(name))).toBe('ERR_INVALID_ARGUMENT'),
)

test('identifiers and texts of SQL cannot be left', () => {
  expect(quoteIdentifier('a`b\\c')).toBe('`a\\`b\\\\c`')
  expect(quoteText("a'b\\c\0")).toBe("'a\\'b\\\\c\\0'")
})

/** An error as one of the clients throws it. */
const thrown = (message: string, properties: object, cause?: unknown): Error =>
  Object.assign(new Error(message, cause === undefined ? {} : { cause }), properties)

test.each([
  [60, 'Could not find table: nope. (UNKNOWN_TABLE)'],
  [81, 'Database nodb does not exist. (UNKNOWN_DATABASE)'],
  [218, 'Table o.x7 is dropped or detached. (TABLE_IS_DROPPED)'],
])('both clients tell %d', (number, text) => {
  const message = `Code: ${number}. DB::Exception: ${text}`
  const chdb = thrown(message, { code: 'CHDB_QUERY', clickhouseCode: number })
  expect(errorNumber(chdb)).toBe(number)
  expect(errorNumber(thrown(text, { code: String(number), type: 'X' }, chdb))).toBe(number)
  expect(errorNumber(thrown(text, { code: String(number), type: 'X' }))).toBe(number)
  expect(errorNumber(new Error(message))).toBe(number)
})

test('every client tells the number of an error', () => {
  const chdb = thrown('Code: 60. DB::Exception: Could not find table: nope.', {
    code: 'CHDB_QUERY',
    clickhouseCode: 60,
  })
  expect(errorNumber(chdb)).toBe(60)
  const overChdb = thrown('Database nodb does not exist.', { code: '81' }, chdb)
  expect(errorNumber(overChdb)).toBe(81)
  expect(errorNumber(thrown('wrapped', {}, overChdb))).toBe(81)
  expect(errorNumber(sourceError('It failed', chdb))).toBe(60)
  const old = 'Code: 218, e.displayText() = DB::Exception: Table t is dropped'
  expect(errorNumber(new Error(old))).toBe(218)
  expect(errorNumber(new Error('code: 60, message: no table'))).toBe(60)
})

test('other numbers are not taken for that of an error', () => {
  expect(errorNumber(new Error('Code: 600. DB::Exception: another'))).toBe(600)
  expect(errorNumber(new Error('a row says: Code: 60. nothing'))).toBeUndefined()
  expect(errorNumber(new Error('Error-code: 60'))).toBeUndefined()
  expect(errorNumber(thrown('gone', { code: 'ECONNRESET', errno: -104 }))).toBeUndefined()
  const timeout = new DOMException('late', 'TimeoutError') // has the number 23
  expect(errorNumber(new HotboltError('ERR_ABORTED', 'x', { cause: timeout }))).toBeUndefined()
  for (const value of [undefined, null, 60, '60', 'Code: 60.', {}]) {
    expect(errorNumber(value)).toBeUndefined()
  }
})

test('that a system table is missing does not mean that the table is', () => {
  const missing = thrown('no system.mutations', { clickhouseCode: 60 })
  expect(errorNumber(systemError('The mutations could not be listed', missing))).toBeUndefined()
})

test('causes in a circle come to an end', () => {
  const one = thrown('one', {})
  const other = thrown('other', {}, one)
  one.cause = other
  expect(errorNumber(one)).toBeUndefined()
})

test('an empty counter of freezes is explained', () => {
  const error = thrown('Cannot read: shadow/increment.txt is empty', { clickhouseCode: 32 })
  expect(sourceError('It failed', error).message).toMatch(/Code: 32\..*Write 0/)
})

const rows = [{ a: 1 }, { a: 2 }]
const lines = '{"a":1}\n{"a":2}\n'

test('clients of each kind give rows', async () => {
  const sent: unknown[] = []
  const chdb = {
    queryAsync: async (sql: string, options?: object) => {
      sent.push([sql, options])
      return { text: () => lines }
    },
  }
  const http = {
    query: async (parameters: object) => {
      sent.push(parameters)
      return { json: async () => rows }
    },
    command: async (parameters: object) => void sent.push(parameters),
  }
  expect(await connect(chdb).rows('q')).toEqual(rows)
  expect(await connect(http).rows('q')).toEqual(rows)
  expect(await connect(async () => rows).rows('q')).toEqual(rows)
  expect(await connect(async () => lines).rows('q')).toEqual(rows)
  expect(await connect(async () => undefined).rows('q')).toEqual([])
  await connect(http).command('c')
  const format = 'JSONEachRow'
  expect(sent).toEqual([['q', { format }], { query: 'q', format }, { query: 'c' }])
})

test('what is no client is refused', () => {
  for (const client of [{}, [], [{}], { query: () => {} }] as never[]) {
    expect(refusalOf(() => connect(client))).toBe('ERR_INVALID_ARGUMENT')
  }
})

test('each of several clients has one query at a time', async () => {
  let running = 0
  let most = 0
  const waiting: (() => void)[] = []
  const client = async (): Promise<[]> => {
    most = Math.max(most, ++running)
    await new Promise<void>((resolve) => waiting.push(resolve))
    running--
    return []
  }
  const connection = connect([client, client])
  const all = Promise.all([1, 2, 3, 4, 5].map((number) => connection.rows(`${number}`)))
  for (let answered = 0; answered < 5;) {
    await new Promise((resolve) => setImmediate(resolve))
    for (const answer of waiting.splice(0)) {
      answered++
      answer()
    }
  }
  await all
  expect(most).toBe(2)
})

const hostileIds = [
  '',
  '.',
  '..',
  '../x',
  'a/b',
  '/a',
  'a b',
  "a'b",
  'a\0',
  'a.b',
  '1',
  '12',
  '\u00e9',
]

test.each(hostileIds)('%j is not the id of a freeze', async (id) => {
  expect(refusalOf(() => checkedFreezeId(id))).toBe('ERR_INVALID_ARGUMENT')
  await inDirectory(async (disk) => {
    await mkdir(join(disk, 'shadow', '1'), { recursive: true })
    await writeFile(join(disk, 'shadow', '1', 'kept'), '')
    expect(await codeOf(() => removeFreeze(disk, id))).toBe('ERR_INVALID_ARGUMENT')
    expect(await readdir(join(disk, 'shadow', '1'))).toEqual(['kept'])
  })
})

test('a freeze that is a link is not entered', () =>
  inDirectory(async (disk) => {
    await mkdir(join(disk, 'outside/store/abc/uuid/part'), { recursive: true })
    await mkdir(join(disk, 'shadow'))
    await symlink(join(disk, 'outside'), join(disk, 'shadow/f_1'))
    expect(await codeOf(() => freezeDirectory(disk, 'f_1'))).toBe('ERR_SOURCE')
    expect(await codeOf(() => removeFreeze(disk, 'f_1'))).toBe('ERR_SOURCE')
    expect(await readdir(join(disk, 'outside/store/abc/uuid'))).toEqual(['part'])
  }))

test('removing a freeze takes its links, not what they name', () =>
  inDirectory(async (disk) => {
    const part = join(disk, 'shadow/f_1/store/abc/uuid/part')
    await mkdir(part, { recursive: true })
    await mkdir(join(disk, 'outside'))
    await writeFile(join(disk, 'outside/kept'), '')
    await symlink(join(disk, 'outside'), join(part, 'link'))
    await symlink(join(disk, 'outside'), join(disk, 'shadow/f_1/store/abc/uuid/linked-part'))
    const directory = (await freezeDirectory(disk, 'f_1')) ?? ''
    expect(await partsOf(directory)).toEqual([part])
    const linked = join(directory, 'store/abc/uuid/linked-part')
    expect(await codeOf(() => provenInside(directory, linked))).toBe('ERR_SOURCE')
    expect(await provenInside(directory, part)).toBe(part)
    const outside = `${directory}/../../outside`
    expect(await codeOf(() => provenInside(directory, outside))).toBe('ERR_SOURCE')
    await removeFreeze(disk, 'f_1')
    expect(await readdir(join(disk, 'shadow'))).toEqual([])
    expect(await readdir(join(disk, 'outside'))).toEqual(['kept'])
  }))

test('a directory that becomes a link while a part is copied is not entered', () =>
  inDirectory(async (disk) => {
    const part = join(disk, 'part')
    await mkdir(join(part, 'b.proj'), { recursive: true })
    await mkdir(join(disk, 'outside'))
    for (const name of ['part/a.bin', 'part/b.proj/x', 'outside/secret']) {
      await writeFile(join(disk, name), name)
    }
    const exchange = (): void => {
      rmSync(join(part, 'b.proj'), { recursive: true, force: true })
      symlinkSync(join(disk, 'outside'), join(part, 'b.proj'))
    }
    const copy = async (): Promise<unknown> =>
      holding(HeldDirectory.open(part, await serverOf(disk)), (held) =>
        copyTree(held, join(disk, 'copy'), 'part', {
          signal: new AbortController().signal,
          bytesPerSecond: 0,
          onBytes: exchange,
        }),
      )
    expect(await codeOf(copy)).toMatch(/^(ELOOP|ENOTDIR)$/)
    expect(await readdir(join(disk, 'copy'))).toEqual(['a.bin'])
  }))

testIf('root', 'what is frozen for another user is removed, and his counter made, by root', () =>
  inDirectory(async (disk) => {
    const own = { uid: 2001, gid: 2001 }
    const store = join(disk, 'store')
    await mkdir(store)
    await chown(store, own.uid, own.gid)
    expect(await prepareCounter(disk)).toBe(true)
    for (const name of ['shadow', 'shadow/increment.txt']) {
      expect(await stat(join(disk, name)), name).toMatchObject(own)
    }
    const frozen = join(disk, 'shadow/f_1')
    await mkdir(join(frozen, 'store'), { recursive: true })
    await mkdir(join(disk, 'outside'))
    await writeFile(join(disk, 'outside/kept'), '')
    await symlink(join(disk, 'outside'), join(frozen, 'link'))
    await removeFreeze(disk, 'f_1')
    expect(await readdir(join(disk, 'shadow'))).toEqual(['increment.txt'])
    expect(await readdir(join(disk, 'outside'))).toEqual(['kept'])
  }),
)

test('empty directories are nothing that is frozen', () =>
  inDirectory(async (disk) => {
    await mkdir(join(disk, 'shadow/f_1/store/abc/uuid'), { recursive: true })
    expect(await hasFiles(join(disk, 'shadow/f_1'))).toBe(false)
    await writeFile(join(disk, 'shadow/f_1/store/abc/uuid/file'), '')
    expect(await hasFiles(join(disk, 'shadow/f_1'))).toBe(true)
    expect(await hasFiles(join(disk, 'shadow/f_2'))).toBe(false)
  }))

test('the counter of freezes is made once, with its content, and left as it is', () =>
  inDirectory(async (disk) => {
    const made = await Promise.all(Array.from({ length: 16 }, () => prepareCounter(disk)))
    expect(made).toEqual(Array.from({ length: 16 }, () => true))
    expect(await readFile(join(disk, 'shadow/increment.txt'), 'utf8')).toBe('0\n')
    expect(await readdir(disk)).toEqual(['shadow'])
    expect(await readdir(join(disk, 'shadow'))).toEqual(['increment.txt'])
    await writeFile(join(disk, 'shadow/increment.txt'), '41\n')
    await prepareCounter(disk)
    expect(await readFile(join(disk, 'shadow/increment.txt'), 'utf8')).toBe('41\n')
  }))

const renamed = { database: 'r', table: 'a$&`b' }

test.each([
  'CREATE TABLE d.t (`a` UInt64) ENGINE = MergeTree ORDER BY a',
  "CREATE TABLE `d.\\`x`.`t \\\\` UUID '11111111-2222-3333-4444-5555' (`a` UInt8) ENGINE = X",
  'ATTACH TABLE "d"".x"."t"\n(`a` UInt64) ENGINE = MergeTree',
  'CREATE TABLE t (`a` UInt64) ENGINE = MergeTree',
])('%s is made for another name', (query) => {
  const made = createQueryFor(renamed, query)
  expect(made.startsWith('CREATE TABLE `r`.`a$&\\`b`')).toBe(true)
  expect(made.slice('CREATE TABLE `r`.`a$&\\`b`'.length)).toBe(query.slice(query.search(/\s\(/)))
})

test.each(['', 'DROP TABLE d.t', 'CREATE VIEW d.t (a UInt64)', 'CREATE TABLE d.t; DROP TABLE x'])(
  'no table is made by %j',
  (query) => expect(refusalOf(() => createQueryFor(renamed, query))).toBe('ERR_BACKUP_CORRUPT'),
)

test('a replicated table is filled from one without replicas', () => {
  const engine = (text: string): string =>
    withoutReplication(`(a UInt8) ENGINE = ${text} ORDER BY a`)
  const plain = (text: string): string => `(a UInt8) ENGINE = ${text} ORDER BY a`
  expect(engine("ReplicatedMergeTree('/t/{uuid}/it\\'s', '{replica}')")).toBe(plain('MergeTree()'))
  expect(engine("ReplicatedReplacingMergeTree('/t', 'r', version)")).toBe(
    plain('ReplacingMergeTree(version)'),
  )
  expect(engine('ReplicatedMergeTree')).toBe(plain('MergeTree'))
  expect(engine('MergeTree')).toBe(plain('MergeTree'))
})

test('names of files that a backup cannot hold are encoded, and come back', async () => {
  expect(encodeFileName('p x.proj')).toBe('p~20x.proj')
  expect(encodeFileName('b%2Ec.size0.bin')).toBe('b%2Ec.size0.bin')
  expect(encodeFileName('a~20b.')).toBe('a~7e20b~2e')
  const property = fc.asyncProperty(fc.string({ unit: 'binary' }), async (name) => {
    expect(decodeFileName(encodeFileName(name))).toBe(name)
    expect(encodeFileName(name)).toMatch(/^[A-Za-z0-9._~%-]*$/)
  })
  await holds(property, 1000)
})

test('a name of a file in a backup cannot stand for one elsewhere', () =>
  inDirectory(async (directory) => {
    await mkdir(join(directory, 'tree/p~20x.proj'), { recursive: true })
    await writeFile(join(directory, 'tree/p~20x.proj/a~62'), '')
    await decodeTree(join(directory, 'tree'))
    expect(await readdir(join(directory, 'tree/p x.proj'))).toEqual(['ab'])
    for (const name of ['~2e~2e~2fout', '~2e~2e', 'a~00', '~2fetc']) {
      await writeFile(join(directory, 'tree', name), '')
      expect(await codeOf(() => decodeTree(join(directory, 'tree')))).toBe('ERR_BACKUP_CORRUPT')
      expect(await readdir(directory)).toEqual(['tree'])
      await rm(join(directory, 'tree', name))
    }
  }))

test('parts are attached in the order of their first blocks', () => {
  const names = ['b_10_10_0', 'a_2_9_1', '2024-01_1_1_0_7']
  expect(inOrder(names.map((name) => ({ name }))).map(({ name }) => name)).toEqual([
    '2024-01_1_1_0_7',
    'a_2_9_1',
    'b_10_10_0',
  ])
  for (const name of ['', 'all', '../all_1_1_0', "all_1_1_0'", 'all_1_1_0/x', 'all_1_1', 7]) {
    expect(isPartName(name)).toBe(false)
  }
})

test('metadata of another kind, or damaged, is refused', () => {
  const metadata = {
    database: 'd',
    table: 't',
    uuid: 'u',
    engine: 'e',
    createQuery: 'c',
    parts: [],
  }
  const table = (changes: object): ManifestTable => ({
    name: 'd.t',
    owner: 'o',
    files: [],
    metadata: { ...metadata, ...changes },
  })
  expect(metadataOf(table({}))).toEqual(metadata)
  for (const changes of [
    { database: 1 },
    { createQuery: '' },
    { parts: {} },
    { parts: [{ name: '..' }] },
    { parts: [{ name: 'all_1_1_0', hash: 1 }] },
    { parts: [null] },
  ]) {
    expect(refusalOf(() => metadataOf(table(changes)))).toBe('ERR_BACKUP_CORRUPT')
  }
})
