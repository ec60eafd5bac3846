// Parses large JSON in turns, which somebody else may have written.
//
// JSON.parse() cannot be interrupted, so it is given pieces. A scan of the bytes finds the objects
// and arrays that are larger than a piece, and cuts each of them at commas of its own level:
//
//   [ piece , piece , key: larger one inside , piece ]
//
// A piece is parsed between brackets of its kind. The scan only knows strings, brackets and commas:
// that all else is JSON is left to the parser. It also counts, before a value is made: nesting and
// number of the values are bounded, for a few bytes of text may become a large object.

import { HotboltError } from '../errors.ts'
import { corrupt } from './json-proof.ts'
import { turnBytes, type Turns } from './turns.ts'

export interface JsonLimits {
  /** What is parsed at once, as far as commas allow it. */
  readonly pieceBytes: number
  readonly depthMax: number
  readonly valuesMax: number
}

const quote = 0x22
const backslash = 0x5c
const comma = 0x2c
const openingBracket = 0x5b
const openingBrace = 0x7b
const closingBracket = 0x5d
const closingBrace = 0x7d

/** Parsing this much at once is still a turn that nobody notices. */
const pieceBytesMax = 8 << 20

/** From `start` up to `end`; `inner`: the one large object or array in it. */
interface Piece {
  readonly start: number
  readonly end: number
  readonly inner?: Container | undefined
}

/** An object or array that is open, or larger than a piece. */
interface Container {
  readonly isArray: boolean
  /** Of its brackets; the end is behind the closing one. */
  readonly start: number
  end: number
  /** Without the newest, which begins behind the last cut. */
  readonly pieces: Piece[]
  cut: number
  /** The newest comma of its level. */
  comma: number
  /** It has ended in the newest piece. */
  inner: Container | undefined
}

/** ERR_BACKUP_CORRUPT: it is not JSON in UTF-8, or goes beyond a limit. */
export async function parseJson(
  bytes: Uint8Array,
  limits: JsonLimits,
  turns: Turns,
): Promise<unknown> {
  const values = await build(bytes, await new Scan(bytes, limits).run(turns), turns)
  if (!Array.isArray(values) || values.length !== 1) throw noJson()
  return values[0]
}

class Scan {
  readonly #bytes: Uint8Array
  readonly #limits: JsonLimits
  /** The innermost last; the first is around the whole, as if that were the one in an array. */
  readonly #open: Container[] = [opened(true, -1)]
  #values = 0
  #inString = false

  constructor(bytes: Uint8Array, limits: JsonLimits) {
    this.#bytes = bytes
    this.#limits = limits
  }

  async run(turns: Turns): Promise<Container> {
    const { length } = this.#bytes
    for (let at = 0; at < length;) {
      const end = Math.min(at + turnBytes, length)
      const next = this.#scan(at, end)
      if (turns.isOver(next - at)) await turns.next()
      at = next
    }
    const [whole, unclosed] = this.#open
    if (whole === undefined || unclosed !== undefined) throw noJson()
    cutAt(whole, length)
    return whole
  }

  /** Gives where to go on: behind an escape, that may be one byte more. */
  #scan(start: number, end: number): number {
    const bytes = this.#bytes
    let inString = this.#inString
    let at = start
    for (; at < end; at++) {
      const byte = bytes[at] ?? 0
      if (inString) {
        if (byte === backslash) at++
        else if (byte === quote) inString = false
      } else if (byte === quote) {
        inString = true
      } else if (byte === openingBracket || byte === openingBrace) {
        this.#count()
        this.#begin(byte === openingBracket, at)
      } else if (byte === closingBracket || byte === closingBrace) {
        this.#end(byte === closingBracket, at)
      } else if (byte === comma) {
        this.#count()
        this.#separate(at)
      }
    }
    this.#inString = inString
    return at
  }

  #count(): void {
    const { valuesMax } = this.#limits
    if (++this.#values > valuesMax) throw corrupt(`It has more than ${valuesMax} values`)
  }

  #begin(isArray: boolean, at: number): void {
    const { depthMax } = this.#limits
    if (this.#open.length > depthMax) throw corrupt(`It nests deeper than ${depthMax} levels`)
    this.#open.push(opened(isArray, at))
  }

  #end(isArray: boolean, at: number): void {
    const ended = this.#open.pop()
    const around = this.#open.at(-1)
    if (ended === undefined || around === undefined || ended.isArray !== isArray) throw noJson()
    if (at - ended.start < this.#limits.pieceBytes) return
    cutAt(ended, at)
    ended.end = at + 1
    // What stands before it at that level is a piece of its own.
    if (around.comma > around.cut) cutAt(around, around.comma)
    around.inner = ended
  }

  #separate(at: number): void {
    const container = this.#open.at(-1)
    if (container === undefined) return
    if (container.inner !== undefined || at - container.cut >= this.#limits.pieceBytes)
      cutAt(container, at)
    container.comma = at
  }
}

function opened(isArray: boolean, start: number): Container {
  return { isArray, start, end: start, pieces: [], cut: start, comma: start, inner: undefined }
}

/** Ends the newest piece. */
function cutAt(container: Container, at: number): void {
  const { cut, inner } = container
  const ownBytes = at - cut - (inner === undefined ? 0 : inner.end - inner.start)
  if (ownBytes > pieceBytesMax) throw corrupt(`It has a text of more than ${pieceBytesMax} bytes`)
  container.pieces.push({ start: cut + 1, end: at, inner })
  container.cut = at
  container.inner = undefined
}

/** The value of a large object or array. As deep as they nest, which is bounded. */
async function build(bytes: Uint8Array, container: Container, turns: Turns): Promise<unknown> {
  const made: Made = container.isArray ? [] : {}
  for (const { start, end, inner } of container.pieces) {
    const before = textOf(bytes, start, inner?.start ?? end)
    const text = inner === undefined ? before : `${before}null${textOf(bytes, inner.end, end)}`
    const part = parse(Array.isArray(made) ? `[${text}]` : `{${text}}`)
    const names = Object.keys(part)
    if (names.length === 0) throw noJson()
    const value = inner === undefined ? undefined : await build(bytes, inner, turns)
    for (const name of names) add(made, name, inner === undefined ? part[name] : value)
    if (turns.isOver(end - start)) await turns.next()
  }
  return made
}

type Made = unknown[] | Record<string, unknown>

/** A property of any name is one of its own, also `__proto__`. */
function add(made: Made, name: string, value: unknown): void {
  if (Array.isArray(made)) made.push(value)
  else if (name !== '__proto__') made[name] = value
  else Object.defineProperty(made, name, { value, ...ofLiterals })
}

const ofLiterals = { configurable: true, enumerable: true, writable: true }

function parse(text: string): Readonly<Record<string, unknown>> {
  try {
    return JSON.parse(text) as Record<string, unknown>
  } catch (cause) {
    throw noJson(cause)
  }
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** Whatever is no UTF-8 is refused: two names could become equal by replacing it. */
function textOf(bytes: Uint8Array, start: number, end: number): string {
  try {
    return utf8.decode(bytes.subarray(start, end))
  } catch (cause) {
    throw noJson(cause)
  }
}

function noJson(cause?: unknown): HotboltError {
  return new HotboltError('ERR_BACKUP_CORRUPT', 'It is not JSON in UTF-8', { cause })
}
