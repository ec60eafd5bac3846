// The pages of a bbolt file, read by the few rules that tests need: which are in use, and where
// their elements lie. Leans on nothing of the library, so that it can be a judge of it.
//
//   page: id u64, flags u16 (1 branch, 2 leaf), count u16, overflow u32; then elements of 16 bytes
//   branch element: position u32, key size u32, child u64
//   leaf element: flags u32 (1: a bucket), position u32, key size u32, value size u32

const headerBytes = 16
const elementBytes = 16
const branchFlag = 1

export interface Page {
  readonly id: number
  readonly offset: number
  readonly isBranch: boolean
  readonly count: number
  /** Of the page and its overflow pages. */
  readonly bytes: number
  /** Offsets in the file of its elements. */
  readonly elements: readonly number[]
}

/** The pages of all trees, parents before children. Requires: an undamaged file. */
export function pagesInUse(file: Buffer): Page[] {
  const pageSize = file.readUInt32LE(headerBytes + 8)
  const pages: Page[] = []
  const visit = (id: number): void => {
    const page = pageAt(file, id, pageSize)
    pages.push(page)
    for (const child of childrenOf(file, page)) visit(child)
  }
  visit(newestRoot(file, pageSize))
  return pages
}

function newestRoot(file: Buffer, pageSize: number): number {
  const metas = [headerBytes, pageSize + headerBytes].map((at) => ({
    root: Number(file.readBigUInt64LE(at + 16)),
    txid: Number(file.readBigUInt64LE(at + 48)),
  }))
  return metas.toSorted((a, b) => b.txid - a.txid)[0]!.root
}

function pageAt(file: Buffer, id: number, pageSize: number): Page {
  const offset = id * pageSize
  const count = file.readUInt16LE(offset + 10)
  return {
    id,
    offset,
    isBranch: file.readUInt16LE(offset + 8) === branchFlag,
    count,
    bytes: (file.readUInt32LE(offset + 12) + 1) * pageSize,
    elements: Array.from({ length: count }, (_, n) => offset + headerBytes + n * elementBytes),
  }
}

function childrenOf(file: Buffer, page: Page): number[] {
  if (page.isBranch) return page.elements.map((at) => Number(file.readBigUInt64LE(at + 8)))
  const buckets = page.elements.filter((at) => file.readUInt32LE(at) === 1)
  const roots = buckets.map((at) => {
    const value = at + file.readUInt32LE(at + 4) + file.readUInt32LE(at + 8)
    return Number(file.readBigUInt64LE(value))
  })
  return roots.filter((root) => root !== 0) // 0: inline, no page of its own
}

/** Where a page's bytes end that mean anything; what follows is slack. */
export function endOfContent(file: Buffer, page: Page): number {
  const ends = page.elements.map((at) =>
    page.isBranch
      ? at + file.readUInt32LE(at) + file.readUInt32LE(at + 4)
      : at + file.readUInt32LE(at + 4) + file.readUInt32LE(at + 8) + file.readUInt32LE(at + 12),
  )
  return Math.max(page.offset + headerBytes, ...ends)
}
