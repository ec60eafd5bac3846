// Tests that need a program, a privilege or an optional package of the machine say so here:
//
//   testIf('go', "bbolt's own check accepts what we wrote", async () => { ... })
//   describeIf(['etcd', 'root'], 'a defragmented etcd', () => { ... })
//
// Without it they are skipped, under a name that ends in `[needs go]`, which skip-report.ts counts.
// `toolPath('go')` is the program's full path, found also where PATH does not look.
import { spawnSync } from 'node:child_process'
import { accessSync, constants, existsSync, mkdtempSync, rmdirSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { describe, test } from 'vitest'

import { repositoryRoot } from '../oracle/root.ts'

/** Where Debian and Go's own installer put programs that an ordinary PATH may not list. */
const extraFolders = ['/usr/local/go/bin', '/usr/sbin', '/sbin']

function findProgram(name: string): string | undefined {
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), ...extraFolders]
  return folders
    .filter((folder) => folder !== '')
    .map((folder) => join(folder, name))
    .find((path) => {
      try {
        accessSync(path, constants.X_OK)
        return true
      } catch {
        return false
      }
    })
}

/** Root inside a container may still be forbidden to mount, so the only honest probe is a mount. */
function canMount(): boolean {
  if (process.getuid?.() !== 0) return false
  const folder = mkdtempSync(join(tmpdir(), 'hotbolt-mount-'))
  try {
    const options = ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', folder]
    if (spawnSync('mount', options, { stdio: 'ignore' }).status !== 0) return false
    return spawnSync('umount', [folder], { stdio: 'ignore' }).status === 0
  } finally {
    rmdirSync(folder)
  }
}

function canImport(name: string, from: string = import.meta.url): boolean {
  try {
    createRequire(from).resolve(name)
    return true
  } catch {
    return false
  }
}

/** The SDK and the server, which `npm ci --prefix test/s3` installs. */
function hasS3(): boolean {
  const folder = join(repositoryRoot, 'test/s3/')
  const server = join(repositoryRoot, 'build/s3/versitygw')
  return canImport('@aws-sdk/lib-storage', folder) && existsSync(server)
}

/** What is not simply a program of that name on PATH. */
const probes: Readonly<Record<string, () => boolean>> = {
  root: () => process.getuid?.() === 0,
  mount: canMount,
  linux: () => process.platform === 'linux',
  gc: () => typeof globalThis.gc === 'function',
  lmdb: () => canImport('lmdb'),
  // Its tests have packages of their own.
  chdb: () => canImport('chdb', new URL('../clickhouse/', import.meta.url).href),
  s3: hasS3,
}

export type Tool =
  | 'root'
  | 'mount'
  | 'linux'
  | 'gc'
  | 'lmdb'
  | 'chdb'
  | 's3'
  | 'go'
  | 'etcd'
  | 'etcdctl'
  | 'strace'
  | 'mkfs.ext4'
  | 'mkfs.xfs'
  | 'c++'
  | 'cmake'

const found = new Map<Tool, boolean>()

export function hasTool(tool: Tool): boolean {
  const known = found.get(tool)
  if (known !== undefined) return known
  const probe = probes[tool]
  const present = probe === undefined ? findProgram(tool) !== undefined : probe()
  found.set(tool, present)
  return present
}

/** The full path of a program; throws when it is missing. */
export function toolPath(tool: Tool): string {
  const path = findProgram(tool)
  if (path === undefined) throw new Error(`"${tool}" is not installed: guard this with testIf`)
  return path
}

function missing(tools: Tool | readonly Tool[]): Tool | undefined {
  return (typeof tools === 'string' ? [tools] : tools).find((tool) => !hasTool(tool))
}

export function testIf(
  tools: Tool | readonly Tool[],
  name: string,
  body: () => void | Promise<void>,
  timeoutMs?: number,
): void {
  const tool = missing(tools)
  if (tool === undefined) test(name, body, timeoutMs)
  else test.skip(`${name} [needs ${tool}]`, body)
}

export function describeIf(tools: Tool | readonly Tool[], name: string, body: () => void): void {
  const tool = missing(tools)
  if (tool === undefined) describe(name, body)
  else describe.skip(`${name} [needs ${tool}]`, body)
}
