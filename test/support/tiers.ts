// How much of what can be counted is done, and how long a test may wait.
//
//   HOTBOLT_TIER=ci npx vitest run test/crash       the counts of CI
//   HOTBOLT_TIER=long npx vitest run test/crash     those of a release
//   HOTBOLT_KILL_CYCLES=500 npx vitest run test/crash/kill.test.ts

export type Tier = 'short' | 'ci' | 'long'

function tierOf(name: string): Tier {
  if (name === 'short' || name === 'ci' || name === 'long') return name
  throw new Error(`Expected HOTBOLT_TIER to be 'ci' or 'long', got '${name}'`)
}

/** That of `npm test` unless it is said otherwise. */
export const tier: Tier = tierOf(process.env['HOTBOLT_TIER'] ?? 'short')

export const isLong: boolean = tier === 'long'

/** What this run has of something: as many as its tier, unless a variable says how many. */
export function countOf(counts: Readonly<Record<Tier, number>>, variable = ''): number {
  return Number(process.env[variable] ?? counts[tier])
}

/** What takes longer hangs: far more than anything needs, on a machine with much else to do. */
export const patienceMs = 300_000
