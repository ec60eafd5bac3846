// Manifests that are damaged, or hostile and sealed with the right hash: nothing of them is
// believed that was not proven, and what is refused is refused with a word.

import fc from 'fast-check'
import { expect, test } from 'vitest'
import { HotboltError } from '../../lib/errors.ts'
import {
  decodeManifest,
  encodeManifest,
  isFilePath,
  manifestBytesMax,
  manifestKey,
  readManifest,
  tablePrefix,
  type Manifest,
} from '../../lib/backup/manifest.ts'
import { manifestOf, sealed, sha256Of, tableOf } from '../support/backups.ts'
import { MemoryTarget } from '../support/memory-target.ts'
import { holds } from '../support/property.ts'
import { expectRefusal } from '../support/refusal.ts'

const hash = 'a'.repeat(64)
const fileAt = (path: unknown): object => ({ path, sizeBytes: 1, sha256: hash })
const table = (changes: object = {}): object => ({
  name: 't',
  owner: 'one',
  files: [fileAt('f')],
  ...changes,
})
const withTables = (...tables: unknown[]): object => ({ ...manifestOf('one'), tables })
const withFiles = (...files: unknown[]): object => withTables(table({ files }))
const withPath = (path: unknown): object => withFiles(fileAt(path))
const without = (name: keyof Manifest): object => {
  const { [name]: _left, ...rest } = manifestOf('one')
  return rest
}

test('a manifest comes back as it was', async () => {
  const manifest = manifestOf('one', {
    cut: true,
    tables: [
      { ...tableOf('one', 'A', { 'a/b': 'x', 'a/c': '', 'a-b': 'x' }), version: 'v1' },
      { ...tableOf('zero', 'a', { 'aux.bin': 'x' }), metadata: { deep: [null, 1.5, 'x', {}] } },
      tableOf('one', '../../etc/passwd', {}),
      tableOf('one', '\u00fc\ud83d\ude00 '.repeat(50), { f: 'x' }),
    ],
    requires: ['zero'],
  })
  expect(await decodeManifest(await encodeManifest(manifest), 'one')).toEqual(manifest)
})

test('its last property is the hash of all bytes before it', async () => {
  const manifest = manifestOf('one')
  const bytes = Buffer.from(await encodeManifest(manifest))
  expect(bytes.equals(sealed(manifest))).toBe(true)
  const parsed = JSON.parse(String(bytes)) as object
  expect(Object.keys(parsed).at(-1)).toBe('sha256')
})

test('keys lead nowhere but below the backup', () => {
  expect(manifestKey('one')).toBe('one/manifest.json')
  expect(tablePrefix('one', 'users')).toBe('one/tables/users/')
  expect(tablePrefix('one', '../x')).toBe('one/tables/%2e.%2fx/')
  for (const name of ['', '.', '..', '../x', 'a/b', '.hidden', 'a\0', '\u00fc', 'x'.repeat(101)]) {
    expect(() => manifestKey(name)).toThrow(HotboltError)
    expect(() => tablePrefix(name, 'users')).toThrow(HotboltError)
  }
})

const hostilePaths = [
  '',
  '/',
  '/etc/passwd',
  '//x',
  'a/',
  'a//b',
  '.',
  '..',
  './a',
  '../a',
  'a/..',
  'a/../../b',
  'a\\b',
  '..\\a',
  '\\\\server\\share',
  'C:',
  'C:/a',
  'c:a',
  'a:stream',
  'a\0',
  'a\0b',
  'a\nb',
  'NUL',
  'con',
  'a/Aux',
  'COM1',
  'lpt9/x',
  'a.',
  'a /b',
  ' a',
  '~/../a',
  '%2e%2e/\u00e9',
  'a'.repeat(256),
  'a/'.repeat(400) + 'a',
  'a/'.repeat(64) + 'a',
  7,
  null,
  ['a'],
  { path: 'a' },
  true,
]

test.each(hostilePaths)('a file may not be at %.30j', async (path) => {
  if (typeof path === 'string') expect(isFilePath(path)).toBe(false)
  await refused(withPath(path))
})

