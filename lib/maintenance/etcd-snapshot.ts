// Snapshots as `etcdctl snapshot save` writes them: a bbolt file with its SHA-256 appended. A page
// size is a multiple of 512, so 32 bytes too many tell one from a plain database.

import { HotboltError } from '../errors.ts'
import { native } from '../native.ts'
import { pathOf } from '../paths.ts'

const blockBytes = 512
const digestBytes = 32

export interface EtcdSnapshotReport {
  readonly sizeBytes: number
  /** What it ends with, in hexadecimal: the SHA-256 of everything before. */
  readonly sha256: string
}

/**
 * Proves that the file ends with the SHA-256 of what comes before: any changed byte is found.
 * ERR_BACKUP_CORRUPT when it does not, ERR_NOT_FOUND, ERR_NOT_A_FILE and others. Whether it holds a
 * sound database is for open() and check() to say.
 */
export async function verifyEtcdSnapshot(path: string | URL): Promise<EtcdSnapshotReport> {
  const absolute = pathOf(path, 'path')
  const image = await native.imageOfFile(absolute, false)
  try {
    const sizeBytes = native.imageBytes(image)
    const contentBytes = sizeBytes - digestBytes
    if (contentBytes <= 0 || contentBytes % blockBytes !== 0) {
      throw damaged(absolute, 'is no etcd snapshot: it does not end with a hash')
    }
    const digest = await native.readImage(image, contentBytes, digestBytes)
    const sha256 = await native.hashImage(image, contentBytes)
    if (digest.toString('hex') === sha256) return { sizeBytes, sha256 }
    throw damaged(absolute, 'is damaged: it does not have the hash that it ends with')
  } finally {
    native.closeImage(image)
  }
}

function damaged(path: string, what: string): HotboltError {
  return new HotboltError('ERR_BACKUP_CORRUPT', `${path} ${what}`, { path })
}
