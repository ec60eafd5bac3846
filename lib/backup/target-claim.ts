// How two machines that back up to one place keep out of each other's way where no lock reaches
// both: the object `<backup>/claim`, which is only stored where there is none, says whose the name
// is, from before the first object to after the manifest. Of an incomplete backup it goes last.
//
// Whose claim it is, the run's record says. A claim of another machine proves nothing about whether
// that is alive: only its own cleaning, or deleting the backup, takes it away.

import { randomUUID } from 'node:crypto'
import { hostname } from 'node:os'
import { HotboltError } from '../errors.ts'
import { targetError } from './backup-error.ts'
import type { JournaledRun } from './freeze-journal.ts'
import { claimKey } from './names.ts'
import type { Target } from './target.ts'

const claimBytesMax = 1024

/** For a person too: which machine, since when. */
export const newClaim = (): string =>
  `${randomUUID()} ${hostname().slice(0, 255)} ${new Date().toISOString()}`

/** The name is this run's from now on; without effect where the target cannot say. ERR_LOCKED. */
export async function claimInTarget(
  target: Target,
  name: string,
  claim: string,
  signal?: AbortSignal,
): Promise<void> {
  if (target.create === undefined) return
  try {
    if (await target.create(claimKey(name), Buffer.from(claim), signal)) return
  } catch (error) {
    throw targetError(error, `Claiming "${name}" in ${target.location} failed`)
  }
  // The answer to the first attempt of a repeated request may have been lost.
  await requireClaim(target, name, claim, signal)
}

/** Nobody else has taken the name. ERR_LOCKED. */
export async function requireClaim(
  target: Target,
  name: string,
  claim: string,
  signal?: AbortSignal,
): Promise<void> {
  if (target.create === undefined) return
  const found = await claimOf(target, name, signal)
  if (found !== claim) throw claimedBy(name, found)
}

/** Whether the name is another machine's, and so is all that is stored under it. */
export async function otherClaim(
  target: Target,
  { claim }: Pick<JournaledRun, 'claim'>,
  name: string,
  signal?: AbortSignal,
): Promise<HotboltError | undefined> {
  if (target.create === undefined) return undefined
  const found = await claimOf(target, name, signal)
  return found === undefined || found === claim ? undefined : claimedBy(name, found)
}

function claimedBy(name: string, claim: string | undefined): HotboltError {
  const who = claim === undefined ? 'has been deleted meanwhile' : `is ${JSON.stringify(claim)}`
  const message = `Another machine makes the backup "${name}", or has died: its claim ${who}`
  return new HotboltError('ERR_LOCKED', message)
}

/** Undefined: there is none. Longer than ours can be, it is another's in any case. */
async function claimOf(
  target: Target,
  name: string,
  signal: AbortSignal | undefined,
): Promise<string | undefined> {
  const chunks: Uint8Array[] = []
  let bytes = 0
  try {
    for await (const chunk of await target.get(claimKey(name), signal)) {
      chunks.push(chunk as Uint8Array)
      bytes += (chunk as Uint8Array).length
      if (bytes > claimBytesMax) break
    }
  } catch (error) {
    if (HotboltError.is(error, 'ERR_NOT_FOUND')) return undefined
    throw targetError(error, `Reading the claim of "${name}" in ${target.location} failed`)
  }
  return Buffer.concat(chunks).subarray(0, claimBytesMax).toString()
}
