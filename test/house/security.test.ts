// SECURITY.md: every test that it names is there, and every variable of the environment is named.
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { repositoryRoot } from '../oracle/root.ts'
import { read, repositoryFiles } from '../support/sources.ts'

const text = read('SECURITY.md')

test('a test that proves a statement exists', () => {
  const named = [...text.matchAll(/`(test\/[^`]+)`/g)].map(([, path]) => path ?? '')
  expect(named.length).toBeGreaterThan(20)
  expect(named.filter((path) => !existsSync(join(repositoryRoot, path)))).toEqual([])
})

test('a variable of the environment that the library reads is named', () => {
  const sources = repositoryFiles().filter((file) => /^lib\/.*\.ts$/.test(file))
  const variables = sources.flatMap((file) =>
    [...read(file).matchAll(/\b[A-Z]+(?:_[A-Z]+)+\b(?=[^\n]*process\.env)|env\['(\w+)'\]/g)].map(
      ([all, quoted]) => quoted ?? all,
    ),
  )
  expect(variables).toContain('HOTBOLT_ADDON')
  expect(variables.filter((name) => !text.includes(`\`${name}\``))).toEqual([])
})
