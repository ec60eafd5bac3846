// The manifest of a backup: what is in it, and the proof that nothing else is.
//
// It is the object `<backup>/manifest.json`, written last: a backup without it does not exist. The
// file of a table is the object `<owner>/tables/<encoded table name>/<path>`, where the owner is
// this backup or the earlier one whose file is used again. The manifest ends with the SHA-256 of
// everything before it, so that no byte of it can change unnoticed.

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
