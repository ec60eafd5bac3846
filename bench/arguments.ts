// Arguments of the command line that are numbers.

/** A whole number above 0; otherwise says which option is wrong and ends the program. */
export function positiveInteger(option: string, text: string): number {
  const value = Number(text)
  if (Number.isInteger(value) && value > 0) return value
  process.stderr.write(`Expected --${option} to be a whole number above 0, got "${text}"\n`)
  process.exit(2)
}
