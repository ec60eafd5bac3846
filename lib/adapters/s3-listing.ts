// What a service says that it has, proven before it is believed: it was asked for what begins with
// a prefix, page by page. A list that cannot be right is an error as a whole, because objects are
// deleted for being in it, and because what is missing in it is taken for gone.

import type { TargetObject } from '../index.ts'

/** What is used of the answer to ListObjectsV2 and ListMultipartUploads, before it is proven. */
export interface ListedPage {
  readonly IsTruncated?: unknown
  readonly CommonPrefixes?: readonly { readonly Prefix?: unknown }[]
  readonly Contents?: readonly { readonly Key?: unknown; readonly Size?: unknown }[]
  readonly NextContinuationToken?: unknown
}

export interface UploadsPage {
  readonly IsTruncated?: unknown
  readonly NextKeyMarker?: unknown
  readonly NextUploadIdMarker?: unknown
  readonly Uploads?: readonly { readonly Key?: unknown; readonly UploadId?: unknown }[]
}

/** Its two markers are one token. */
export function pageOf({ IsTruncated, ...next }: UploadsPage): ListedPage {
  const { NextKeyMarker: key, NextUploadIdMarker: id } = next
  if (IsTruncated !== true) return { IsTruncated: false }
  const isToken = typeof key === 'string' && key !== ''
  return { IsTruncated, NextContinuationToken: isToken ? JSON.stringify([key, id]) : undefined }
}

/** Of up to 1,000 keys each. */
const pagesMax = 100_000
const keyPattern = /^[A-Za-z0-9._~%-]+(?:\/[A-Za-z0-9._~%-]+)*$/

/** Whether the interface of targets allows the key. */
export function isKey(key: string): boolean {
  const isUpward = key.split('/').some((segment) => segment === '.' || segment === '..')
  return keyPattern.test(key) && key.length <= 1024 && !isUpward
}

/** One list. What cannot be right is thrown, for the caller to say where. */
export class Listing {
  /** Of all keys of the target, and of those that are asked for. */
  readonly #root: string
  readonly #asked: string
  readonly #tokens = new Set<string>()

  constructor(root: string, prefix: string) {
    this.#root = root
    this.#asked = root + prefix
  }

  objectsOf({ Contents = [] }: ListedPage): readonly TargetObject[] {
    return Contents.flatMap(({ Key, Size = 0 }) => {
      const key = this.keyOf(Key)
      if (!Number.isSafeInteger(Size) || (Size as number) < 0) {
        throw wrong(`${key} with a size that nothing has`)
      }
      // What consoles show as folders are empty objects whose keys end in a slash.
      if (key === '' || key.endsWith('/')) return []
      const object = { key, sizeBytes: Size as number }
      return isKey(key) ? object : { ...object, problem: 'a name that no object has' }
    })
  }

  /** What is no key of ours is somebody else's upload. */
  uploadsOf({
    Uploads = [],
  }: UploadsPage): readonly { readonly key: string; readonly id: string }[] {
    return Uploads.flatMap(({ Key, UploadId: id }) => {
      const key = this.keyOf(Key)
      if (typeof id !== 'string' || id === '') throw wrong(`${key} without the id of its upload`)
      return isKey(key) ? { key, id } : []
    })
  }

  /** What is between the prefix and the next slash. */
  foldersOf({ CommonPrefixes = [], Contents = [] }: ListedPage): readonly string[] {
    for (const { Key } of Contents) {
      const key = this.keyOf(Key)
      const isGrouped = !key.slice(this.#asked.length - this.#root.length, -1).includes('/')
      if (!isGrouped) throw wrong(`${key}, which it was to group by its folder`)
    }
    return CommonPrefixes.map(({ Prefix }) => {
      const folder = this.keyOf(Prefix).slice(0, -1)
      const isFolder = String(Prefix).endsWith('/') && folder !== '' && !folder.includes('/')
      if (!isFolder) throw wrong(`the folder ${JSON.stringify(Prefix)}`)
      return folder
    })
  }

  /** For the next page; undefined: it was the last. */
  nextOf({ IsTruncated, NextContinuationToken: token }: ListedPage): string | undefined {
    if (IsTruncated === false || (IsTruncated === undefined && token === undefined))
      return undefined
    if (typeof token !== 'string' || token === '') {
      throw wrong('that there is more, but not how to ask for it')
    }
    if (this.#tokens.has(token)) throw wrong('a page again')
    if (this.#tokens.size + 1 >= pagesMax) throw wrong(`more than ${pagesMax} pages`)
    this.#tokens.add(token)
    return token
  }

  /** Without the root; throws unless it was asked for. */
  keyOf(key: unknown): string {
    const isAsked = typeof key === 'string' && key.startsWith(this.#asked) && !key.includes('\0')
    if (isAsked) return key.slice(this.#root.length)
    const what = typeof key === 'string' ? JSON.stringify(key) : 'what is no key'
    throw wrong(`${what}, when asked for what begins with "${this.#asked}"`)
  }
}

const wrong = (what: string): Error =>
  new Error(`The service lists ${what}: its list is not believed`)
