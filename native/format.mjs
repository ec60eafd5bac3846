// Formats the C++ sources with clang-format compiled to WebAssembly, which npm pins for everyone:
// `node native/format.mjs` writes, `--check` only lists the files that differ and fails.
import { existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import process from 'node:process'
import { format } from '@wasm-fmt/clang-format'
import { root } from './sources.mjs'

const check = process.argv.includes('--check')
const style = readFileSync(join(root, 'native/.clang-format'), 'utf8')

function sourcesIn(folder) {
  if (!existsSync(join(root, folder))) return []
  return readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => /\.(cc|h)$/.test(name) && !/(^|[/\\])node_modules[/\\]/.test(name))
    .map((name) => `${folder}/${name}`)
}

const files = [...sourcesIn('native'), ...sourcesIn('test')]
const changed = files.filter((file) => {
  const before = readFileSync(join(root, file), 'utf8')
  const after = format(before, file, style)
  if (after === before) return false
  if (!check) writeFileSync(join(root, file), after)
  return true
})

for (const file of changed)
  process.stdout.write(`${check ? 'not formatted' : 'formatted'}: ${file}\n`)
process.stdout.write(`clang-format: ${files.length} files, ${changed.length} differ\n`)
if (check && changed.length > 0) process.exitCode = 1
