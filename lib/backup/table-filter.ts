// Which tables are meant: names with `*` for any characters and `?` for one.

import type { TableFilter } from './backup-options.ts'

/** Whether a table of this name is meant. */
export function tableFilter(filter: TableFilter): (name: string) => boolean {
  const includes = filter.include?.map(pattern)
  const excludes = filter.exclude?.map(pattern) ?? []
  return (name) => {
    const characters = Array.from(name)
    const matches = (each: Pattern): boolean => isMatch(each, characters)
    return (includes === undefined || includes.some(matches)) && !excludes.some(matches)
  }
}

/** Characters in the sense of Unicode's code points. */
type Pattern = readonly string[]

const pattern = (text: string): Pattern => Array.from(text)

/**
 * Greedy, going back to the last `*` only: no pattern takes longer than the product of the lengths,
 * which a regular expression cannot say.
 */
function isMatch(pattern: Pattern, name: readonly string[]): boolean {
  let at = 0
  let star: { readonly pattern: number; name: number } | undefined
  for (let index = 0; index < name.length;) {
    if (pattern[at] === '*') {
      star = { pattern: at++, name: index }
    } else if (pattern[at] === '?' || (at < pattern.length && pattern[at] === name[index])) {
      at++
      index++
    } else if (star !== undefined) {
      at = star.pattern + 1
      index = ++star.name
    } else {
      return false
    }
  }
  return pattern.slice(at).every((character) => character === '*')
}
