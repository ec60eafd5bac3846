// The phases of an online defragmentation and the one table of their transitions.
//
//   idle -> preparing -> copying -> catching-up -> switching -> cleaning -> done
//               |           |            |             |
//               +-----------+------------+-------------+----> aborting -> aborted
//
// `published` is the point of no return: the new file is under the database's name. From cleaning
// on there is no way to aborting.

import { HotboltError } from '../errors.ts'
import type { DefragPhase } from '../options.ts'

export { defragPhases, type DefragPhase } from '../options.ts'

export const defragEvents = [
  'begin',
  'pinned',
  'copied',
  'caught-up',
  'published',
  'cleaned',
  'abort',
  'aborted',
] as const

export type DefragEvent = (typeof defragEvents)[number]

const transitions: {
  readonly [Phase in DefragPhase]: { readonly [Event in DefragEvent]?: DefragPhase }
} = {
  idle: { begin: 'preparing' },
  preparing: { pinned: 'copying', abort: 'aborting' },
  copying: { copied: 'catching-up', abort: 'aborting' },
  'catching-up': { 'caught-up': 'switching', abort: 'aborting' },
  switching: { published: 'cleaning', abort: 'aborting' },
  cleaning: { cleaned: 'done' },
  done: {},
  aborting: { aborted: 'aborted' },
  aborted: {},
}

/** The phase that follows; undefined when the event cannot happen in this phase. */
export function next(phase: DefragPhase, event: DefragEvent): DefragPhase | undefined {
  return transitions[phase][event]
}

/** The phase that follows; ERR_INTERNAL when the event cannot happen in this phase. */
export function transition(phase: DefragPhase, event: DefragEvent): DefragPhase {
  const following = next(phase, event)
  if (following !== undefined) return following
  const message = `A defragmentation that is ${phase} got the event '${event}'`
  throw new HotboltError('ERR_INTERNAL', message)
}

/** Whether there is still a way back. */
export function isAbortable(phase: DefragPhase): boolean {
  return next(phase, 'abort') !== undefined
}
