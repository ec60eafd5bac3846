// The planted bugs stay plantable: what they change is still in the sources, once.
import { expect, test } from 'vitest'
import { plantedBugs } from '../planted/bugs.ts'
import { read } from '../support/sources.ts'

test('every planted bug finds its place, once, and has a name of its own', () => {
  const lost = plantedBugs.filter(({ file, find }) => read(file).split(find).length !== 2)
  expect(lost.map((bug) => bug.name)).toEqual([])
  expect(new Set(plantedBugs.map((bug) => bug.name)).size).toBe(plantedBugs.length)
  expect(plantedBugs.length).toBeGreaterThanOrEqual(25)
})
