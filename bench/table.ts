// Tables of text: the first column to the left, the others to the right, each as wide as it needs.

export type Row = readonly string[]

export interface TableOptions {
  /** Put before each line. */
  readonly indent?: string
  /** Columns beside the first that are aligned to the left. */
  readonly left?: readonly number[]
  /** What is done to the heading once it is aligned; colours must not count as width. */
  readonly paintHeading?: (heading: string) => string
}

export function table(heading: Row, rows: readonly Row[], options: TableOptions = {}): string[] {
  const { indent = '', left = [], paintHeading = (text) => text } = options
  const all = [heading, ...rows]
  const widths = heading.map((_, column) => Math.max(...all.map((row) => row[column]?.length ?? 0)))
  const isLeft = (column: number): boolean => column === 0 || left.includes(column)
  const align = (row: Row): string =>
    widths
      .map((width, column) => {
        const cell = row[column] ?? ''
        return isLeft(column) ? cell.padEnd(width) : cell.padStart(width)
      })
      .join('  ')
      .trimEnd()
  return [paintHeading(align(heading)), ...rows.map(align)].map((line) => `${indent}${line}`)
}
