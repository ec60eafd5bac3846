// Where backups are kept: objects under keys, with four verbs. A directory is built in
// (directory-target.ts); object storage plugs in here.
//
// Keys are relative paths of one or more segments of [A-Za-z0-9._~%-], joined by '/', none of which
// is '.' or '..'; of at most 1,024 characters. Every other error than those named below is passed
// on with its code, or as ERR_IO with the cause.

import type { Readable } from 'node:stream'
import { HotboltError } from '../errors.ts'
import { invalid } from '../rules.ts'

export interface Target {
  /** For messages: a path, an address. */
  readonly location: string
  /**
   * Stores an object durably, whole or not at all; there is none under the key, or it is replaced.
   * A body that is a file may be moved away by it.
   */
  put(key: string, body: TargetBody, signal?: AbortSignal): Promise<void>
  /** ERR_NOT_FOUND. */
  get(key: string, signal?: AbortSignal): Promise<Readable>
  /** All objects whose keys begin with `prefix`, in any order. */
  list(prefix: string, signal?: AbortSignal): AsyncIterable<TargetObject>
  /** Without effect when there is none. */
  delete(key: string, signal?: AbortSignal): Promise<void>

  /**
   * Like put(), but only where there is no object under the key; false: there is one. Targets that
   * several machines use have it, unless another lock keeps them apart.
   */
  create?(key: string, body: Uint8Array, signal?: AbortSignal): Promise<boolean>
  /** Objects that are being stored, or were when the process died that stored them. */
  listUnfinished?(prefix: string, signal?: AbortSignal): AsyncIterable<UnfinishedObject>
  /** Where files are best made that put() is given: it moves them then. */
  readonly stagingDirectory?: string
  /** Where records of freezes are kept when the caller names no other place. */
  readonly stateDirectory?: string
  /** The object as a file of this machine, not to be written. ERR_NOT_FOUND. */
  localFile?(key: string): Promise<string>
  /**
   * What stands before the first '/' of keys, each once: all that is needed to find the backups.
   * May name some that hold nothing. Without it, all objects are listed for that.
   */
  listFolders?(signal?: AbortSignal): AsyncIterable<string>
}

export interface UnfinishedObject {
  readonly key: string
  /** Removes what is stored of it; whoever is still at it fails. */
  discard(signal?: AbortSignal): Promise<void>
}

export type TargetBody = Uint8Array | { readonly file: string; readonly sizeBytes: number }

export interface TargetObject {
  readonly key: string
  readonly sizeBytes: number
  /**
   * What lies there cannot be an object: 'a symbolic link', 'a name that no object has'. It has not
   * been followed or opened, and its key may be none.
   */
  readonly problem?: string
}

/**
 * What a target lists below a prefix. ERR_IO when it lists what it was not asked for: objects are
 * deleted for being in a list.
 */
export async function* listBelow(
  target: Target,
  prefix: string,
  signal?: AbortSignal,
): AsyncIterable<TargetObject> {
  for await (const object of target.list(prefix, signal)) {
    const isAsked = typeof object.key === 'string' && object.key.startsWith(prefix)
    if (!isAsked) throw unasked(target, prefix)
    yield object
  }
}

function unasked({ location }: Target, prefix: string): HotboltError {
  const message = `${location} lists more than what begins with "${prefix}": it is not believed`
  return new HotboltError('ERR_IO', message, { path: location })
}

const keyLengthMax = 1024
const key = /^[A-Za-z0-9._~%-]+(?:\/[A-Za-z0-9._~%-]+)*$/

const upwards = /(?:^|\/)\.\.?(?:\/|$)/

export function isKey(text: string): boolean {
  return text.length <= keyLengthMax && key.test(text) && !upwards.test(text)
}

/** Throws ERR_INVALID_ARGUMENT unless `text` is a key. */
export function requireKey(text: string): void {
  if (isKey(text)) return
  const expected = "segments of [A-Za-z0-9._~%-] with '/' between them, none of them '.' or '..'"
  throw invalid('key', expected, text)
}
