// Imports point down one list of layers, in TypeScript and in C++, and never in a circle. Each test
// collects the offending lines, so that a failure names all of them.
import { posix } from 'node:path'
import { expect, test } from 'vitest'
import {
  findCycle,
  importsOf,
  includesOf,
  read,
  repositoryFiles,
  withoutComments,
} from '../support/sources.ts'

const files = repositoryFiles()
const libFiles = files.filter((file) => /^lib\/.*\.ts$/.test(file))
const nativeFiles = files.filter((file) => /^native\/.*\.(cc|h)$/.test(file))

/** Lowest first: a module may import its own layer and those before it. */
const layers: readonly (readonly string[])[] = [
  [
    'lib/errors.ts',
    'lib/channels.ts',
    'lib/callbacks.ts',
    'lib/rules.ts',
    'lib/paths.ts',
    'lib/names.ts',
    'lib/options.ts',
    'lib/safe-files.ts',
  ],
  ['lib/native.ts', 'lib/metrics.ts'],
  ['lib/database/'],
  ['lib/maintenance/'],
  ['lib/backup/'],
  ['lib/catalog/'],
  ['lib/index.ts'],
  ['lib/adapters/', 'lib/cli/'],
]

function layerOf(file: string): number {
  return layers.findIndex((names) =>
    names.some((name) => (name.endsWith('/') ? file.startsWith(name) : file === name)),
  )
}

/** Relative imports of a file as repository paths. */
function localImports(file: string): string[] {
  return importsOf(read(file))
    .filter((specifier) => specifier.startsWith('.'))
    .map((specifier) => posix.join(posix.dirname(file), specifier))
}

test('every module in lib has a layer', () => {
  expect(libFiles.length, 'lib has modules').toBeGreaterThan(0)
  expect(libFiles.filter((file) => layerOf(file) === -1)).toEqual([])
})

test('imports in lib point down the list of layers', () => {
  const upward = libFiles.flatMap((file) =>
    localImports(file)
      .filter((target) => !target.startsWith('lib/') || layerOf(target) > layerOf(file))
      .map((target) => `${file} imports ${target}`),
  )
  expect(upward).toEqual([])
})

/** The demonstration shows what the judges of the tests say. */
const benchMayUse = ['test/oracle/', 'test/fixtures/']
/** How to deal with what others have prepared has one place, and is no part of the interface. */
const outerMayUse = ['lib/safe-files.ts']

test('adapters, cli and bench use the package as its users do: through the index', () => {
  const outer = files.filter((file) => /^(lib\/(adapters|cli)|bench)\/.*\.ts$/.test(file))
  const inward = outer.flatMap((file) => {
    const own = file.startsWith('bench/') ? 'bench/' : file.split('/').slice(0, 2).join('/') + '/'
    const allowed = [own, ...(file.startsWith('bench/') ? benchMayUse : outerMayUse)]
    return localImports(file)
      .filter((target) => target !== 'lib/index.ts')
      .filter((target) => !allowed.some((folder) => target.startsWith(folder)))
      .map((target) => `${file} imports ${target}`)
  })
  expect(inward).toEqual([])
})

test('imports in lib have no cycle', () => {
  expect(findCycle(new Map(libFiles.map((file) => [file, localImports(file)])))).toBeUndefined()
})

test('relative imports name a file that exists, with its .ts extension', () => {
  const sources = files.filter((file) => /^(lib|test|bench)\/.*\.ts$/.test(file))
  const wrong = sources.flatMap((file) =>
    localImports(file)
      .filter((target) => !files.includes(target))
      .map((target) => `${file} imports ${target}`),
  )
  expect(wrong).toEqual([])
})

test('the command line prints in one place, which lets nothing steer the terminal', () => {
  const printing = libFiles.filter((file) =>
    /\bconsole\b|\bprocess\.(stdout|stderr)\b/.test(withoutComments(read(file))),
  )
  // The bar draws on its own line, which it erases.
  expect(printing).toEqual(['lib/cli/output.ts', 'lib/cli/progress.ts'])
})

test('lib/native.ts alone loads the binary', () => {
  const loaders = libFiles.filter((file) =>
    /\bdlopen\b|\.node['"`]/.test(withoutComments(read(file))),
  )
  expect(loaders).toEqual(['lib/native.ts'])
})

/** Instruction set headers belong to the compiler, not to an operating system. */
const intrinsics = [
  'cpuid.h',
  'nmmintrin.h',
  'immintrin.h',
  'emmintrin.h',
  'arm_acle.h',
  'arm_neon.h',
]
const nodeHeaders = ['napi.h', 'node_api.h', 'js_native_api.h', 'uv.h', 'node.h', 'v8.h']

/** The headers of C++ have no extension; those of C and of the system end in .h. */
function isStandard(name: string): boolean {
  return /^[a-z_]+$/.test(name) || intrinsics.includes(name)
}

function offendingIncludes(
  folder: string,
  allowed: (include: { name: string; quoted: boolean }) => boolean,
): string[] {
  return nativeFiles
    .filter((file) => file.startsWith(folder))
    .flatMap((file) =>
      includesOf(read(file))
        .filter((include) => !allowed(include))
        .map((include) => `${file} includes ${include.name}`),
    )
}

test('native/core includes only itself and the standard library', () => {
  const offending = offendingIncludes('native/core/', ({ name, quoted }) =>
    quoted ? name.startsWith('core/') : isStandard(name),
  )
  expect(offending).toEqual([])
})

test('native/platform includes core and the operating system, not Node', () => {
  const offending = offendingIncludes('native/platform/', ({ name, quoted }) =>
    quoted ? /^(core|platform)\//.test(name) : !nodeHeaders.includes(name),
  )
  expect(offending).toEqual([])
})

test('native/binding includes Node-API and what is below it, not the operating system', () => {
  const offending = offendingIncludes('native/binding/', ({ name, quoted }) =>
    quoted
      ? /^(core|platform|binding)\//.test(name)
      : isStandard(name) || name === 'napi.h' || name === 'node_api.h',
  )
  expect(offending).toEqual([])
})

test('includes in native have no cycle', () => {
  const edges = nativeFiles.map((file): [string, string[]] => [
    file,
    includesOf(read(file))
      .filter((include) => include.quoted)
      .map((include) => `native/${include.name}`),
  ])
  expect(findCycle(new Map(edges))).toBeUndefined()
})
