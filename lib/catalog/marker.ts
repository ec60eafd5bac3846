// The file `.catalog`: a database that says that a directory is a catalog, and whose lock is the
// ownership of the directory.

import { join } from 'node:path'
import { openDatabase, type Database } from '../database/database.ts'
import { HotboltError } from '../errors.ts'
import { StoreMaintainer } from '../maintenance/store-maintainer.ts'
import type { OpenOptions } from '../options.ts'
import { markerName } from './catalog-directory.ts'
import { lookAt, randomDigits } from './files.ts'

const bucketName = 'hotbolt-catalog'
const formatVersion = '1'

/** Opens a store as the public open() does. */
export const openStoreFile = (path: string, options: OpenOptions): Promise<Database> =>
  openDatabase(path, options, (store) => new StoreMaintainer(store))

/**
 * The ownership of the catalog, until it is closed. ERR_LOCKED; ERR_NOT_FOUND without `create`;
 * ERR_NOT_A_DATABASE when the file is something else, ERR_VERSION when a later hotbolt made it.
 */
export async function openMarker(directory: string, options: OpenOptions): Promise<Database> {
  const path = join(directory, markerName)
  const found = await lookAt(path)
  if (found !== undefined && !found.isFile()) throw notOurs(path, 'is no regular file')
  // An empty file is no marker of ours, and does not become one.
  const create = found === undefined && options.create !== false
  const marker = await openStoreFile(path, { ...options, create })
  try {
    if (!marker.readOnly && marker.buckets().length === 0) {
      await initialize(marker)
      // Its journal goes: the directory can be renamed while the marker is open.
      await marker.close()
      return await openMarker(directory, options)
    }
    requireFormat(marker)
    return marker
  } catch (error) {
    await marker.close().catch(() => {})
    throw error
  }
}

/** Whether there is a catalog; whose, and what its format is, is another question. */
export async function hasMarker(directory: string): Promise<boolean> {
  return (await lookAt(join(directory, markerName))) !== undefined
}

async function initialize(marker: Database): Promise<void> {
  await marker.update((tx) => {
    const bucket = tx.bucket(bucketName)
    bucket.put('format', formatVersion)
    bucket.put('id', randomDigits())
  })
}

/** One that was made and has never been written is an empty catalog. */
function requireFormat(marker: Database): void {
  if (marker.buckets().length === 0) return
  const format = marker.bucket(bucketName, { value: 'utf8' }).get('format')
  if (format === formatVersion) return
  if (format === undefined) throw notOurs(marker.path, 'is a database, but not that of a catalog')
  const message = `The catalog has format ${format}, which this hotbolt does not know`
  throw new HotboltError('ERR_VERSION', message, { path: marker.path })
}

function notOurs(path: string, what: string): HotboltError {
  return new HotboltError('ERR_NOT_A_DATABASE', `${path} ${what}`, { path })
}
