// The ledger of others' bugs (test/ledger/README.md) and the tests it names agree.
import { expect, test } from 'vitest'
import { read, repositoryFiles } from '../support/sources.ts'

const rowCount = 43

interface Named {
  readonly file: string
  readonly name: string
}

const key = ({ file, name }: Named): string => `${file}: ${name}`

/** The rows of the table: their number, and the tests that their last column names. */
function rows(): { number: number; tests: Named[]; reason: string }[] {
  const lines = read('test/ledger/README.md').split('\n')
  return lines.flatMap((line) => {
    const cells = line.split(/(?<!\\)\|/).map((cell) => cell.trim())
    if (!/^\d+$/.test(cells[1] ?? '')) return []
    const last = cells.at(-2) ?? ''
    const named = last.split('<br>').flatMap((part) => {
      const [, file = '', name = ''] = /^`(\S+)`: (.+)$/.exec(part.trim()) ?? []
      return file === '' ? [] : [{ file: `test/${file}`, name }]
    })
    return [{ number: Number(cells[1]), tests: named, reason: last }]
  })
}

const nativeTest = /^TEST\(\s*(")((?:[^"\\]|\\.)*)"/gm
/** Between the parenthesis and the name there may be the tools that a test needs. */
const scriptTest =
  /\btest(?:If|\.each\([^)]*\))?\(\s*(?:'[\w-]+',\s*|\[[^\]]*\],\s*)?(['"`])((?:(?!\1).)*)\1/g

function testsIn(file: string): Named[] {
  const call = file.endsWith('.cc') ? nativeTest : scriptTest
  return [...read(file).matchAll(call)].map((match) => ({ file, name: match[2] ?? '' }))
}

test('the ledger has a row for each bug, and a test or a reason in each', () => {
  expect(rows().map(({ number }) => number)).toEqual(
    Array.from({ length: rowCount }, (_, index) => index + 1),
  )
  expect(rows().filter(({ tests, reason }) => tests.length === 0 && reason === '')).toEqual([])
})

test('each test that the ledger names exists', () => {
  const named = rows().flatMap(({ tests }) => tests)
  const files = [...new Set(named.map(({ file }) => file))]
  const existing = new Set(files.flatMap(testsIn).map(key))
  expect(named.map(key).filter((name) => !existing.has(name))).toEqual([])
})

test('each test of the ledger is named in it', () => {
  const folder = /^test\/(ledger\/.*\.test\.ts|native\/ledger_test\.cc)$/
  const existing = repositoryFiles()
    .filter((file) => folder.test(file))
    .flatMap(testsIn)
  const named = new Set(rows().flatMap(({ tests }) => tests.map(key)))
  expect(existing.length).toBeGreaterThan(40)
  expect(existing.map(key).filter((name) => !named.has(name))).toEqual([])
})
