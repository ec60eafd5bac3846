// The few bytes of the bbolt format that tests damage on purpose: the meta pages.
//
//   at 16 in pages 0 and 1: magic u32, version u32, page size u32, flags u32, root u64,
//   sequence u64, free list u64, high water u64, transaction u64, FNV-1a 64 of these 56 bytes

import { open, readFile, writeFile } from 'node:fs/promises'

export const metaOffset = 16
const checksumOffset = 56
const metaBytes = 64

const fnvOffset = 0xcbf2_9ce4_8422_2325n
const fnvPrime = 0x0000_0100_0000_01b3n

function fnv1a(bytes: Uint8Array): bigint {
  let hash = fnvOffset
  for (const byte of bytes) hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * fnvPrime)
  return hash
}

/** Changes bytes of a file. */
export async function patchFile(path: string, offset: number, bytes: Uint8Array): Promise<void> {
  const file = await open(path, 'r+')
  try {
    await file.write(bytes, 0, bytes.length, offset)
  } finally {
    await file.close()
  }
}

/** Inverts the bits of one byte. */
export async function flipByte(path: string, offset: number): Promise<void> {
  const bytes = await readFile(path)
  bytes[offset]! ^= 0xff
  await writeFile(path, bytes)
}

/** Changes both metas of a file and, unless told not to, makes their checksums right again. */
export async function changeMetas(
  path: string,
  change: (meta: Buffer, index: number) => void,
  options: { pages?: readonly number[]; keepChecksum?: boolean } = {},
): Promise<void> {
  const bytes = await readFile(path)
  const pageSize = bytes.readUInt32LE(metaOffset + 8)
  for (const index of options.pages ?? [0, 1]) {
    const start = index * pageSize + metaOffset
    const meta = bytes.subarray(start, start + metaBytes)
    change(meta, index)
    if (options.keepChecksum === true) continue
    meta.writeBigUInt64LE(fnv1a(meta.subarray(0, checksumOffset)), checksumOffset)
  }
  await writeFile(path, bytes)
}

export interface MetaFields {
  readonly root: number
  readonly freelist: bigint
  readonly highWater: number
  readonly txid: number
}

/** The two metas as they are. */
export async function readMetas(path: string): Promise<[MetaFields, MetaFields]> {
  const bytes = await readFile(path)
  const pageSize = bytes.readUInt32LE(metaOffset + 8)
  const at = (index: number): MetaFields => {
    const start = index * pageSize + metaOffset
    return {
      root: Number(bytes.readBigUInt64LE(start + 16)),
      freelist: bytes.readBigUInt64LE(start + 32),
      highWater: Number(bytes.readBigUInt64LE(start + 40)),
      txid: Number(bytes.readBigUInt64LE(start + 48)),
    }
  }
  return [at(0), at(1)]
}
