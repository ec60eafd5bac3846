// The engines that are compared, by name.

import type { OpenEngine } from '../engine.ts'

export const engineNames = ['hotbolt', 'lmdb'] as const
export type EngineName = (typeof engineNames)[number]

/** Only the engine that is measured is loaded. */
export async function engineOf(name: EngineName): Promise<OpenEngine> {
  if (name === 'hotbolt') return (await import('./hotbolt.ts')).openHotbolt
  return (await import('./lmdb.ts')).openLmdb
}
