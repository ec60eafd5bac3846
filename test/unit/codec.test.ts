// Codecs, and the bounds of ranges: what bytes are made of and into.
import { expect, test } from 'vitest'
import { everything, successor, toBounds } from '../../lib/database/bounds.ts'
import { keyCodec, valueCodec } from '../../lib/database/codec.ts'

const at = (text: string): [Buffer, number, number] => {
  const bytes = Buffer.from(text)
  return [Buffer.concat([Buffer.from('__'), bytes, Buffer.from('__')]), 2, 2 + bytes.length]
}

test.each([0, 1, 23, 24, 25, 1000])('a copy of %i bytes is of its own', (size) => {
  const scratch = Buffer.alloc(size + 8, 1)
  const copy = valueCodec('buffer').copy(scratch, 4, size + 4)
  scratch.fill(2)
  expect(copy).toEqual(Buffer.alloc(size, 1))
})

test('a view of a slab shares its memory', () => {
  const slab = Buffer.from('abcdef')
  const view = valueCodec('buffer').view(slab, 1, 3)
  slab[1] = 0x7a
  expect(view.toString()).toBe('zc')
})

test('text survives, beyond ASCII too', () => {
  const text = 'h\u00e9llo \u{1f600}'
  expect(valueCodec('utf8').copy(...at(text))).toBe(text)
  expect(valueCodec('utf8').view(...at(text))).toBe(text)
  expect(keyCodec('utf8').view(...at(text))).toBe(text)
  expect(keyCodec('buffer').view(...at(text))).toEqual(Buffer.from(text))
})

test('JSON survives', () => {
  const codec = valueCodec('json')
  const value = { name: 'Ada', born: [1815, 12, 10], '\u00e9': null }
  const encoded = codec.encode(value)
  expect(codec.copy(...at(encoded as string))).toEqual(value)
  expect(codec.view(...at(encoded as string))).toEqual(value)
})

const circular: unknown[] = []
circular.push(circular)
const shapeless = [undefined, () => 1, Symbol('s'), 1n, circular]
test.each(shapeless)('a value without a JSON form is refused (%#)', (value) => {
  expect(() => valueCodec('json').encode(value)).toThrow(
    expect.objectContaining({ code: 'ERR_CODEC' }),
  )
})

test('bytes that are not JSON are refused', () => {
  expect(() => valueCodec('json').copy(...at('{"cut'))).toThrow(
    expect.objectContaining({ code: 'ERR_CODEC', cause: expect.any(SyntaxError) }),
  )
})

test('bytes and text are passed on as they are given', () => {
  const bytes = new Uint8Array([1, 2])
  expect(valueCodec('buffer').encode(bytes)).toBe(bytes)
  expect(valueCodec('utf8').encode('text')).toBe('text')
})

test('the successor of a prefix is the least key beyond it', () => {
  expect(successor('ab')).toEqual(Buffer.from('ac'))
  expect(successor(new Uint8Array([1, 0xff]))).toEqual(Buffer.from([2]))
  expect(successor(new Uint8Array([0, 0xff, 0xff]))).toEqual(Buffer.from([1]))
  expect(successor(new Uint8Array([0xff, 0xff]))).toBeUndefined()
  expect(successor('')).toBeUndefined()
})

test('the successor leaves the prefix as it was', () => {
  const prefix = new Uint8Array([1, 2])
  successor(prefix)
  expect(prefix).toEqual(new Uint8Array([1, 2]))
})

test('without options everything is in bounds', () => {
  expect(toBounds({})).toEqual(everything)
})

test('a prefix alone is a half-open range', () => {
  expect(toBounds({ prefix: 'a' })).toEqual({
    lower: 'a',
    lowerInclusive: true,
    upper: Buffer.from('b'),
    upperInclusive: false,
  })
})

test('the tightest bound wins, by bytes', () => {
  const within = { prefix: 'a', gt: 'ab', lte: 'ax' }
  expect(toBounds(within)).toEqual({
    lower: 'ab',
    lowerInclusive: false,
    upper: 'ax',
    upperInclusive: true,
  })
  const beyond = { prefix: 'a', gte: 'A', lt: 'c' }
  expect(toBounds(beyond)).toEqual(toBounds({ prefix: 'a' }))
  // As UTF-16 the first of these two would be the greater.
  expect(toBounds({ gte: '\uffee', gt: '\u{10000}' }).lower).toBe('\u{10000}')
})

test('of equal bounds the exclusive one wins', () => {
  expect(toBounds({ gte: 'a', gt: 'a', lte: 'b', lt: 'b' })).toEqual({
    lower: 'a',
    lowerInclusive: false,
    upper: 'b',
    upperInclusive: false,
  })
})
