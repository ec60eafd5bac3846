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
// It may have a million files: all of that is done in turns, in proportion to its bytes.

import { createHash } from 'node:crypto'
import { HotboltError, toHotboltError } from '../errors.ts'
import { backupName, encodeName, requireName } from '../names.ts'
import { invalid } from '../rules.ts'
import { targetError } from './backup-error.ts'
import { parseJson } from './json-parser.ts'
import { corrupt, given, Json } from './json-proof.ts'
import { PathSet } from './path-set.ts'
import { isKey, type Target } from './target.ts'
import { turnBytes, Turns } from './turns.ts'

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
const limits = { pieceBytes: turnBytes, depthMax: 128, valuesMax }
const pathLengthMax = 700
const textLengthMax = 4096

/** The bytes whose parsing costs what it costs to prove a file, and a table of any name. */
const fileCost = 128
const tableCost = 1024

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
 * Whether a table's file may have this path: a key of at most 700 characters and 64 segments, none
 * of which Windows would take for a device or rename.
 */
export function isFilePath(path: string): boolean {
  if (path.length > pathLengthMax || !isKey(path) || misunderstood.test(path)) return false
  if (path.length > segmentLengthMax && longSegment.test(path)) return false
  return path.length <= segmentsMax || !tooDeep.test(path)
}

// With an extension such names are devices on older Windows only: elsewhere a column of ClickHouse
// may be called `aux`.
const ending = process.platform === 'win32' ? '(?:[./]|$)' : '(?:/|$)'
const device = `(?:^|/)(?:con|prn|aux|nul|(?:com|lpt)[0-9])${ending}`
const misunderstood = new RegExp(`${device}|\\.(?:/|$)`, 'i')
const segmentLengthMax = 255
const longSegment = /[^/]{256}/
const segmentsMax = 64
const tooDeep = /^(?:[^/]+\/){64}/

/** ERR_INVALID_ARGUMENT for what decodeManifest() would refuse. */
export async function encodeManifest(manifest: Manifest): Promise<Uint8Array> {
  const turns = new Turns('Writing a manifest')
  try {
    const hash = createHash('sha256')
    const chunks: Buffer[] = []
    let text = ''
    const add = (): void => {
      const chunk = Buffer.from(text)
      hash.update(chunk)
      chunks.push(chunk)
      text = ''
    }
    for (const part of textsOf(manifest)) {
      text += part
      if (!turns.isOver(part.length)) continue
      add()
      await turns.next()
    }
    add()
    const bytes = Buffer.concat([...chunks, Buffer.from(sealOf(hash.digest('hex')))])
    await decodeManifest(bytes, manifest.name)
    return bytes
  } catch (cause) {
    const { message } = toHotboltError(cause)
    throw new HotboltError('ERR_INVALID_ARGUMENT', `No manifest can say this: ${message}`, {
      cause,
    })
  }
}

/** What JSON.stringify() says of all of it, without the closing brace, and with a comma. */
function* textsOf(manifest: Manifest): Generator<string, void> {
  const { format, version, name, createdAt, source, cut, tables, requires } = manifest
  const { kind, id } = source
  yield `${unclosed({ format, version, name, createdAt, source: { kind, id }, cut })},"tables":[`
  for (const [index, table] of tables.entries()) {
    yield `${index === 0 ? '' : ','}${unclosed(withoutFiles(table))},"files":[`
    for (const [at, { path, sizeBytes, sha256 }] of table.files.entries()) {
      yield `${at === 0 ? '' : ','}${JSON.stringify({ path, sizeBytes, sha256 })}`
    }
    yield ']}'
  }
  yield `],"requires":${JSON.stringify(requires)},\n`
}

const unclosed = (object: object): string => JSON.stringify(object).slice(0, -1)

function withoutFiles({ name, version, metadata, owner }: ManifestTable): object {
  return {
    name,
    ...(version === undefined ? {} : { version }),
    ...(metadata === undefined ? {} : { metadata }),
    owner,
  }
}

/**
 * The manifest of the backup `name`, proven. ERR_BACKUP_CORRUPT when a byte has changed or it says
 * what cannot be; ERR_VERSION when a later hotbolt wrote it; ERR_ABORTED.
 */
