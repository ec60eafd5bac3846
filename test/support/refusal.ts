// A refusal is a HotboltError with its code and a sentence that helps, and leaves nothing open.

import { expect } from 'vitest'
import { HotboltError, type ErrorCode } from '../../lib/index.ts'
import { openFilesIn } from './with-database.ts'

export async function errorOf(run: () => unknown): Promise<unknown> {
  try {
    await run()
  } catch (error) {
    return error
  }
  return undefined
}

/** Gives the error that `run` throws or rejects with, which has to have this code. */
export async function expectRefusal(
  code: ErrorCode | readonly ErrorCode[],
  run: () => unknown,
): Promise<HotboltError> {
  const error = await errorOf(run)
  expect(error, `${String(run)} is refused`).toBeInstanceOf(HotboltError)
  const refusal = error as HotboltError
  const codes = typeof code === 'string' ? [code] : code
  expect(codes, refusal.message).toContain(refusal.code)
  // A sentence: more than a word, and nothing that only a programmer of hotbolt understands.
  expect(refusal.message).toMatch(/\S+ \S+ \S+/)
  const withoutTheValue = refusal.message.replace(/, got .*/, '')
  expect(withoutTheValue).not.toMatch(/undefined|\[object|NaN|std::|bad_alloc/)
  return refusal
}

/** The same for opening a file: the error names it, and no descriptor stays open. */
export async function expectOpenRefusal(
  code: ErrorCode | readonly ErrorCode[],
  directory: string,
  run: () => Promise<unknown>,
): Promise<HotboltError> {
  const error = await expectRefusal(code, run)
  expect(`${error.message} ${error.path ?? ''}`).toContain(directory)
  expect(openFilesIn(directory), 'no descriptor stays open').toEqual([])
  return error
}
