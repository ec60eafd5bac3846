// Defaults and validation of all public options.
import { expect, test } from 'vitest'
import {
  checkBucketOptions,
  checkCountOptions,
  checkRangeOptions,
  resolveDefragOptions,
  resolveOpenOptions,
  resolveUpdateOptions,
} from '../../lib/options.ts'
import { invalid } from '../../lib/rules.ts'

const refused = (message: string): unknown =>
  expect.objectContaining({ code: 'ERR_INVALID_ARGUMENT', message })

test('opening has defaults', () => {
  const defaults = {
    readOnly: false,
    create: true,
    mode: 0o600,
    lockTimeoutMs: 0,
    sync: 'always',
    syncIntervalMs: 100,
    checkpoint: 'auto',
    checkpointBytes: 33_554_432,
    checkpointIntervalMs: 10_000,
    checkpointIdleMs: 1000,
    maxRetainedBytes: 268_435_456,
  }
  expect(resolveOpenOptions()).toEqual(defaults)
  expect(resolveOpenOptions({})).toEqual(defaults)
})

test('an option given as undefined keeps its default', () => {
  const resolved = resolveOpenOptions({ sync: undefined, pageSize: undefined, mode: 0o640 })
  expect(resolved).toMatchObject({ sync: 'always', mode: 0o640 })
  expect(resolveDefragOptions({ fillPercent: undefined }).fillPercent).toBe(0.9)
  expect(resolveUpdateOptions({ retries: undefined }).retries).toBe(10)
})

test.each([
  [
    { checkpointBytes: 'x' },
    'Expected `checkpointBytes` to be a positive integer, got "x" (string)',
  ],
  [{ checkpointBytes: 0 }, 'Expected `checkpointBytes` to be a positive integer, got 0 (number)'],
  [
    { maxRetainedBytes: 1.5 },
    'Expected `maxRetainedBytes` to be a positive integer, got 1.5 (number)',
  ],
  [{ readOnly: null }, 'Expected `readOnly` to be a boolean, got null'],
  [{ create: [] }, 'Expected `create` to be a boolean, got an array'],
  [{ mode: 0o1000 }, 'Expected `mode` to be an integer from 0 to 0o777, got 512 (number)'],
  [
    { pageSize: 3000 },
    'Expected `pageSize` to be a power of two from 1024 to 65536, got 3000 (number)',
  ],
  [
    { pageSize: 512 },
    'Expected `pageSize` to be a power of two from 1024 to 65536, got 512 (number)',
  ],
  [
    { lockTimeoutMs: -1 },
    'Expected `lockTimeoutMs` to be an integer from 0 to 4294967295, got -1 (number)',
  ],
  [
    { sync: 'often' },
    "Expected `sync` to be 'always', 'interval' or 'never', got \"often\" (string)",
  ],
  [
    { syncIntervalMs: 5n },
    'Expected `syncIntervalMs` to be an integer from 1 to 4294967295, got 5 (bigint)',
  ],
  [{ checkpoint: () => 0 }, "Expected `checkpoint` to be 'auto' or 'flush', got a function"],
])('opening refuses %o', (options, message) => {
  expect(() => resolveOpenOptions(options as never)).toThrow(refused(message))
})

test('page sizes of bbolt files are accepted', () => {
  for (const pageSize of [1024, 2048, 4096, 8192, 16_384, 32_768, 65_536]) {
    expect(resolveOpenOptions({ pageSize }).pageSize).toBe(pageSize)
  }
})

test('an unknown option is refused by name', () => {
  expect(() => resolveUpdateOptions({ retry: 3 } as never)).toThrow(
    refused('Unknown option `retry`, known are `retries`'),
  )
  expect(() => resolveOpenOptions({ toString: 1 } as never)).toThrow(/Unknown option `toString`/)
})

test('options that are no object are refused', () => {
  expect(() => resolveOpenOptions(7 as never)).toThrow(
    refused('Expected `options` to be an object, got 7 (number)'),
  )
  expect(() => resolveOpenOptions(null as never)).toThrow(
    refused('Expected `options` to be an object, got null'),
  )
})

test('ranges take bounds of bytes, a direction and a limit', () => {
  const options = { gte: 'a', lt: new Uint8Array([1]), prefix: '', reverse: true, limit: 0 }
  expect(checkRangeOptions(options)).toEqual(options)
  expect(() => checkRangeOptions({ gt: 1 } as never)).toThrow(
    refused('Expected `gt` to be a string or a Uint8Array, got 1 (number)'),
  )
  expect(() => checkRangeOptions({ limit: -1 })).toThrow(
    refused('Expected `limit` to be an integer of 0 or more, got -1 (number)'),
  )
  expect(() => checkCountOptions({ limit: 1 } as never)).toThrow(/Unknown option `limit`/)
})

test('a bucket handle takes the names of codecs', () => {
  expect(checkBucketOptions({ key: 'utf8', value: 'json' })).toEqual({ key: 'utf8', value: 'json' })
  expect(() => checkBucketOptions({ key: 'json' } as never)).toThrow(
    refused("Expected `key` to be 'buffer' or 'utf8', got \"json\" (string)"),
  )
})

test('a defragmentation takes a signal, a callback, a fill and a speed', () => {
  const { signal } = new AbortController()
  const onProgress = (): void => {}
  const given = { signal, onProgress, fillPercent: 1, bytesPerSecond: 1000 }
  expect(resolveDefragOptions(given)).toEqual(given)
  expect(() => resolveDefragOptions({ fillPercent: 0 })).toThrow(
    refused('Expected `fillPercent` to be a number from 0.1 to 1, got 0 (number)'),
  )
  expect(() => resolveDefragOptions({ fillPercent: Number.NaN })).toThrow(/got NaN \(number\)/)
  expect(() => resolveDefragOptions({ signal: {} } as never)).toThrow(
    refused('Expected `signal` to be an AbortSignal, got an object'),
  )
})

test('long strings are shortened in messages', () => {
  expect(invalid('name', 'short', 'x'.repeat(1000)).message.length).toBeLessThan(100)
})