test('ordinary paths are no offence', () => {
  const paths = ['a', 'a/b/c', '..a', 'a..b', '...a', '.a/.b', 'null', 'con1', '%2E%2e', '~']
  expect(paths.filter((path) => !isFilePath(path))).toEqual([])
})

const hostile: [string, unknown][] = [
  ['an array', [1]],
  ['a string', '"manifest"'],
  ['another format', { ...manifestOf('one'), format: 'zip' }],
  ['a version that is none', { ...manifestOf('one'), version: '1' }],
  ['version 0', { ...manifestOf('one'), version: 0 }],
  ['another name', manifestOf('two')],
  ['a name that is no text', { ...manifestOf('one'), name: ['one'] }],
  ['a foreign property', { ...manifestOf('one'), extra: 1 }],
  ['a property called __proto__', `{"__proto__":{"name":"one"},${bodyOf(manifestOf('one'))}`],
  ['properties only by __proto__', `{"__proto__":${JSON.stringify(manifestOf('one'))}}`],
  ...(['name', 'createdAt', 'source', 'cut', 'tables', 'requires', 'format'] as const).map(
    (name): [string, unknown] => [`no ${name}`, without(name)],
  ),
  ['a time without a zone', { ...manifestOf('one'), createdAt: '2026-01-31T12:00:00' }],
  ['a day that does not exist', { ...manifestOf('one'), createdAt: '2026-02-30T12:00:00.000Z' }],
  ['a time that is a number', { ...manifestOf('one'), createdAt: 0 }],
  ['a source without kind', { ...manifestOf('one'), source: { id: 'x' } }],
  ['a source that is null', { ...manifestOf('one'), source: null }],
  [
    'a source with a long id',
    { ...manifestOf('one'), source: { kind: 'x', id: 'x'.repeat(5000) } },
  ],
  ['a cut that is 1', { ...manifestOf('one'), cut: 1 }],
  ['tables that are an object', { ...manifestOf('one'), tables: { length: 1, 0: table() } }],
  ['a table that is null', withTables(null)],
  ['a table without a name', withTables(table({ name: undefined }))],
  ['a table with an empty name', withTables(table({ name: '' }))],
  ['a table with a long name', withTables(table({ name: 'x'.repeat(1025) }))],
  [
    'a table with half a character',
    `{${bodyOf(withTables(table({ name: 'HALF' }))).replace('HALF', '\\ud800')}`,
  ],
  ['a table twice', withTables(table(), table())],
  [
    'a table twice with a long name',
    withTables(...Array(2).fill(table({ name: 'X'.repeat(300) }))),
  ],
  ['a table with a foreign property', withTables(table({ path: 'x' }))],
  ['a version that is a number', withTables(table({ version: 1 }))],
  ['an owner that is a path', withTables(table({ owner: '../one' }))],
  ['an owner that is not required', withTables(table({ owner: 'zero' }))],
  ['a required one that owns nothing', { ...manifestOf('one'), requires: ['zero'] }],
  ['itself required', { ...manifestOf('one'), requires: ['one'] }],
  ['a required path', { ...withTables(table({ owner: 'zero' })), requires: ['zero', '../x'] }],
  ['one required twice', { ...withTables(table({ owner: 'zero' })), requires: ['zero', 'zero'] }],
  ['files that are null', withTables(table({ files: null }))],
  ['a file twice', withFiles(fileAt('a/b'), fileAt('a/b'))],
  ['a file in a file', withFiles(fileAt('a/b/c'), fileAt('a'))],
  ['a file in a file below', withFiles(fileAt('x/a'), fileAt('x/a/b/c'))],
  ['a file with a foreign property', withFiles({ ...fileAt('a'), mode: 0o777 })],
  ...[-1, 1.5, 2 ** 53, 1e300, '1', null, undefined].map((sizeBytes): [string, unknown] => [
    `the size ${JSON.stringify(sizeBytes)}`,
    withFiles({ ...fileAt('a'), sizeBytes }),
  ]),
  [
    'sizes too large together',
    withFiles(...['a', 'b', 'c'].map((path) => ({ ...fileAt(path), sizeBytes: 2 ** 52 }))),
  ],
  ...['', 'A'.repeat(64), 'a'.repeat(63), 'g'.repeat(64), `${hash}\n`, 1].map(
    (sha256): [string, unknown] => [
      `the hash ${JSON.stringify(sha256)}`,
      withFiles({ ...fileAt('a'), sha256 }),
    ],
  ),
  ['what is no JSON', '{"format":"hotbolt-backup"'],
  ['two values', `${JSON.stringify(manifestOf('one'))} ${JSON.stringify(manifestOf('one'))}`],
]

