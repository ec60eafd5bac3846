// The one error class.
import { inspect } from 'node:util'
import { expect, test } from 'vitest'
import { errorCodes, HotboltError, toHotboltError } from '../../lib/errors.ts'

test('an error carries the details that apply, and has no others', () => {
  const cause = new Error('no')
  const error = new HotboltError('ERR_IO', 'a sync failed', {
    errno: 5,
    syscall: 'fdatasync',
    path: '/data.db',
    page: undefined,
    cause,
  })
  expect(Object.fromEntries(Object.entries(error))).toEqual({
    code: 'ERR_IO',
    errno: 5,
    syscall: 'fdatasync',
    path: '/data.db',
  })
  expect(error.cause).toBe(cause)
  expect('page' in error).toBe(false)
  expect('cause' in new HotboltError('ERR_CLOSED', 'closed')).toBe(false)
})

test('page 0 is a detail', () => {
  expect(new HotboltError('ERR_CORRUPT', 'damaged', { page: 0 }).page).toBe(0)
})

test('an error is an Error with a name and a stack that starts with it', () => {
  const error = new HotboltError('ERR_LOCKED', 'in use')
  expect(error).toBeInstanceOf(Error)
  expect(error.name).toBe('HotboltError')
  expect(String(error)).toBe('HotboltError: in use')
  expect(inspect(error)).toContain('HotboltError: in use')
  expect(Object.keys(error)).toEqual(['code'])
})

test('is() matches the class, and a code when it is given', () => {
  const error = new HotboltError('ERR_BUSY', 'busy')
  expect(HotboltError.is(error)).toBe(true)
  expect(HotboltError.is(error, 'ERR_BUSY')).toBe(true)
  expect(HotboltError.is(error, 'ERR_CLOSED')).toBe(false)
  expect(HotboltError.is({ code: 'ERR_BUSY' }, 'ERR_BUSY')).toBe(false)
  expect(HotboltError.is(undefined)).toBe(false)
})

test('a foreign error becomes the cause of ERR_INTERNAL, an own one stays itself', () => {
  const foreign = new TypeError('x is not a function')
  expect(toHotboltError(foreign)).toMatchObject({ code: 'ERR_INTERNAL', cause: foreign })
  const own = new HotboltError('ERR_IO', 'no')
  expect(toHotboltError(own)).toBe(own)
})

test('codes are unique and look like codes', () => {
  expect(new Set(errorCodes).size).toBe(errorCodes.length)
  expect(errorCodes.filter((code) => !/^ERR_[A-Z_]+$/.test(code))).toEqual([])
})