export async function decodeManifest(
  bytes: Uint8Array,
  name: string,
  signal?: AbortSignal,
): Promise<Manifest> {
  const turns = new Turns(`Reading the manifest of the backup "${name}"`, signal)
  try {
    if (bytes.length > manifestBytesMax) throw corrupt(`It has ${bytes.length} bytes`)
    await requireSeal(bytes, turns)
    const value = await parseJson(bytes, limits, turns)
    return await proveManifest(new Json(value), name, turns)
  } catch (cause) {
    const error = toHotboltError(cause)
    if (error.code === 'ERR_VERSION' || error.code === 'ERR_ABORTED') throw error
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
  return decodeManifest(Buffer.concat(chunks), name, signal)
}

async function requireSeal(bytes: Uint8Array, turns: Turns): Promise<void> {
  const sealed = bytes.subarray(0, Math.max(0, bytes.length - sealLength))
  const seal = Buffer.from(bytes.subarray(sealed.length)).toString('latin1')
  if (seal !== sealOf(await sha256Of(sealed, turns))) {
    throw corrupt('Its bytes do not have its SHA-256')
  }
}

async function sha256Of(bytes: Uint8Array, turns: Turns): Promise<string> {
  const hash = createHash('sha256')
  for (let at = 0; at < bytes.length; at += turnBytes) {
    const piece = bytes.subarray(at, at + turnBytes)
    hash.update(piece)
    if (turns.isOver(piece.length)) await turns.next()
  }
  return hash.digest('hex')
}

const head = ['format', 'version'] as const
const body = ['name', 'createdAt', 'source', 'cut', 'tables', 'requires', 'sha256'] as const

async function proveManifest(json: Json, name: string, turns: Turns): Promise<Manifest> {
  proveVersion(json)
  const found = json.properties(...head, ...body)
  const nameFound = given(found.name, 'name')
  nameFound.require(nameFound.value === name && backupName.accepts(name), JSON.stringify(name))
  const tables = await proveTables(given(found.tables, 'tables'), turns)
  return {
    format: 'hotbolt-backup',
    version: 1,
    name,
    createdAt: proveTime(given(found.createdAt, 'createdAt')),
    source: proveSource(given(found.source, 'source')),
    cut: given(found.cut, 'cut').boolean(),
    tables,
    requires: await proveRequires(given(found.requires, 'requires'), name, tables, turns),
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

async function proveTables(json: Json, turns: Turns): Promise<ManifestTable[]> {
  const tables: ManifestTable[] = []
  const encoded = new Set<string>()
  let files = 0
  let bytes = 0
  for (const element of json.elements(tablesMax)) {
    const table = await proveTable(element, turns)
    const file = encodeName(table.name)
    element.require(!encoded.has(file), 'a table that no other is')
    encoded.add(file)
    files += table.files.length
    bytes += table.files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
    element.require(files <= filesMax, `among at most ${filesMax} files`)
    element.require(Number.isSafeInteger(bytes), `among at most 2^53 bytes`)
    tables.push(table)
    if (turns.isOver(tableCost)) await turns.next()
  }
  return tables
}

async function proveTable(json: Json, turns: Turns): Promise<ManifestTable> {
  const found = json.properties('name', 'version', 'metadata', 'owner', 'files')
  const { version, metadata } = found
  return {
    name: proveTableName(given(found.name, 'tables[].name')),
    ...(version === undefined ? {} : { version: version.text(0, textLengthMax) }),
    ...(metadata === undefined ? {} : { metadata: metadata.value }),
    owner: proveBackupName(given(found.owner, 'tables[].owner')),
    files: await proveFiles(given(found.files, 'tables[].files'), turns),
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

async function proveFiles(json: Json, turns: Turns): Promise<ManifestFile[]> {
  const files: ManifestFile[] = []
  const paths = new PathSet()
  for (const element of json.elements(filesMax)) {
    const file = proveFile(element)
    json.require(paths.add(file.path), 'files of different paths')
    files.push(file)
    if (turns.isOver(fileCost)) await turns.next()
  }
  for (const { path } of files) {
    json.require(!paths.hasFolderOf(path), 'files of which none is in another')
    if (turns.isOver(path.length)) await turns.next()
  }
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

async function proveRequires(
  json: Json,
  name: string,
  tables: readonly ManifestTable[],
  turns: Turns,
): Promise<string[]> {
  const owners = new Set(tables.map(({ owner }) => owner).filter((owner) => owner !== name))
  const requires = new Set<string>()
  for (const element of json.elements(tablesMax)) {
    const each = proveBackupName(element)
    json.require(owners.has(each) && !requires.has(each), "the other backups' names, once each")
    requires.add(each)
    if (turns.isOver(fileCost)) await turns.next()
  }
  json.require(requires.size === owners.size, "the other backups' names, once each")
  return [...requires]
}