/** Without the opening brace. */
function bodyOf(object: object): string {
  return JSON.stringify(object).slice(1)
}

async function refused(manifest: unknown): Promise<HotboltError> {
  const bytes = sealed(typeof manifest === 'string' ? manifest : JSON.stringify(manifest))
  const error = await expectRefusal('ERR_BACKUP_CORRUPT', () => decodeManifest(bytes, 'one'))
  expect(error.message).toContain('"one"')
  return error
}

test.each(hostile)('%s is refused, though the hash is right', async (_, manifest) => {
  await refused(manifest)
})

test('the hostile ones would pass but for what is wrong with them', async () => {
  for (const good of [
    withTables(table()),
    withFiles(fileAt('a/b'), fileAt('a-b')),
    manifestOf('one'),
  ]) {
    expect(await decodeManifest(sealed(good), 'one')).toMatchObject({ name: 'one' })
  }
})

test('a later version is told from damage', async () => {
  const later = { ...manifestOf('one'), version: 2, tables: 'elsewhere', compression: 'x' }
  const error = await expectRefusal('ERR_VERSION', () => decodeManifest(sealed(later), 'one'))
  expect(error.message).toContain('2')
  const damaged = sealed(later)
  damaged[10]! ^= 1
  await expectRefusal('ERR_BACKUP_CORRUPT', () => decodeManifest(damaged, 'one'))
})

test('bytes that are no UTF-8 are refused', async () => {
  const text = JSON.stringify(manifestOf('one')).replace('somewhere', 'some\u00fchere')
  const body = Buffer.from(text, 'latin1')
  const seal = (bytes: Buffer): Buffer => {
    const start = Buffer.concat([bytes.subarray(0, -1), Buffer.from(',\n')])
    return Buffer.concat([start, Buffer.from(`"sha256":"${sha256Of(start)}"}\n`)])
  }
  await expectRefusal('ERR_BACKUP_CORRUPT', () => decodeManifest(seal(body), 'one'))
  await decodeManifest(seal(Buffer.from(text)), 'one')
})

test('a single bit changed anywhere, and any byte more or less, is damage', async () => {
  const bytes = Buffer.from(await encodeManifest(manifestOf('one')))
  const codes = new Set<string>()
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    bytes[bit >> 3]! ^= 1 << (bit & 7)
    codes.add(await codeOfDecoding(bytes))
    bytes[bit >> 3]! ^= 1 << (bit & 7)
  }
  for (let length = 0; length < bytes.length; length++) {
    codes.add(await codeOfDecoding(bytes.subarray(0, length)))
    codes.add(await codeOfDecoding(bytes.subarray(bytes.length - length)))
  }
  codes.add(await codeOfDecoding(Buffer.concat([bytes, Buffer.from('\n')])))
  codes.add(await codeOfDecoding(Buffer.concat([bytes, bytes])))
  expect([...codes]).toEqual(['ERR_BACKUP_CORRUPT'])
  expect(await codeOfDecoding(bytes)).toBe('none')
})

test('deep nesting, in the metadata or anywhere, overflows nothing', async () => {
  for (const count of [200, 100_000, 5_000_000]) {
    const deep = '['.repeat(count) + ']'.repeat(count)
    const text = JSON.stringify(withTables(table({ metadata: 'DEEP' }))).replace('"DEEP"', deep)
    expect((await refused(text)).message).toContain('deeper')
    await refused('['.repeat(count))
    await refused(`{"a":`.repeat(count))
  }
  const shallow = '['.repeat(100) + ']'.repeat(100)
  const text = JSON.stringify(withTables(table({ metadata: 'DEEP' }))).replace('"DEEP"', shallow)
  await decodeManifest(sealed(text), 'one')
})

