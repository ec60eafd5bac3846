// What README.md and docs/ show compiles. Every ```ts block is a module of its own; one that is
// opened with ```ts continued goes on where the block before it ended.
import { execFile } from 'node:child_process'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { guides, read, root } from '../support/sources.ts'

const folder = join(root, 'build/readme')

function snippets(markdown: string): string[] {
  const modules: string[] = []
  for (const [, continued, code] of markdown.matchAll(/^```ts( continued)?\n([\s\S]*?)^```/gm)) {
    if (continued === undefined || modules.length === 0) modules.push(code ?? '')
    else modules[modules.length - 1] += code ?? ''
  }
  return modules
}

/** The repository's own rules, except that an example may leave a result unused. */
const configuration = {
  extends: '../../tsconfig.json',
  compilerOptions: {
    rootDir: root,
    noEmit: true,
    isolatedDeclarations: false,
    noUnusedLocals: false,
    paths: { hotbolt: [join(root, 'lib/index.ts')] },
  },
  include: ['*.ts'],
  exclude: [],
}

test('the TypeScript snippets in README.md and docs/ compile', async () => {
  const modules = guides().flatMap((guide) => snippets(read(guide)))
  expect(modules.length, 'they show TypeScript').toBeGreaterThan(1)
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(configuration))
  for (const [index, code] of modules.entries()) {
    writeFileSync(join(folder, `snippet-${index + 1}.ts`), `${code}\nexport {}\n`)
  }
  const tsc = join(root, 'node_modules/typescript/bin/tsc')
  const output = await promisify(execFile)(process.execPath, [tsc, '-p', folder], { cwd: root })
    .then(() => '')
    .catch((error: { stdout?: string; message: string }) => error.stdout ?? error.message)
  expect(output).toBe('')
})
