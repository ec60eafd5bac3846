// A bar on standard error while something takes long; nothing when that is not a terminal.

import type { DefragProgress } from '../index.ts'
import { formatBytes } from './format.ts'

const barWidth = 24
const eraseLine = '\r\u001b[K'

export interface ProgressBar {
  readonly show: (progress: DefragProgress) => void
  readonly end: () => void
}

export function createProgressBar(stream: NodeJS.WriteStream = process.stderr): ProgressBar {
  if (!stream.isTTY) return { show: () => {}, end: () => {} }
  return {
    show: (progress) => stream.write(eraseLine + toLine(progress)),
    end: () => stream.write(eraseLine),
  }
}

function toLine({ phase, bytesCopied, bytesTotal, round, backlogBytes }: DefragProgress): string {
  const share = bytesTotal === 0 ? 0 : Math.min(1, bytesCopied / bytesTotal)
  const bar = '#'.repeat(Math.round(share * barWidth)).padEnd(barWidth, '-')
  const backlog =
    phase === 'catching-up' ? `, round ${round}, ${formatBytes(backlogBytes)} left` : ''
  return `[${bar}] ${phase} ${formatBytes(bytesCopied)} of ${formatBytes(bytesTotal)}${backlog}`
}