test('brackets and commas in strings are not counted', async () => {
  const metadata = { text: `${'[{,"\\'.repeat(10_000)}` }
  const manifest = manifestOf('one', { tables: [{ ...tableOf('one', 't', {}), metadata }] })
  expect(await decodeManifest(await encodeManifest(manifest), 'one')).toEqual(manifest)
})

test('more values than memory could hold are refused before they are made', async () => {
  const text = JSON.stringify(withTables(table({ metadata: 'MANY' })))
  const many = text.replace('"MANY"', () => `[${'[],'.repeat(9_000_000)}0]`)
  expect((await refused(many)).message).toContain('values')
})

test('keys of the metadata may be called anything and change nothing', async () => {
  const metadata =
    '{"__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}},"toString":1}'
  const text = JSON.stringify(withTables(table({ metadata: 'KEYS' }))).replace('"KEYS"', metadata)
  const manifest = await decodeManifest(sealed(text), 'one')
  expect(({} as { polluted?: number }).polluted).toBeUndefined()
  expect('polluted' in manifest).toBe(false)
  expect(JSON.stringify(manifest.tables[0]?.metadata)).toBe(metadata)
  expect(await decodeManifest(await encodeManifest(manifest), 'one')).toEqual(manifest)
})

test('what cannot be read is not written', async () => {
  const wrong: Partial<Manifest>[] = [
    { name: '../one' },
    { createdAt: 'yesterday' },
    { requires: ['zero'] },
    { tables: [tableOf('one', 't', { '../x': 'y' })] },
    { tables: [{ ...tableOf('one', 't', {}), metadata: 1n }] },
    { tables: [tableOf('one', 't', {}), tableOf('one', 't', {})] },
  ]
  const circle: unknown[] = []
  circle.push(circle)
  wrong.push({ tables: [{ ...tableOf('one', 't', {}), metadata: circle }] })
  for (const changes of wrong) {
    await expectRefusal('ERR_INVALID_ARGUMENT', () => encodeManifest(manifestOf('one', changes)))
  }
})

/** Of 200,000 files; how often others had a turn until `run` was done with it. */
async function turnsDuring(run: (manifest: Manifest) => Promise<void>): Promise<number> {
  const files = Array.from({ length: 200_000 }, (_, at) => {
    const path = `data/${at % 7}/part_${at >> 4}/proj.proj/${at}.bin`
    return { path, sizeBytes: at, sha256: hash }
  })
  let turns = 0
  let isOver = false
  const turn = (): void => {
    turns++
    if (!isOver) setImmediate(turn)
  }
  const manifest = manifestOf('one', { tables: [{ name: 't', owner: 'one', files }] })
  setImmediate(turn)
  await run(manifest)
  isOver = true
  return turns
}

test('a large manifest is written and read in turns', async () => {
  let bytes: Uint8Array = Buffer.alloc(0)
  const writing = await turnsDuring(async (manifest) => {
    bytes = await encodeManifest(manifest)
  })
  const reading = await turnsDuring(async (manifest) => {
    const read = await decodeManifest(bytes, 'one')
    expect(read.tables[0]?.files.length).toBe(manifest.tables[0]?.files.length)
    expect(read.tables[0]?.files.at(-1)).toEqual(manifest.tables[0]?.files.at(-1))
  })
  // A portion of each step is at most 128 KiB: hashing, looking, parsing, proving.
  const portions = bytes.length / (128 << 10)
  expect(reading).toBeGreaterThan(3 * portions)
  expect(writing).toBeGreaterThan(3 * portions)
})

