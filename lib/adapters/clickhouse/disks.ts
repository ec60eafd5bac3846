// The disks of a server, and where this process finds them.
//
// Only plain local disks are known here: what a FREEZE leaves on object storage are references that
// the server counts, and on an encrypted disk names mean something else.

import { realpath } from 'node:fs/promises'
import { join } from 'node:path'

import { HotboltError } from '../../index.ts'
import type { Connection, Row } from './client.ts'
import { errorNumber, sourceError } from './errors.ts'

export interface Disk {
  readonly name: string
  readonly type: string
  /** As the server names it, with '/' at its end. */
  readonly serverPath: string
  /** The real path here; undefined when the disk is not a plain local one or is out of reach. */
  readonly localPath: string | undefined
}

export class Disks {
  readonly all: readonly Disk[]

  private constructor(all: readonly Disk[]) {
    this.all = all
  }

  /** `dataPath`: where the disk 'default' is, if it is not where the server says. */
  static async read(connection: Connection, dataPath: string | undefined): Promise<Disks> {
    const rows = await readDisks(connection, dataPath)
    const disks = await Promise.all(rows.map((row) => diskOf(row, dataPath)))
    const found = disks.find((disk) => disk.name === 'default') ?? disks[0]
    if (found?.localPath === undefined) {
      const message =
        `The data of ClickHouse is not found in ${dataPath ?? found?.serverPath ?? ''}: it has to` +
        ' run on this machine, or `dataPath` has to be where its directory is mounted'
      throw new HotboltError('ERR_SOURCE', message, { path: dataPath ?? found?.serverPath })
    }
    return new Disks(disks)
  }

  /** The real path of the disk 'default' here. */
  get dataPath(): string {
    const disk = this.all.find(({ name }) => name === 'default') ?? this.all[0]
    return disk?.localPath ?? ''
  }

  /** The real paths here of all disks that can be reached. */
  get localPaths(): readonly string[] {
    return this.all.flatMap(({ localPath }) => (localPath === undefined ? [] : [localPath]))
  }

  /** The real path here of the disk that holds a real path here. */
  holding(path: string): string {
    const around = this.localPaths.filter((disk) => path.startsWith(`${disk}/`))
    return around.toSorted((a, b) => b.length - a.length)[0] ?? this.dataPath
  }

  /** The disk that a path of the server is on. */
  diskAt(serverPath: string): Disk | undefined {
    const holding = this.all.filter((disk) => serverPath.startsWith(disk.serverPath))
    return holding.toSorted((a, b) => b.serverPath.length - a.serverPath.length)[0]
  }

  /** A path of the server as a path here. ERR_SOURCE unless it is on a plain local disk. */
  localOf(serverPath: string): string {
    const root = this.rootOf(serverPath)
    const { length } = this.diskAt(serverPath)?.serverPath ?? ''
    const relative = serverPath.slice(length).replace(/\/+$/, '')
    if (relative.split('/').includes('..')) throw this.#unreachable(serverPath)
    return join(root, relative)
  }

  /** The real path here of the disk that the path is on. The same errors. */
  rootOf(serverPath: string): string {
    const root = this.diskAt(serverPath)?.localPath
    if (root === undefined) throw this.#unreachable(serverPath)
    return root
  }

  #unreachable(serverPath: string): HotboltError {
    const disk = this.diskAt(serverPath)
    const where =
      disk === undefined ? 'on no disk that is known' : `on the disk ${disk.name} (${disk.type})`
    const message = `${serverPath} is ${where}; only local disks within reach can be backed up`
    return new HotboltError('ERR_SOURCE', message, { path: serverPath })
  }
}

async function readDisks(
  connection: Connection,
  dataPath: string | undefined,
): Promise<readonly Row[]> {
  try {
    const rows = await connection.rows('SELECT * FROM system.disks')
    if (rows.length > 0) return rows
  } catch (error) {
    if (dataPath === undefined || errorNumber(error) === undefined) {
      throw sourceError('The disks could not be listed', error)
    }
  }
  // Old servers have one disk, and do not say so.
  return [{ name: 'default', type: 'local', path: dataPath }]
}

async function diskOf(row: Row, dataPath: string | undefined): Promise<Disk> {
  const name = String(row['name'])
  const type = String(row['type'])
  const serverPath = `${String(row['path']).replace(/\/+$/, '')}/`
  const isPlain = type.toLowerCase() === 'local' && Number(row['is_encrypted'] ?? 0) === 0
  const path = name === 'default' ? (dataPath ?? serverPath) : serverPath
  const localPath = isPlain ? await realpath(path).catch(() => undefined) : undefined
  return { name, type, serverPath, localPath }
}
