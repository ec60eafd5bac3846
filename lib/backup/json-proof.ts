// Proofs about JSON that somebody else may have written: each value is looked at before it is
// believed, and what does not hold is ERR_BACKUP_CORRUPT, saying where.
//
// Values are many: where one stands is only worked out when it is wrong.
//
// Properties are read only where the object has them itself, and what is proven is built anew by
// whoever asks: a key named `__proto__` is like any other.

import { HotboltError } from '../errors.ts'

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

  /** Those of an array, one at a time: they are many. */
  *elements(countMax: number): Generator<Json, void> {
    const { value } = this
    this.require(Array.isArray(value), 'an array')
    const array = value as readonly unknown[]
    this.require(array.length <= countMax, `of at most ${countMax} elements`)
    for (const [index, element] of array.entries()) yield new Json(element, this, index)
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
