// Property tests: the seed of every run is known, and a failure says how to see it again.
//
//   FC_SEED=1234 FC_PATH=17:3 npx vitest run test/model
//
// Each tier runs every property more often.

import { check, defaultReportMessage } from 'fast-check'
import type { IAsyncProperty, Parameters } from 'fast-check'
import { countOf } from './tiers.ts'

/** How often a property runs, as a part of what it asks for. */
const share = countOf({ short: 0.2, ci: 1, long: 20 })

function integerFrom(name: string): number | undefined {
  const text = process.env[name]
  return text === undefined || text === '' ? undefined : Number.parseInt(text, 10)
}

/** The seed of this process: from FC_SEED, or a new one. */
export const seed: number = integerFrom('FC_SEED') ?? Math.floor(Math.random() * 0x7fff_ffff)

/** Checks it `runs` times, or this tier's share; throws with the command that repeats a failure. */
export async function holds<Values extends unknown[]>(
  property: IAsyncProperty<Values>,
  runs: number,
): Promise<void> {
  const path = process.env['FC_PATH']
  const parameters: Parameters<Values> = {
    seed,
    numRuns: Math.ceil(runs * share),
    endOnFailure: process.env['FC_SHRINK'] === '0',
    ...(path === undefined ? {} : { path }),
  }
  const details = await check(property, parameters)
  if (!details.failed) {
    console.info(`${details.numRuns} runs, seed ${seed}`)
    return
  }
  const found = details.counterexamplePath ?? ''
  const replay = `Seen again with: FC_SEED=${seed} FC_PATH=${found}`
  throw new Error(`${defaultReportMessage(details)}\n\n${replay}`, { cause: details.errorInstance })
}
