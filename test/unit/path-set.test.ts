// A set of paths finds what a comparison of each with each finds.

import fc from 'fast-check'
import { expect, test } from 'vitest'
import { PathSet } from '../../lib/backup/path-set.ts'
import { holds } from '../support/property.ts'

test('a path is in it once, and its folders are found', async () => {
  const segment = fc.constantFrom('a', 'b', 'a-b', 'aa', '.a')
  const path = fc.array(segment, { minLength: 1, maxLength: 4 }).map((parts) => parts.join('/'))
  const results = new Set<boolean>()
  const property = fc.asyncProperty(fc.array(path, { maxLength: 12 }), path, async (all, asked) => {
    const set = new PathSet()
    for (const [index, each] of all.entries()) {
      expect(set.add(each)).toBe(!all.slice(0, index).includes(each))
    }
    const inOne = all.some((each) => asked.startsWith(`${each}/`))
    expect(set.hasFolderOf(asked)).toBe(inOne)
    results.add(inOne)
  })
  await holds(property, 2000)
  expect(results.size).toBe(2)
})
