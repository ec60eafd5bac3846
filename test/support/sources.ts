// The files of this repository as the house tests see them: what git tracks or would track.
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync, readdirSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'

export const root: string = dirname(dirname(dirname(fileURLToPath(import.meta.url))))

/** What git lists; without a repository (an unpacked archive), what lies on the disk. */
function listFiles(): string[] {
  // Whoever owns the checkout: a CI machine often runs as somebody else.
  const list = ['-c', 'safe.directory=*', 'ls-files', '--cached', '--others', '--exclude-standard']
  const options = { cwd: root, encoding: 'utf8', maxBuffer: 1 << 26 } as const
  const git = spawnSync('git', list, options)
  if (git.status === 0) return git.stdout.split('\n')
  const generated = /^(build|dist|out|prebuilds|\.git)(\/|$)|(^|\/)node_modules(\/|$)/
  return readdirSync(root, { recursive: true, withFileTypes: true, encoding: 'utf8' })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(root, join(entry.parentPath, entry.name)).replaceAll('\\', '/'))
    .filter((file) => !generated.test(file))
}

/** Paths relative to the root, with forward slashes, sorted; deleted files are not among them. */
export function repositoryFiles(): string[] {
  return [...new Set(listFiles())]
    .filter((file) => file !== '' && existsSync(join(root, file)))
    .toSorted()
}

/** What users read: README.md and what it sends them to. */
export function guides(): string[] {
  return repositoryFiles().filter((file) => file === 'README.md' || /^docs\/.*\.md$/.test(file))
}

export function read(file: string): string {
  return readFileSync(join(root, file), 'utf8')
}

/** The specifiers that a TypeScript file imports or re-exports, static and dynamic. */
export function importsOf(source: string): string[] {
  const pattern = /(?:\bfrom\s*|\bimport\s*\(?\s*)(['"])([^'"\n]+)\1/g
  return [...withoutComments(source).matchAll(pattern)].map((match) => match[2] ?? '')
}

/** The names in `#include "..."` (quoted) and `#include <...>` (system) of a C++ file. */
export function includesOf(source: string): { name: string; quoted: boolean }[] {
  return [...source.matchAll(/^\s*#\s*include\s*(["<])([^">]+)[">]/gm)].map((match) => ({
    name: match[2] ?? '',
    quoted: match[1] === '"',
  }))
}

/** Whole-line and block comments removed; good enough for looking at imports. */
export function withoutComments(source: string): string {
  return source.replaceAll(/\/\*[\s\S]*?\*\//g, '').replaceAll(/^\s*\/\/.*$/gm, '')
}

/** A cycle among the edges, its first name repeated at the end; undefined when there is none. */
export function findCycle(edges: ReadonlyMap<string, readonly string[]>): string[] | undefined {
  const finished = new Set<string>()
  const visit = (name: string, trail: readonly string[]): string[] | undefined => {
    if (trail.includes(name)) return [...trail.slice(trail.indexOf(name)), name]
    if (finished.has(name)) return undefined
    for (const next of edges.get(name) ?? []) {
      const cycle = visit(next, [...trail, name])
      if (cycle !== undefined) return cycle
    }
    finished.add(name)
    return undefined
  }
  for (const name of edges.keys()) {
    const cycle = visit(name, [])
    if (cycle !== undefined) return cycle
  }
  return undefined
}
