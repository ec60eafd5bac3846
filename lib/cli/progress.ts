// A bar on standard error while something takes long; nothing when that is not a terminal.

import type {
  BackupProgress,
  DefragProgress,
  StoreBackupProgress,
  TransferProgress,
} from '../index.ts'
import { formatBytes, formatDuration } from './format.ts'
import { plain } from './output.ts'

const barWidth = 24
const eraseLine = '\r\u001b[K'
const intervalMs = 50

export interface ProgressBar<Progress> {
  readonly show: (progress: Progress) => void
  readonly end: () => void
}

export function createProgressBar<Progress>(
  toLine: (progress: Progress) => string,
  stream: NodeJS.WriteStream = process.stderr,
): ProgressBar<Progress> {
  if (!stream.isTTY) return { show: () => {}, end: () => {} }
  let shownMs = -Infinity
  return {
    show: (progress) => {
      const nowMs = performance.now()
      if (nowMs - shownMs < intervalMs) return
      shownMs = nowMs
      // A line that wraps could not be erased.
      stream.write(eraseLine + plain(toLine(progress)).slice(0, (stream.columns || 80) - 1))
    },
    end: () => stream.write(eraseLine),
  }
}

export function defragLine(progress: DefragProgress): string {
  const { phase, bytesCopied, bytesTotal, round, backlogBytes } = progress
  const backlog =
    phase === 'catching-up' ? `, round ${round}, ${formatBytes(backlogBytes)} left` : ''
  return `${bar(bytesCopied, bytesTotal)} ${phase} ${share(bytesCopied, bytesTotal)}${backlog}`
}

export function storeBackupLine({ bytesCopied, bytesTotal }: StoreBackupProgress): string {
  return `${bar(bytesCopied, bytesTotal)} copying ${share(bytesCopied, bytesTotal)}`
}

export function backupLine(progress: BackupProgress): string {
  const { phase, tablesTotal, tablesCopied, frozen, bytesCopied, elapsedMs } = progress
  if (phase === 'listing') return 'listing what there is to copy'
  const tables = `${tablesCopied} of ${tablesTotal}`
  const size = `${formatBytes(bytesCopied)}${speed(bytesCopied, elapsedMs)}`
  return `${bar(tablesCopied, tablesTotal)} ${phase} ${tables}, ${size}, ${frozen} frozen`
}

export const transferLine =
  (verb: string) =>
  (progress: TransferProgress): string => {
    const { tablesTotal, tablesDone, bytesTotal, bytesDone, elapsedMs } = progress
    const left = elapsedMs * (bytesTotal / bytesDone - 1)
    const rest = elapsedMs > 2000 && bytesDone > 0 ? `, ${formatDuration(left)} left` : ''
    const size = `${share(bytesDone, bytesTotal)}${speed(bytesDone, elapsedMs)}${rest}`
    return `${bar(bytesDone, bytesTotal)} ${verb} ${tablesDone} of ${tablesTotal}, ${size}`
  }

function bar(done: number, total: number): string {
  const part = total === 0 ? 0 : Math.min(1, done / total)
  return `[${'#'.repeat(Math.round(part * barWidth)).padEnd(barWidth, '-')}]`
}

const share = (done: number, total: number): string =>
  `${formatBytes(done)} of ${formatBytes(total)}`

/** Not of the first moments, which say nothing. */
function speed(bytes: number, elapsedMs: number): string {
  return elapsedMs < 500 ? '' : `, ${formatBytes(Math.round((1000 * bytes) / elapsedMs))}/s`
}
