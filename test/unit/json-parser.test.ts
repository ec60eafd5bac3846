// Parsing JSON in pieces gives what JSON.parse() gives, and refuses what it refuses.

import fc from 'fast-check'
import { expect, test } from 'vitest'
import { parseJson } from '../../lib/backup/json-parser.ts'
import { Turns } from '../../lib/backup/turns.ts'
import { holds } from '../support/property.ts'
import { expectRefusal } from '../support/refusal.ts'

const limits = { pieceBytes: 8, depthMax: 20, valuesMax: 1000 }

const parse = (text: string, pieceBytes = limits.pieceBytes): Promise<unknown> =>
  parseJson(Buffer.from(text), { ...limits, pieceBytes }, new Turns('Parsing'))

/** As JSON, so that a property of its own called `__proto__` shows. */
async function outcome(run: () => unknown): Promise<string> {
  try {
    return JSON.stringify(await run())
  } catch {
    return 'refused'
  }
}

async function expectSame(text: string, pieceBytes?: number): Promise<string> {
  const expected = await outcome(() => JSON.parse(text))
  expect(await outcome(() => parse(text, pieceBytes)), text).toBe(expected)
  return expected
}

test('any JSON, of pieces of any size', async () => {
  const property = fc.asyncProperty(
    fc.jsonValue({ maxDepth: 5 }),
    fc.constantFrom(undefined, 1, '\t'),
    fc.integer({ min: 2, max: 40 }),
    async (value, indent, pieceBytes) => {
      expect(await expectSame(JSON.stringify(value, null, indent), pieceBytes)).not.toBe('refused')
    },
  )
  await holds(property, 2000)
})

test('text that is nearly JSON', async () => {
  const outcomes = new Set<boolean>()
  const change = fc.record({
    at: fc.nat(),
    removed: fc.nat(2),
    added: fc.constantFrom('', ',', ':', '[', ']', '{', '}', '"', '\\', '1', 'null', ' '),
  })
  const property = fc.asyncProperty(
    fc.jsonValue({ maxDepth: 4 }),
    fc.array(change, { minLength: 1, maxLength: 3 }),
    async (value, changes) => {
      let text = JSON.stringify(value)
      for (const { at, removed, added } of changes) {
        const start = at % (text.length + 1)
        text = `${text.slice(0, start)}${added}${text.slice(start + removed)}`
      }
      outcomes.add((await expectSame(text)) === 'refused')
    },
  )
  await holds(property, 5000)
  expect(outcomes.size, 'some are JSON and some are not').toBe(2)
})

const large = '"0123456789"'

test.each([
  '',
  ' ',
  '1,2',
  '[]]',
  '[1}',
  `[${large},]`,
  `[,${large}]`,
  `[${large},,${large}]`,
  `[1[${large}]]`,
  `[[${large}]1]`,
  `[[${large}][${large}]]`,
  `{"a":[${large}],"a":[${large},2]}`,
  `{"a"[${large}]}`,
  `{"a":"b":[${large}]}`,
  `{[${large}]}`,
  `{"__proto__":[${large}],"constructor":{"x":${large}}}`,
  `{"2":[${large}],"1":[${large}]}`,
  `[${large}],[${large}]`,
  `  [ [ ${large} ] , { "a" : [ ${large} ] } ]  `,
  `["${'\\"],['.repeat(10)}"]`,
  `"${'x'.repeat(50)}`,
])('%j', async (text) => {
  await expectSame(text)
})

test('limits hold before values are made', async () => {
  const deep = (count: number): string => `${'['.repeat(count)}${']'.repeat(count)}`
  expect(await parse(deep(20))).toEqual(JSON.parse(deep(20)))
  await expectRefusal('ERR_BACKUP_CORRUPT', () => parse(deep(21)))
  await expectRefusal('ERR_BACKUP_CORRUPT', () => parse(`[${'1,'.repeat(1000)}1]`))
  const text = `["${'x'.repeat(9 << 20)}"]`
  await expectRefusal('ERR_BACKUP_CORRUPT', () => parse(text))
})
