// What a random test says of itself, so that a failure can be looked for again.

import { seed } from './property.ts'

/** Prints what was done with which seed, and how to do it again. */
export function announce(file: string, what: string, variables: Record<string, number> = {}): void {
  const settings = Object.entries({ FC_SEED: seed, ...variables }).map(
    ([name, value]) => `${name}=${value}`,
  )
  console.info(`${what}; again: ${settings.join(' ')} npx vitest run ${file}`)
}
