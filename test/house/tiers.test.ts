// What CI runs in its own tier has every test whose counts go by tiers.
import { expect, test } from 'vitest'
import { read, repositoryFiles } from '../support/sources.ts'

test('each test that counts by tiers is run by `npm run test:ci`', () => {
  const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> }
  const [, folders = ''] = /vitest run (.*)$/.exec(scripts['test:ci'] ?? '') ?? []
  const counting = repositoryFiles()
    .filter((file) => /^test\/.*\.test\.ts$/.test(file) && !file.startsWith('test/house/'))
    .filter((file) => /\b(countOf|holds)\(/.test(read(file)))
  expect(counting.length).toBeGreaterThan(15)
  const left = counting.filter((file) => !folders.split(' ').some((name) => file.startsWith(name)))
  expect(left).toEqual([])
})