test('reading a large manifest can be cancelled', async () => {
  let done = 0
  await turnsDuring(async (manifest) => {
    const bytes = sealed(manifest)
    const cancelling = new AbortController()
    const reading = decodeManifest(bytes, 'one', cancelling.signal).finally(() => done++)
    setImmediate(() => cancelling.abort(new Error('enough')))
    await expectRefusal('ERR_ABORTED', () => reading)
  })
  expect(done).toBe(1)
})

test('reading stops where no manifest could be that large', async () => {
  const target = new MemoryTarget()
  target.objects.set('one/manifest.json', Buffer.alloc(manifestBytesMax + (1 << 20), 0x20))
  const error = await expectRefusal('ERR_BACKUP_CORRUPT', () => readManifest(target, 'one'))
  expect(error.message).toContain('bytes')
})

test('reading says what is not there, and what is there under another name', async () => {
  const target = new MemoryTarget()
  const missing = await expectRefusal('ERR_NOT_FOUND', () => readManifest(target, 'one'))
  expect(missing.message).toContain('"one"')
  await target.put('two/manifest.json', await encodeManifest(manifestOf('one')))
  await expectRefusal('ERR_BACKUP_CORRUPT', () => readManifest(target, 'two'))
  await expectRefusal('ERR_INVALID_ARGUMENT', () => readManifest(target, '../two'))
})

test('whatever is changed in a manifest, it is read or refused with a known code', async () => {
  let accepted = 0
  const property = fc.asyncProperty(mutations, async (changes) => {
    const manifest = structuredClone(seed) as unknown
    for (const change of changes) mutate(manifest, change)
    const code = await codeOfDecoding(sealed(JSON.stringify(manifest)))
    expect(['none', 'ERR_BACKUP_CORRUPT', 'ERR_VERSION']).toContain(code)
    if (code === 'none') accepted++
  })
  await holds(property, 3000)
  expect(accepted, 'some changes do no harm').toBeGreaterThan(0)
})

test('whatever text is sealed, it is refused with a known code', async () => {
  const property = fc.asyncProperty(fc.oneof(fc.json(), fc.string(), fc.json()), async (text) => {
    const code = await codeOfDecoding(sealed(text))
    expect(['ERR_BACKUP_CORRUPT', 'ERR_VERSION']).toContain(code)
  })
  await holds(property, 1000)
})

const seed = manifestOf('one', {
  tables: [
    { ...tableOf('one', 'a', { 'x/y': '1', z: '2' }), metadata: { a: [1, { b: null }] } },
    { ...tableOf('zero', 'b', { z: '2' }), version: 'v' },
  ],
  requires: ['zero'],
})

interface Change {
  /** Which of the values, in the order in which they are met. */
  readonly at: number
  readonly kind: 'replace' | 'remove' | 'repeat'
  readonly value: unknown
}

const oddValues = [null, '', '..', 'one', 'zero', 0, -1, [], {}, '/', 'x/y', '\u0000', hash, true]
const mutations = fc.array(
  fc.record({
    at: fc.nat(60),
    kind: fc.constantFrom('replace' as const, 'remove' as const, 'repeat' as const),
    value: fc.oneof(fc.constantFrom(...oddValues), fc.jsonValue()),
  }),
  { minLength: 1, maxLength: 3 },
)

function mutate(root: unknown, change: Change): void {
  const places: [Record<string, unknown>, string][] = []
  const visit = (value: unknown): void => {
    if (typeof value !== 'object' || value === null) return
    for (const key of Object.keys(value)) {
      places.push([value as Record<string, unknown>, key])
      visit((value as Record<string, unknown>)[key])
    }
  }
  visit(root)
  const place = places[change.at % Math.max(1, places.length)]
  if (place === undefined) return
  const [parent, key] = place
  if (change.kind === 'remove') delete parent[key]
  else if (change.kind === 'repeat' && Array.isArray(parent)) parent.push(parent[Number(key)])
  else parent[key] = change.value
}

async function codeOfDecoding(bytes: Uint8Array): Promise<string> {
  try {
    await decodeManifest(bytes, 'one')
    return 'none'
  } catch (error) {
    return error instanceof HotboltError ? error.code : String(error)
  }
}
