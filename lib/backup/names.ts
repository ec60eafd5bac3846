// Every name that backups give to what they make or open, but those of the objects themselves,
// which are keys. The tests put links, pipes and strangers' files at each of them.
//
//   <target>/.state/<backup>.freezes                           what a run has recorded
//   <target>/.state/<backup>-<uuid>.freezes.removing           its second name while it is removed
//   <target>/.staging/<backup>-<random>/                       where a run makes its files
//   <target>/<folders of a key>/.<random>+put                  an object that is being stored
//   <parent of a destination>/.<destination>.hotbolt-restore/  where a restore of files is made

import { randomBytes, randomUUID } from 'node:crypto'
import { basename, dirname, join } from 'node:path'
import { backupName } from '../names.ts'

/** Below a directory that is a target: records of freezes, and what is being made. */
export const stateFolder = '.state'
export const stagingFolder = '.staging'

const recordSuffix = '.freezes'
const removingSuffix = '.removing'
const uuid = /-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

/** The object that says which machine makes the backup, where machines share no lock. */
export const claimKey = (backup: string): string => `${backup}/claim`

/** The record of one backup's freezes. */
export const recordFile = (backup: string): string => `${backup}${recordSuffix}`

/** A second name of a record that is being removed; nobody else has it. */
export const secondRecordFile = (backup: string): string =>
  `${backup}-${randomUUID()}${recordSuffix}${removingSuffix}`

/** The backup of which a file is the record; undefined: it is none. */
export function backupOfRecord(file: string): string | undefined {
  const name = file.endsWith(recordSuffix) ? file.slice(0, -recordSuffix.length) : ''
  return backupName.accepts(name) ? name : undefined
}

/** Whether a file is the second name of a record. */
export function isSecondRecordFile(file: string): boolean {
  const end = `${recordSuffix}${removingSuffix}`
  return file.endsWith(end) && uuid.test(file.slice(0, -end.length))
}

/** Whether a process that died as it made or removed a record has left the file. */
export const isHalfRecordFile = (file: string): boolean =>
  isSecondRecordFile(file) || /\.freezes-create-[0-9a-f]+$/.test(file)

/** The directory of one run for the backup. */
export const runFolder = (backup: string): string => `${backup}-${randomBytes(8).toString('hex')}`

export const isRunFolder = (backup: string, folder: string): boolean =>
  folder.startsWith(`${backup}-`) && /^-[0-9a-f]{16}$/.test(folder.slice(backup.length))

/** A name that no object can have, for '+' is in no key. */
export const temporaryObject = (): string => `.${randomBytes(8).toString('hex')}+put`

export const isTemporaryObject = (name: string): boolean => /^\.[0-9a-f]{16}\+put$/.test(name)

/** What a restore of files uses beside its destination, and the manifest in the result. */
export const restorePlaces = (
  destination: string,
): Readonly<Record<'work' | 'lock' | 'content' | 'replaced', string>> => {
  const work = join(dirname(destination), `.${basename(destination)}.hotbolt-restore`)
  const below = (name: string): string => join(work, name)
  return { work, lock: below('lock'), content: below('content'), replaced: below('replaced') }
}

/** No table has this name: an encoded one does not begin with '.'. */
export const restoredManifest = '.hotbolt-manifest.json'
