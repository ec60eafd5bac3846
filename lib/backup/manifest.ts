// The manifest of a backup: what is in it, and the proof that nothing else is.
//
// It is the object `<backup>/manifest.json`, written last: a backup without it does not exist. The
// file of a table is the object `<owner>/tables/<encoded table name>/<path>`, where the owner is
// this backup or the earlier one whose file is used again. The manifest ends with the SHA-256 of
// everything before it, so that no byte of it can change unnoticed:
//
//   {"format":"hotbolt-backup","version":1,...,
//   "sha256":"<64 digits>"}
//
// The hash is no signature: a manifest may be hostile and have the right one. So nothing that it
// says is believed before it is proven, and what encodeManifest() writes passes the same proof.

import { createHash } from 'node:crypto'
import { HotboltError, toHotboltError } from '../errors.ts'
import { backupName, encodeName, requireName } from '../names.ts'
import { invalid } from '../rules.ts'
import { targetError } from './backup-error.ts'
import { corrupt, given, parseJson, type Json } from './json-proof.ts'
import { isKey, type Target } from './target.ts'

export interface Manifest {
  readonly format: 'hotbolt-backup'
  readonly version: 1
  readonly name: string
  /** ISO 8601, UTC: when it was begun. */
  readonly createdAt: string
  readonly source: { readonly kind: string; readonly id: string }
  /** All tables are of one moment. */
  readonly cut: boolean
  readonly tables: readonly ManifestTable[]
  /** The earlier backups whose files are used: they may not be deleted before this one. */
  readonly requires: readonly string[]
}

export interface ManifestTable {
  readonly name: string
  readonly version?: string
  readonly metadata?: unknown
  /** The backup that has the files. */
  readonly owner: string
  readonly files: readonly ManifestFile[]
}

export interface ManifestFile {
  /** Relative to the table, with '/'. */
  readonly path: string
  readonly sizeBytes: number
  readonly sha256: string
}

/** What a manifest may be at most; reading a larger one could take all memory. */
export const manifestBytesMax: number = 256 << 20
const tablesMax = 200_000
const filesMax = 1_000_000
const valuesMax = 8_000_000
const depthMax = 128
const pathLengthMax = 700
const textLengthMax = 4096

const fileName = 'manifest.json'
const sealLength = 77
const sealOf = (hash: string): string => `"sha256":"${hash}"}\n`

/** The object that has the manifest of the backup. */
export function manifestKey(name: string): string {
  return `${requireBackupName(name)}/${fileName}`
}

/** What the keys of a table's files begin with; their paths follow. */
export function tablePrefix(owner: string, tableName: string): string {
  return `${requireBackupName(owner)}/tables/${encodeName(tableName)}/`
}

export function requireBackupName(name: string): string {
  if (!backupName.accepts(name)) throw invalid('name', backupName.expected, name)
  return name
}

/**
 * Whether a table's file may have this path: a key of at most 700 characters, no segment of which
 * Windows would take for a device or rename.
 */
export function isFilePath(path: string): boolean {
  if (path.length > pathLengthMax || !isKey(path) || misunderstood.test(path)) return false
  return path.length <= segmentLengthMax || !longSegment.test(path)
}

// With an extension such names are devices on older Windows only: elsewhere a column of ClickHouse
// may be called `aux`.
const ending = process.platform === 'win32' ? '(?:[./]|$)' : '(?:/|$)'
const device = `(?:^|/)(?:con|prn|aux|nul|(?:com|lpt)[0-9])${ending}`
const misunderstood = new RegExp(`${device}|\\.(?:/|$)`, 'i')
const segmentLengthMax = 255
const longSegment = /[^/]{256}/

