// Hostile directories: what somebody else may have put under a name that we make, open or remove,
// and the proof that nothing outside was touched because of it.
//
//   await Outside.make(directory)
//   const outside = await Outside.of(directory)
//   await plantAt('a pipe', path, outside)
//   ... whatever the library does ...
//   await outside.expectUntouched()

import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { constants, type Stats } from 'node:fs'
import {
  chmod,
  lchown,
  link,
  lstat,
  mkdir,
  open as openFile,
  readdir,
  readFile,
  rm,
  symlink,
  utimes,
  writeFile,
} from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { expect } from 'vitest'
import { open } from '../../lib/index.ts'

/** Older than the access time that reading would leave, by more than `relatime` lets pass. */
const longAgo = new Date('2001-01-01T00:00:00Z')
const stranger = 65_534

/** Files that are somebody else's: none of them may be read, changed, removed, or have company. */
export class Outside {
  readonly path: string
  readonly #before = new Map<string, string>()

  /** Makes the files. */
  static async make(directory: string): Promise<void> {
    const outside = new Outside(directory)
    await mkdir(join(outside.folder, 'below'), { recursive: true })
    const db = await open(outside.database)
    await db.bucket('theirs').put('key', 'value')
    await db.close()
    for (const path of [outside.file, join(outside.folder, 'below/file')]) {
      await writeFile(path, 'theirs')
    }
  }

  /** Those that are there, as they are now. */
  static async of(directory: string): Promise<Outside> {
    const outside = new Outside(directory)
    await outside.#look()
    for (const [path, state] of await outside.#look()) outside.#before.set(path, state)
    return outside
  }

  private constructor(directory: string) {
    this.path = join(directory, 'outside')
  }

  /** A database that is nobody's record, an ordinary file, a directory with files in it. */
  get database(): string {
    return join(this.path, 'victim.db')
  }

  get file(): string {
    return join(this.path, 'file')
  }

  get folder(): string {
    return join(this.path, 'folder')
  }

  /** What has no name yet. */
  get nothing(): string {
    return join(this.path, 'nothing')
  }

  /** `mayBeRead`: they have a name inside too, which only says what its content is. */
  async expectUntouched(what: string, mayBeRead = false): Promise<void> {
    const known = await this.#look(mayBeRead)
    const before = mayBeRead ? withoutAccess(this.#before) : this.#before
    expect(Object.fromEntries(known), what).toEqual(Object.fromEntries(before))
  }

  /** Looks without leaving a trace: times of access are put back. */
  async #look(mayBeRead = false): Promise<Map<string, string>> {
    const entries = await lstatAll(this.path)
    const states = new Map<string, string>()
    for (const [path, stats] of entries) {
      const content = stats.isFile() ? sha256(await readFile(path)) : ''
      states.set(path, `${stateOf(stats)} ${content}${mayBeRead ? '' : ` ${accessOf(stats)}`}`)
    }
    for (const [path, { mtime }] of entries) await utimes(path, longAgo, mtime)
    return states
  }
}

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')
const stateOf = ({ ino, mode, uid, gid, size, mtimeMs }: Stats): string =>
  [ino, mode.toString(8), uid, gid, size, mtimeMs].join(' ')
const accessOf = ({ atimeMs }: Stats): string => (atimeMs === longAgo.getTime() ? 'unread' : 'read')

function withoutAccess(states: ReadonlyMap<string, string>): Map<string, string> {
  return new Map([...states].map(([path, state]) => [path, state.replace(/ (?:un)?read$/, '')]))
}

async function lstatAll(root: string): Promise<[string, Stats][]> {
  const found: [string, Stats][] = [[root, await lstat(root)]]
  for (const { name, parentPath } of await readdir(root, {
    recursive: true,
    withFileTypes: true,
  })) {
    const path = join(parentPath, name)
    found.push([path, await lstat(path)])
  }
  return found
}

/** Puts something at `path` instead of what we have made there, if we have. */
export type Plant = (path: string, outside: Outside) => Promise<void>

const isRoot = process.geteuid?.() === 0

/** Every kind of thing that may lie where we expect our own, or nothing. */
export const plants: Readonly<Record<string, Plant>> = {
  'a link to a file': (path, { file }) => instead(path, () => symlink(file, path)),
  'a link to a database': (path, { database }) => instead(path, () => symlink(database, path)),
  'a link to a directory': (path, { folder }) => instead(path, () => symlink(folder, path)),
  'a dangling link': (path, { nothing }) => instead(path, () => symlink(nothing, path)),
  'a link to itself': (path) => instead(path, () => symlink(path, path)),
  'a second name of a file': (path, { file }) => instead(path, () => link(file, path)),
  'a second name of a database': (path, { database: db }) => instead(path, () => link(db, path)),
  'a pipe': (path) => instead(path, async () => void execFileSync('mkfifo', [path])),
  'a directory': (path) =>
    instead(path, async () => {
      await mkdir(path)
      await writeFile(join(path, 'file'), 'theirs')
    }),
  'a file': (path) => instead(path, () => writeFile(path, 'theirs')),
  'an empty file': (path) => instead(path, () => writeFile(path, '')),
  'what everybody may write': async (path) => {
    await orSomething(path)
    await chmod(path, 0o777)
  },
  ...(isRoot && {
    "a stranger's": async (path: string) => {
      await orSomething(path)
      await lchown(path, stranger, stranger)
    },
    "a stranger's link": async (path: string, { database }: Outside) => {
      await instead(path, () => symlink(database, path))
      await lchown(path, stranger, stranger)
    },
  }),
}

/** A second name tells its content to whoever looks at it there. */
export const mayBeRead = (plant: string): boolean => plant.startsWith('a second name')

async function instead(path: string, make: () => Promise<void>): Promise<void> {
  await rm(path, { recursive: true, force: true })
  await make()
}

async function orSomething(path: string): Promise<void> {
  if ((await lstat(path).catch(() => undefined)) === undefined) await writeFile(path, '')
}

/** Plants it, with the directories above it where they are missing. */
export async function plantAt(plant: string, path: string, outside: Outside): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 })
  await plants[plant]!(path, outside)
}

/** Lets go of whoever waits for the other end of a pipe below, so that a failure ends. */
export async function releasePipes(directory: string): Promise<void> {
  for (const [path, stats] of await lstatAll(directory)) {
    if (!stats.isFIFO()) continue
    await (await openFile(path, constants.O_RDWR | constants.O_NONBLOCK)).close()
  }
}
