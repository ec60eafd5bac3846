// Parts out of shadow into the backup, and out of the backup into `detached`: hard links where both
// are on one file system, copies elsewhere. ClickHouse never writes to a file of a part again, so
// that a link is as good as a copy.
//
// Names that a backup cannot hold (that of a projection may have a space in it) are encoded: every
// byte but letters, digits, '.', '_', '%' and '-' is '~' and two hexadecimal digits.

import { constants, type Dirent } from 'node:fs'
import { link, lstat, mkdir, open, readdir, rename, rm, type FileHandle } from 'node:fs/promises'
import { basename, join } from 'node:path'

import { HotboltError, type CopyOptions, type TableFile } from '../../index.ts'
import { createFile, directoryMode } from '../../safe-files.ts'
import { holding, type HeldDirectory } from './held-directory.ts'
import { pause, throwIfAborted } from './waiting.ts'

/** Written by FREEZE beside the files of a part; means nothing elsewhere. */
const skippedFile = 'frozen_metadata.txt'
const pieceBytes = 1 << 20
const cannotLink = new Set(['EXDEV', 'EPERM', 'EMLINK', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS'])

/** Copies what is in `source` to `target`, which is made. Paths of files begin with `prefix`. */
export async function copyTree(
  source: HeldDirectory,
  target: string,
  prefix: string,
  options: CopyOptions,
): Promise<readonly TableFile[]> {
  await mkdir(target, { mode: directoryMode })
  const files: TableFile[] = []
  const entries = await readdir(source.path, { withFileTypes: true })
  for (const entry of entries.toSorted((a, b) => (a.name < b.name ? -1 : 1))) {
    throwIfAborted(options.signal)
    const name = encodeFileName(entry.name)
    const to = join(target, name)
    const path = `${prefix}/${name}`
    if (entry.isDirectory()) {
      const copy = (below: HeldDirectory) => copyTree(below, to, path, options)
      files.push(...(await holding(source.enter(entry.name), copy)))
    } else if (entry.name !== skippedFile) {
      const sizeBytes = await copyFile(entry, join(source.path, entry.name), to, options)
      files.push({ path, sizeBytes })
    }
  }
  return files
}

export function encodeFileName(name: string): string {
  return name.replace(/[^A-Za-z0-9._%-]|\.$/gu, (character) =>
    [...Buffer.from(character)].map((byte) => `~${byte.toString(16).padStart(2, '0')}`).join(''),
  )
}

export function decodeFileName(name: string): string {
  return name.replace(/(?:~[0-9a-f]{2})+/g, (bytes) =>
    Buffer.from(bytes.replaceAll('~', ''), 'hex').toString(),
  )
}

/** Gives the files in a tree the names that they had. */
export async function decodeTree(directory: string): Promise<void> {
  for (const entry of await readdir(directory, { withFileTypes: true })) {
    const path = join(directory, entry.name)
    if (entry.isDirectory()) await decodeTree(path)
    const name = decodeFileName(entry.name)
    if (name === entry.name) continue
    if (basename(name) !== name || name === '..' || name.includes('\0')) {
      const message = `${entry.name} stands for no name of a file`
      throw new HotboltError('ERR_BACKUP_CORRUPT', message, { path })
    }
    await rename(path, join(directory, name))
  }
}

async function copyFile(
  entry: Dirent,
  from: string,
  to: string,
  options: CopyOptions,
): Promise<number> {
  if (!entry.isFile()) throw notAFile(from)
  try {
    await link(from, to)
  } catch (error) {
    if (!cannotLink.has((error as { code?: string }).code ?? '')) throw error
    return copyBytes(from, to, options)
  }
  // A link, if it has become one meanwhile, is what was made a second name for.
  const stats = await lstat(to)
  if (!stats.isFile()) {
    await rm(to)
    throw notAFile(from)
  }
  options.onBytes(stats.size)
  return stats.size
}

function notAFile(path: string): HotboltError {
  return new HotboltError('ERR_SOURCE', `${path} is neither a file nor a directory`, { path })
}

async function copyBytes(from: string, to: string, options: CopyOptions): Promise<number> {
  const source = await open(from, constants.O_RDONLY | constants.O_NOFOLLOW)
  try {
    if (!(await source.stat()).isFile()) throw notAFile(from)
    const target = await createFile(to)
    try {
      return await pump(source, target, options)
    } finally {
      await target.close()
    }
  } finally {
    await source.close()
  }
}

async function pump(
  source: FileHandle,
  target: FileHandle,
  { signal, bytesPerSecond, onBytes }: CopyOptions,
): Promise<number> {
  const piece = Buffer.allocUnsafe(
    bytesPerSecond > 0 ? Math.min(pieceBytes, bytesPerSecond) : pieceBytes,
  )
  let sizeBytes = 0
  for (;;) {
    throwIfAborted(signal)
    const { bytesRead } = await source.read(piece, 0, piece.length, null)
    if (bytesRead === 0) return sizeBytes
    await target.writeFile(piece.subarray(0, bytesRead))
    sizeBytes += bytesRead
    onBytes(bytesRead)
    if (bytesPerSecond > 0) await pause((1000 * bytesRead) / bytesPerSecond, signal)
  }
}
