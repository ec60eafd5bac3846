// The house rules that no linter knows. Functions of at most 70 lines in lib are the linter's job
// (max-lines-per-function in .oxlintrc.json). Each test collects every offender before it fails.
import { expect, test } from 'vitest'
import { belongsTo } from '../../native/sources.mjs'
import { importsOf, read, repositoryFiles } from '../support/sources.ts'

const files = repositoryFiles()
const matching = (pattern: RegExp): string[] => files.filter((file) => pattern.test(file))

const scripts = matching(/\.(ts|mjs)$/)
const cpp = matching(/\.(cc|h)$/)
const sources = [...scripts, ...cpp]
const tests = matching(/^test\/.*\.(ts|cc|h)$/)

const linesOf = (file: string): string[] => read(file).replace(/\n$/, '').split('\n')

/** `file:line` of every line that the predicate refuses. */
function offendingLines(among: string[], refuse: (line: string) => boolean): string[] {
  return among.flatMap((file) =>
    linesOf(file).flatMap((line, index) => (refuse(line) ? [`${file}:${index + 1}`] : [])),
  )
}

test('files stay short: 500 lines, tests 800', () => {
  const limit = (file: string): number => (file.startsWith('test/') ? 800 : 500)
  const long = sources.filter((file) => linesOf(file).length > limit(file))
  expect(long.map((file) => `${file}: ${linesOf(file).length} lines`)).toEqual([])
})

test('lines stay short: 100 characters in TypeScript, 120 in C++', () => {
  expect(offendingLines(scripts, (line) => line.length > 100)).toEqual([])
  expect(offendingLines(cpp, (line) => line.length > 120)).toEqual([])
})

test('sources are ASCII, so that editors, terminals and diffs agree on them', () => {
  expect(offendingLines(sources, (line) => /[^\t\x20-\x7e]/.test(line))).toEqual([])
})

test('every source opens with a comment that says what it is', () => {
  const opens = /^(#!.*\n)?\s*(\/\/|\/\*)/
  expect(sources.filter((file) => !opens.test(read(file)))).toEqual([])
})

test('nothing is left to be fixed, and no test runs alone', () => {
  // Spelled in two parts, so that this file does not find itself.
  const unfinished = new RegExp(`\\b(${['FIX', 'ME|X', 'XX'].join('')})\\b`)
  expect(offendingLines(sources, (line) => unfinished.test(line))).toEqual([])
  const alone = /\b(test|it|describe)\.only\b/
  expect(offendingLines(tests, (line) => alone.test(line))).toEqual([])
})

test('tests await events instead of sleeping', () => {
  // setTimeout as a deadline that rejects is allowed; as a promise that merely resolves later not.
  const sleeps = [
    /setTimeout\(\s*(resolve|res|r|done|ok)\b/,
    /setTimeout\(\s*\(\)\s*=>\s*\{?\s*(resolve|res|r|done|ok)\(/,
    /node:timers\/promises['"]/,
    /\bsleep_(for|until)\(|\b(u|nano)?sleep\(/,
  ]
  const found = offendingLines(tests, (line) => sleeps.some((sleep) => sleep.test(line)))
  expect(found.filter((place) => !place.startsWith('test/house/'))).toEqual([])
})

// What is made first and closed to others later is open for a moment where the umask allows it; and
// the name may lead elsewhere by then.
test('a directory is made with its mode, and no mode or owner is set through a path', () => {
  const lib = matching(/^lib\//)
  expect(offendingLines(lib, (line) => /(?<!\w)mkdir\((?!.*\bmode\b)/.test(line))).toEqual([])
  expect(offendingLines(lib, (line) => /(?<![\w.])l?ch(mod|own)\b.*[({,]/.test(line))).toEqual([])
})

test('every C++ source under native is found by the globs of the build', () => {
  const platforms = ['linux', 'darwin', 'win32']
  const compiled = cpp.filter((file) => file.startsWith('native/') && file.endsWith('.cc'))
  const lost = compiled.filter((file) => {
    const [, folder, name = ''] = /^native\/(.*)\/([^/]+)$/.exec(file) ?? []
    const known = ['core', 'platform', 'binding'].includes(folder ?? '')
    return !known || !platforms.some((platform) => belongsTo(platform, name))
  })
  expect(lost).toEqual([])
})

test('every module in lib is an entry point or is imported', () => {
  const entries = ['index.ts', 'main.ts']
  const exported = JSON.stringify([JSON.parse(read('package.json'))])
  const lib = matching(/^lib\/.*\.ts$/)
  const imported = new Set(
    lib.flatMap((file) =>
      importsOf(read(file)).map((name) => new URL(name, `file:///${file}`).pathname.slice(1)),
    ),
  )
  const isExported = (file: string): boolean =>
    exported.includes(`dist/${file.replace(/\.ts$/, '.js')}`)
  const dead = lib.filter(
    (file) =>
      !imported.has(file) && !isExported(file) && !entries.some((name) => file === `lib/${name}`),
  )
  expect(dead).toEqual([])
})

test("no file names a path of somebody's machine or a package registry", () => {
  // Joined here, so that this file does not find itself.
  const places = [
    ['', 'work', ''].join('/'),
    ['', 'home', ''].join('/'),
    ['regis', 'try.npmjs'].join(''),
  ]
  const texts = files.filter((file) =>
    /\.(ts|mjs|cc|h|json|md|go|yml|gyp|txt)$|(^|\/)\.?\w+$/.test(file),
  )
  const named = offendingLines(texts, (line) =>
    places.some((place) => new RegExp(`(^|[^\\w.-])${place.replaceAll('.', '\\.')}`).test(line)),
  )
  expect(named).toEqual([])
})
