// Arguments of the command line that are numbers.

/** A whole number above 0, or an error that says which option is wrong. */
export function positiveInteger(option: string, text: string): number {
  const value = Number(text)
  if (Number.isInteger(value) && value > 0) return value
  throw new Error(`Expected --${option} to be a whole number above 0, got "${text}"`)
}
