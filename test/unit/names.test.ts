// Names of stores and tables as names of files: no two meet, also where file names ignore case or
// normalize accents, and every one that is in the file name can be read back.

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { decodeName, encodeName, nameBytesMax, requireName } from '../../lib/names.ts'
import { holds } from '../support/property.ts'
import { refusalOf } from '../support/with-database.ts'

/** Few characters, so that names come close to each other, and then any. */
const close = fc.array(
  fc.constantFrom(...Array.from('aA%-._~ /\\0'), '\u00e9', 'e\u0301', '\ufb01', '\u2126'),
)
const names = fc
  .oneof(
    close.map((characters) => characters.join('')),
    fc.string({ unit: 'binary', maxLength: 300 }),
    fc.string({ unit: 'grapheme', maxLength: 300 }),
  )
  .filter((name) => refusalOf(() => requireName(name)) === undefined)

/** What file systems do to names: nothing, or ignore case, or normalize, or both. */
const treatments: ((file: string) => string)[] = [
  (file) => file,
  (file) => file.toLowerCase(),
  (file) => file.toUpperCase(),
  (file) => file.normalize('NFC'),
  (file) => file.normalize('NFD'),
  (file) => file.normalize('NFKD').toLowerCase(),
]

test('two names never have one file name, whatever a file system makes of it', async () => {
  const property = fc.asyncProperty(names, names, async (one, other) => {
    fc.pre(one !== other)
    for (const treat of treatments) {
      expect(treat(encodeName(one))).not.toBe(treat(encodeName(other)))
    }
  })
  await holds(property, 5000)
})

test('nor do names that differ by case or normalization alone', async () => {
  const property = fc.asyncProperty(names, async (name) => {
    const variants = [name.toUpperCase(), name.toLowerCase(), name.normalize('NFD')]
    const distinct = new Set([name, ...variants].filter((each) => Buffer.byteLength(each) <= 1024))
    const files = [...distinct].map((each) => encodeName(each).toLowerCase().normalize('NFC'))
    expect(new Set(files).size).toBe(distinct.size)
  })
  await holds(property, 2000)
})

test('decoding gives the name back, or nothing when it is too long', async () => {
  const property = fc.asyncProperty(names, async (name) => {
    const file = encodeName(name)
    expect(decodeName(file)).toBe(file.startsWith('%~') ? undefined : name)
  })
  await holds(property, 5000)
})

test('a file name is short, plain, never hidden, and no path', async () => {
  const property = fc.asyncProperty(names, async (name) => {
    expect(encodeName(name)).toMatch(/^(?:%~[0-9a-f]{64}|[a-z0-9_%-][a-z0-9_.%-]{0,199})$/)
  })
  await holds(property, 2000)
})

test('only what encoding gives is decoded', async () => {
  const files = fc.array(
    fc.constantFrom(...Array.from('aA0%.~-_/'), '%41', '%e9', '%c3%a9', '%2e', '%00'),
  )
  const property = fc.asyncProperty(files, async (parts) => {
    const file = parts.join('')
    const name = decodeName(file)
    if (name !== undefined) expect(encodeName(name)).toBe(file)
  })
  await holds(property, 5000)
})

test('some of them', () => {
  const expected: [string, string][] = [
    ['users', 'users'],
    ['Users', '%55sers'],
    ['..', '%2e.'],
    ['.hidden', '%2ehidden'],
    ['v1.2', 'v1.2'],
    ['a/b', 'a%2fb'],
    ['a\0b', 'a%00b'],
    ['CON', '%43%4f%4e'],
    ['50%', '50%25'],
    ['\u00e9', '%c3%a9'],
    ['\u{1f600}', '%f0%9f%98%80'],
  ]
  expect(expected.map(([name]) => [name, encodeName(name)])).toEqual(expected)
})

describe('what is no name', () => {
  test.each([
    ['nothing', ''],
    ['no string', 7],
    ['undefined', undefined],
    ['an array that looks like one', ['users']],
    ['half a surrogate pair', 'a\ud800'],
    ['too many bytes', 'x'.repeat(nameBytesMax + 1)],
    ['too many bytes of two each', '\u00e9'.repeat(nameBytesMax / 2 + 1)],
  ])('%s', (_what, name) => {
    expect(refusalOf(() => requireName(name))).toBe('ERR_INVALID_ARGUMENT')
  })

  test('the longest that is one', () => {
    expect(refusalOf(() => requireName('\u00e9'.repeat(nameBytesMax / 2)))).toBeUndefined()
  })
})
