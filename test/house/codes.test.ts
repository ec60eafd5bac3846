// The error codes exist twice, in native/core/error.h and in lib/errors.ts: in the same order and
// once each. README.md and docs/ name no other.
import { expect, test } from 'vitest'
import { guides, read } from '../support/sources.ts'

function nativeCodes(): string[] {
  const table = /#define HOTBOLT_ERROR_CODES\(X\)((?:.*\\\n)+.*)/.exec(read('native/core/error.h'))
  return [...(table?.[1] ?? '').matchAll(/\bX\((ERR_[A-Z_]+),/g)].map((match) => match[1] ?? '')
}

function typescriptCodes(): string[] {
  const list = /export const errorCodes = \[([\s\S]*?)\]/.exec(read('lib/errors.ts'))
  return [...(list?.[1] ?? '').matchAll(/'(ERR_[A-Z_]+)'/g)].map((match) => match[1] ?? '')
}

test('native and TypeScript list the same error codes in the same order', () => {
  expect(nativeCodes().length, 'the native table is found').toBeGreaterThan(10)
  expect(typescriptCodes()).toEqual(nativeCodes())
})

test('no error code is listed twice', () => {
  const codes = nativeCodes()
  expect(codes.filter((code, index) => codes.indexOf(code) !== index)).toEqual([])
})

test.for(guides())('every code that %s names is in the list', (guide) => {
  const codes = new Set(nativeCodes())
  const named = read(guide).match(/\bERR_[A-Z_]+\b/g) ?? []
  expect(named.filter((code) => !codes.has(code))).toEqual([])
})
