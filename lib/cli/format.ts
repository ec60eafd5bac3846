// How bytes, sizes and durations are printed, and bytes are read from the command line.

import { UsageError } from './command.ts'

const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB']

/** `1.5 MiB`; exact below 1 KiB. */
export function formatBytes(bytes: number): string {
  const power = bytes < 1 ? 0 : Math.floor(Math.log2(bytes) / 10)
  const unit = Math.min(power, units.length - 1)
  const scaled = bytes / 1024 ** unit
  return `${unit === 0 ? bytes : scaled.toFixed(1)} ${units[unit]}`
}

/** `0.42 ms`, `87 ms`, `3.2 s`, `4 min 7 s`. */
export function formatDuration(ms: number): string {
  if (ms < 10) return `${ms.toFixed(2)} ms`
  if (ms < 1000) return `${Math.round(ms)} ms`
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)} s`
  const seconds = Math.round(ms / 1000)
  return `${Math.floor(seconds / 60)} min ${seconds % 60} s`
}

export function formatPercent(part: number, whole: number): string {
  return whole === 0 ? '-' : `${((100 * part) / whole).toFixed(1)} %`
}

const strictUtf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
const unprintable = /[\p{Cc}\p{Cf}\p{Co}\p{Cn}\p{Cs}\p{Zl}\p{Zp}]/u

/** Text if the bytes are printable UTF-8 and do not begin with 0x; else 0x and hex digits. */
export function formatKey(bytes: Uint8Array, hex: boolean): string {
  const text = hex ? undefined : printable(bytes)
  return text ?? `0x${Buffer.from(bytes).toString('hex')}`
}

function printable(bytes: Uint8Array): string | undefined {
  try {
    const text = strictUtf8.decode(bytes)
    return text === '' || text.startsWith('0x') || unprintable.test(text) ? undefined : text
  } catch {
    return undefined
  }
}

/** What formatKey() prints: 0x and digits, or text. With `hex`: digits, after 0x if one likes. */
export function parseKey(text: string, hex: boolean): Buffer {
  return parseValue(text, hex || /^0x([0-9a-f]{2})+$/i.test(text))
}

/** With `hex`: digits, after 0x if one likes; else the text as it is. */
export function parseValue(text: string, hex: boolean): Buffer {
  if (!hex) return Buffer.from(text)
  const digits = text.replace(/^0x/i, '')
  if (/^([0-9a-f]{2})*$/i.test(digits)) return Buffer.from(digits, 'hex')
  throw new UsageError(`Expected pairs of hex digits, got "${text}"`)
}
