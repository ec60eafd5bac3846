// What the manifest of a backup says of a table of ClickHouse, besides its files.

import { HotboltError, type ManifestTable } from '../../index.ts'

export interface TableMetadata {
  readonly database: string
  readonly table: string
  readonly uuid: string
  readonly engine: string
  /** The table's definition, CREATE TABLE. */
  readonly createQuery: string
  readonly parts: readonly PartMetadata[]
}

export interface PartMetadata {
  /** Of the directory that holds its files. */
  readonly name: string
  /** What the server knew of it; nothing, when it was gone before it could be asked. */
  readonly rows?: number
  /** `hash_of_all_files` of system.parts. */
  readonly hash?: string
}

/** ERR_BACKUP_CORRUPT when it is not what clickhouseSource() wrote. */
export function metadataOf(table: ManifestTable): TableMetadata {
  const metadata = table.metadata
  if (isMetadata(metadata)) return metadata
  const message = `The metadata of ${table.name} is not that of a table of ClickHouse`
  throw new HotboltError('ERR_BACKUP_CORRUPT', message)
}

function isMetadata(value: unknown): value is TableMetadata {
  const texts = ['database', 'table', 'uuid', 'engine', 'createQuery']
  return (
    isRecord(value) &&
    texts.every((name) => typeof value[name] === 'string' && value[name] !== '') &&
    Array.isArray(value['parts']) &&
    value['parts'].every(isPart)
  )
}

function isPart(value: unknown): value is PartMetadata {
  return (
    isRecord(value) &&
    isPartName(value['name']) &&
    ['undefined', 'number'].includes(typeof value['rows']) &&
    ['undefined', 'string'].includes(typeof value['hash'])
  )
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** `<partition>_<first block>_<last block>_<level>`, with `_<mutation>` after a mutation. */
const partName = /^[A-Za-z0-9-]+_(\d+)_\d+_\d+(?:_\d+)?$/

export function isPartName(name: unknown): name is string {
  return typeof name === 'string' && partName.test(name)
}

/** By the first block, as rows were inserted. */
export function inOrder(parts: readonly PartMetadata[]): readonly PartMetadata[] {
  const firstBlock = ({ name }: PartMetadata): number => Number(partName.exec(name)?.[1] ?? 0)
  return parts.toSorted((a, b) => firstBlock(a) - firstBlock(b))
}