/** Throws ERR_INVALID_ARGUMENT for what decodeManifest() would refuse. */
export function encodeManifest(manifest: Manifest): Uint8Array {
  const { format, version, name, createdAt, source, cut, tables, requires } = manifest
  try {
    const text = JSON.stringify({
      format,
      version,
      name,
      createdAt,
      source: { kind: source.kind, id: source.id },
      cut,
      tables: tables.map(plainTable),
      requires,
    })
    const sealed = Buffer.from(`${text.slice(0, -1)},\n`)
    const bytes = Buffer.concat([sealed, Buffer.from(sealOf(sha256Of(sealed)))])
    decodeManifest(bytes, name)
    return bytes
  } catch (cause) {
    const { message } = toHotboltError(cause)
    throw new HotboltError('ERR_INVALID_ARGUMENT', `No manifest can say this: ${message}`, {
      cause,
    })
  }
}

function plainTable({ name, version, metadata, owner, files }: ManifestTable): ManifestTable {
  return {
    name,
    ...(version === undefined ? {} : { version }),
    ...(metadata === undefined ? {} : { metadata }),
    owner,
    files: files.map(({ path, sizeBytes, sha256 }) => ({ path, sizeBytes, sha256 })),
  }
}

/**
 * The manifest of the backup `name`, proven. ERR_BACKUP_CORRUPT when a byte has changed or it says
 * what cannot be; ERR_VERSION when a later hotbolt wrote it.
 */
export function decodeManifest(bytes: Uint8Array, name: string): Manifest {
  try {
    if (bytes.length > manifestBytesMax) throw corrupt(`It has ${bytes.length} bytes`)
    requireSeal(bytes)
    return proveManifest(parseJson(bytes, depthMax, valuesMax), name)
  } catch (cause) {
    const error = toHotboltError(cause)
    if (error.code === 'ERR_VERSION') throw error
    const message = `The manifest of the backup "${name}" is damaged: ${error.message}`
    throw new HotboltError('ERR_BACKUP_CORRUPT', message, { cause })
  }
}

/**
 * The manifest of the backup, proven. ERR_NOT_FOUND, ERR_BACKUP_CORRUPT, ERR_VERSION, and what the
 * target says.
 */
export async function readManifest(
  target: Target,
  name: string,
  signal?: AbortSignal,
): Promise<Manifest> {
  const key = manifestKey(name)
  const chunks: Uint8Array[] = []
  let length = 0
  try {
    const stream = await target.get(key, signal)
    for await (const chunk of stream as AsyncIterable<Uint8Array>) {
      chunks.push(chunk)
      length += chunk.length
      // Leaving the loop ends the stream.
      if (length > manifestBytesMax) break
    }
  } catch (cause) {
    const error = targetError(cause, `Reading ${key}`)
    if (error.code !== 'ERR_NOT_FOUND') throw error
    const message = `There is no backup "${name}" in ${target.location}`
    throw new HotboltError('ERR_NOT_FOUND', message, { path: key, cause })
  }
  return decodeManifest(Buffer.concat(chunks), name)
}

function requireSeal(bytes: Uint8Array): void {
  const sealed = bytes.subarray(0, Math.max(0, bytes.length - sealLength))
  const seal = Buffer.from(bytes.subarray(sealed.length)).toString('latin1')
  if (seal !== sealOf(sha256Of(sealed))) throw corrupt('Its bytes do not have its SHA-256')
}

function sha256Of(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}

const head = ['format', 'version'] as const
const body = ['name', 'createdAt', 'source', 'cut', 'tables', 'requires', 'sha256'] as const

function proveManifest(json: Json, name: string): Manifest {
  proveVersion(json)
  const found = json.properties(...head, ...body)
  const nameFound = given(found.name, 'name')
  nameFound.require(nameFound.value === name && backupName.accepts(name), JSON.stringify(name))
  const tables = proveTables(given(found.tables, 'tables'))
  return {
    format: 'hotbolt-backup',
    version: 1,
    name,
    createdAt: proveTime(given(found.createdAt, 'createdAt')),
    source: proveSource(given(found.source, 'source')),
    cut: given(found.cut, 'cut').boolean(),
    tables,
    requires: proveRequires(given(found.requires, 'requires'), name, tables),
  }
}

