// Proofs about JSON that somebody else may have written: each value is looked at before it is
// believed, and what does not hold is ERR_BACKUP_CORRUPT, saying where.
//
// Values are many: where one stands is only worked out when it is wrong.
//
// Properties are read only where the object has them itself, and what is proven is built anew by
// whoever asks: a key named `__proto__` is like any other.

import { HotboltError } from '../errors.ts'

const quote = 0x22
const backslash = 0x5c
const comma = 0x2c
const openingBracket = 0x5b
const openingBrace = 0x7b
const closingBracket = 0x5d
const closingBrace = 0x7d

/**
 * Parses text that nests and counts no more than is allowed: JSON.parse itself would fill the
 * memory of the process with a few bytes for each object.
 */
export function parseJson(bytes: Uint8Array, depthMax: number, valuesMax: number): Json {
  requireShape(bytes, depthMax, valuesMax)
  try {
    // Whatever is no UTF-8 is refused: two names could become equal by replacing it.
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
    return new Json(JSON.parse(text))
  } catch (cause) {
    throw new HotboltError('ERR_BACKUP_CORRUPT', 'It is not JSON in UTF-8', { cause })
  }
}

/** Strings are skipped; that all else is JSON is left to the parser. */
function requireShape(bytes: Uint8Array, depthMax: number, valuesMax: number): void {
  let depth = 0
  let values = 0
  let inString = false
  for (let at = 0; at < bytes.length; at++) {
    const byte = bytes[at] ?? 0
    if (inString) {
      if (byte === backslash) at++
      else if (byte === quote) inString = false
    } else if (byte === quote) {
      inString = true
    } else if (byte === openingBracket || byte === openingBrace) {
      depth++
      values++
    } else if (byte === closingBracket || byte === closingBrace) {
      depth--
    } else if (byte === comma) {
      values++
    }
    if (depth > depthMax) throw corrupt(`It nests deeper than ${depthMax} levels`)
    if (values > valuesMax) throw corrupt(`It has more than ${valuesMax} values`)
  }
}

/** A value, and where it stands, for messages. */
export class Json {
  readonly value: unknown
  readonly #parent: Json | undefined
  /** Of the property or element that it is. */
  readonly #name: string | number

  constructor(value: unknown, parent?: Json, name: string | number = '') {
    this.value = value
    this.#parent = parent
    this.#name = name
  }

  /** Throws unless the condition holds. */
  require(condition: boolean, expected: string): void {
    if (!condition) throw corrupt(`Expected ${this.#where() || 'it'} to be ${expected}`)
  }

  /** An object; gives its properties, undefined for one that it lacks. Others are refused. */
  properties<Name extends string>(
    ...names: readonly Name[]
  ): Readonly<Record<Name, Json | undefined>> {
    const { value } = this
    this.require(typeof value === 'object' && value !== null && !Array.isArray(value), 'an object')
    const object = value as Readonly<Record<string, unknown>>
    const foreign = Object.keys(object).find((name) => !(names as readonly string[]).includes(name))
    if (foreign !== undefined) this.require(false, `without ${JSON.stringify(foreign)}`)
    const found: Partial<Record<Name, Json>> = {}
    for (const name of names) {
      if (Object.hasOwn(object, name)) found[name] = new Json(object[name], this, name)
    }
    return found as Record<Name, Json | undefined>
  }

  elements(countMax: number): readonly Json[] {
    const { value } = this
    this.require(Array.isArray(value), 'an array')
    const array = value as readonly unknown[]
    this.require(array.length <= countMax, `of at most ${countMax} elements`)
    return array.map((element, index) => new Json(element, this, index))
  }

  /** A string of `lengthMin` to `lengthMax` characters. */
  text(lengthMin: number, lengthMax: number): string {
    const { value } = this
    this.require(typeof value === 'string', 'a string')
    const text = value as string
    const expected = `of ${lengthMin} to ${lengthMax} characters`
    this.require(text.length >= lengthMin && text.length <= lengthMax, expected)
    return text
  }

  textLike(pattern: RegExp, expected: string): string {
    const { value } = this
    this.require(typeof value === 'string' && pattern.test(value), expected)
    return value as string
  }

  size(): number {
    const { value } = this
    this.require(Number.isSafeInteger(value) && Number(value) >= 0, 'a number of bytes')
    return value as number
  }

  boolean(): boolean {
    this.require(typeof this.value === 'boolean', 'true or false')
    return this.value as boolean
  }

  /** Such as `tables[3].name`; '' for the whole. */
  #where(): string {
    if (this.#parent === undefined) return ''
    const where = this.#parent.#where()
    if (typeof this.#name === 'number') return `${where}[${this.#name}]`
    return where === '' ? this.#name : `${where}.${this.#name}`
  }
}

/** The property that has to be there. */
export function given(property: Json | undefined, name: string): Json {
  if (property === undefined) throw corrupt(`It lacks \`${name}\``)
  return property
}

export function corrupt(message: string): HotboltError {
  return new HotboltError('ERR_BACKUP_CORRUPT', message)
}
