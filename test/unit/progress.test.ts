// The bar of the command line, on a terminal and elsewhere.

import { expect, test } from 'vitest'
import {
  backupLine,
  createProgressBar,
  storeBackupLine,
  transferLine,
} from '../../lib/cli/progress.ts'

function stream(isTTY: boolean, columns = 80): { written: string[]; stream: NodeJS.WriteStream } {
  const written: string[] = []
  const write = (text: string): boolean => written.push(text) > 0
  return { written, stream: { isTTY, columns, write } as unknown as NodeJS.WriteStream }
}

const copying = {
  phase: 'copying',
  tablesTotal: 8,
  tablesCopied: 2,
  frozen: 3,
  bytesCopied: 6 << 20,
  elapsedMs: 2000,
} as const

test('a backup shows tables, bytes, speed and what is frozen', () => {
  expect(backupLine(copying)).toBe(
    '[######------------------] copying 2 of 8, 6.0 MiB, 3.0 MiB/s, 3 frozen',
  )
  expect(backupLine({ ...copying, phase: 'listing' })).toBe('listing what there is to copy')
  expect(backupLine({ ...copying, tablesTotal: 0, tablesCopied: 0 })).toMatch(/^\[-{24}\]/)
})

test('a restore shows what is left', () => {
  const progress = { tablesTotal: 4, tablesDone: 1, bytesTotal: 40 << 20, bytesDone: 10 << 20 }
  expect(transferLine('restoring')({ ...progress, elapsedMs: 5000 })).toBe(
    '[######------------------] restoring 1 of 4, 10.0 MiB of 40.0 MiB, 2.0 MiB/s, 15.0 s left',
  )
  const begun = { ...progress, bytesDone: 0, tablesDone: 0, elapsedMs: 3000 }
  expect(transferLine('restoring')(begun)).not.toContain('left')
})

test('a copy shows its bytes', () => {
  const progress = { bytesCopied: 1 << 20, bytesTotal: 2 << 20, elapsedMs: 10 }
  expect(storeBackupLine(progress)).toBe('[############------------] copying 1.0 MiB of 2.0 MiB')
})

test('a terminal sees one line that is no wider than it, and at the end none', () => {
  const { written, stream: terminal } = stream(true, 30)
  const bar = createProgressBar(backupLine, terminal)
  bar.show(copying)
  bar.end()
  expect(written).toEqual(['\r\u001b[K[######------------------] co', '\r\u001b[K'])
})

test('nothing is written where there is no terminal', () => {
  const { written, stream: file } = stream(false)
  const bar = createProgressBar(backupLine, file)
  bar.show(copying)
  bar.end()
  expect(written).toEqual([])
})