/** Before all else: a later version may have other properties. */
function proveVersion(json: Json): void {
  const isObject = typeof json.value === 'object' && json.value !== null
  json.require(isObject, 'an object')
  const { format, version } = json.value as {
    readonly format?: unknown
    readonly version?: unknown
  }
  json.require(format === 'hotbolt-backup', 'a manifest of a backup')
  json.require(Number.isSafeInteger(version) && Number(version) > 0, 'of a version')
  if (version === 1) return
  const message = `The backup has version ${String(version)}, which this hotbolt does not know`
  throw new HotboltError('ERR_VERSION', message)
}

function proveTime(json: Json): string {
  const text = json.text(24, 24)
  const time = new Date(text)
  const isTime = !Number.isNaN(time.getTime()) && time.toISOString() === text
  json.require(isTime, 'a time like 2026-01-31T12:00:00.000Z')
  return text
}

function proveSource(json: Json): Manifest['source'] {
  const found = json.properties('kind', 'id')
  return {
    kind: given(found.kind, 'source.kind').text(1, 100),
    id: given(found.id, 'source.id').text(0, textLengthMax),
  }
}

function proveTables(json: Json): ManifestTable[] {
  const encoded = new Set<string>()
  let files = 0
  let bytes = 0
  return json.elements(tablesMax).map((element) => {
    const table = proveTable(element)
    const file = encodeName(table.name)
    element.require(!encoded.has(file), 'a table that no other is')
    encoded.add(file)
    files += table.files.length
    bytes += table.files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
    element.require(files <= filesMax, `among at most ${filesMax} files`)
    element.require(Number.isSafeInteger(bytes), `among at most 2^53 bytes`)
    return table
  })
}

function proveTable(json: Json): ManifestTable {
  const found = json.properties('name', 'version', 'metadata', 'owner', 'files')
  const { version, metadata } = found
  return {
    name: proveTableName(given(found.name, 'tables[].name')),
    ...(version === undefined ? {} : { version: version.text(0, textLengthMax) }),
    ...(metadata === undefined ? {} : { metadata: metadata.value }),
    owner: proveBackupName(given(found.owner, 'tables[].owner')),
    files: proveFiles(given(found.files, 'tables[].files')),
  }
}

function proveTableName(json: Json): string {
  const { value } = json
  try {
    requireName(value)
    return value
  } catch (cause) {
    throw corrupt(`A table's name cannot be: ${toHotboltError(cause).message}`)
  }
}

function proveBackupName(json: Json): string {
  json.require(backupName.accepts(json.value), `a backup's name: ${backupName.expected}`)
  return json.value as string
}

function proveFiles(json: Json): ManifestFile[] {
  const files = json.elements(filesMax).map(proveFile)
  const paths = new Set(files.map(({ path }) => path))
  json.require(paths.size === files.length, 'files of different paths')
  const folders = new Set<string>()
  for (const { path } of files) {
    // Upwards, as far as it is not known: the folders above a known one are known.
    let end = path.lastIndexOf('/')
    for (; end !== -1 && !folders.has(path.slice(0, end)); end = path.lastIndexOf('/', end - 1)) {
      folders.add(path.slice(0, end))
    }
  }
  const isInNone = [...folders].every((folder) => !paths.has(folder))
  json.require(isInNone, 'files of which none is in another')
  return files
}

function proveFile(json: Json): ManifestFile {
  const found = json.properties('path', 'sizeBytes', 'sha256')
  const path = given(found.path, 'files[].path')
  const expected = 'a relative path without anything that a file system could misunderstand'
  path.require(typeof path.value === 'string' && isFilePath(path.value), expected)
  return {
    path: path.value as string,
    sizeBytes: given(found.sizeBytes, 'files[].sizeBytes').size(),
    sha256: given(found.sha256, 'files[].sha256').textLike(/^[0-9a-f]{64}$/, '64 digits'),
  }
}

function proveRequires(json: Json, name: string, tables: readonly ManifestTable[]): string[] {
  const requires = json.elements(tablesMax).map(proveBackupName)
  const named = new Set(requires)
  const owners = new Set(tables.map(({ owner }) => owner).filter((owner) => owner !== name))
  const isSame = named.size === owners.size && [...named].every((each) => owners.has(each))
  json.require(isSame && named.size === requires.length, "the other backups' names, once each")
  return requires
}
