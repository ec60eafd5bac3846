// What the bytes of a bbolt file are, for tests that damage them: of every byte whether it is
// structure, which the format lets a check prove, or content, which has no checksum.

const headerBytes = 16
const elementBytes = 16
const bucketHeaderBytes = 16
const branchFlag = 1
const leafFlag = 2

/**
 * 'free' is everything that no tree reaches: metas, freelist, free pages, and what is left over in
 * a page. 'kind' says whether an element is a value or a bucket; 'last size' are the sizes of the
 * last key and value in a page, which nothing follows; 'count' is a leaf's count that one bit makes
 * 0, which is what an empty bucket has.
 */
export type ByteClass =
  | 'free'
  | 'header'
  | 'element'
  | 'kind'
  | 'count'
  | 'last size'
  | 'root'
  | 'sequence'
  | 'key'
  | 'value'

/** Of a sound file; `root` is its newest root page. */
export function mapPages(file: Buffer, pageSize: number, root: number): ByteClass[] {
  const classes = Array.from<ByteClass>({ length: file.length }).fill('free')
  const mark = (begin: number, size: number, name: ByteClass): void =>
    void classes.fill(name, begin, begin + size)

  const leafElement = (at: number, isLast: boolean): void => {
    const key = at + file.readUInt32LE(at + 4)
    const value = key + file.readUInt32LE(at + 8)
    const size = file.readUInt32LE(at + 12)
    mark(at, 4, 'kind')
    if (isLast) mark(at + 8, 8, 'last size')
    mark(key, value - key, 'key')
    mark(value, size, 'value')
    if ((file.readUInt32LE(at) & 1) === 0) return
    mark(value, 8, 'root')
    mark(value + 8, 8, 'sequence')
    const page = Number(file.readBigUInt64LE(value))
    visit(page === 0 ? value + bucketHeaderBytes : page * pageSize)
  }

  const branchElement = (at: number): void => {
    mark(at + file.readUInt32LE(at), file.readUInt32LE(at + 4), 'key')
    visit(Number(file.readBigUInt64LE(at + 8)) * pageSize)
  }

  const visit = (start: number): void => {
    const flags = file.readUInt16LE(start + 8)
    const count = file.readUInt16LE(start + 10)
    if (flags !== leafFlag && flags !== branchFlag) throw new Error(`no page of a tree: ${start}`)
    mark(start, headerBytes, 'header')
    const isPowerOfTwo = (count & (count - 1)) === 0
    if (flags === leafFlag && isPowerOfTwo) mark(start + 10, 2, 'count')
    for (let index = 0; index < count; index++) {
      const at = start + headerBytes + index * elementBytes
      mark(at, elementBytes, 'element')
      if (flags === leafFlag) leafElement(at, index === count - 1)
      else branchElement(at)
    }
  }

  visit(root * pageSize)
  return classes
}
