// Numbers for people: thousands with commas, three significant digits, units in the text.

/** 1234567 -> '1,234,567' */
export function count(value: number): string {
  return Math.round(value).toLocaleString('en-US')
}

/** Three significant digits without an exponent: 1.23, 12.3, 123, 12,345. */
export function figure(value: number): string {
  if (!Number.isFinite(value)) return '-'
  if (Math.abs(value) >= 100) return count(value)
  return value.toFixed(Math.abs(value) >= 10 ? 1 : Math.abs(value) >= 0.1 ? 2 : 3)
}

/** Decimal units, as disks are sold and as etcd's own tools print. */
export function bytes(value: number): string {
  if (value < 1e3) return `${value} B`
  if (value < 1e6) return `${figure(value / 1e3)} kB`
  if (value < 1e9) return `${figure(value / 1e6)} MB`
  return `${figure(value / 1e9)} GB`
}

export function duration(ms: number): string {
  return ms < 1000 ? `${figure(ms)} ms` : `${figure(ms / 1000)} s`
}

export function percent(part: number, whole: number): string {
  return `${Math.round((100 * part) / whole)} %`
}
