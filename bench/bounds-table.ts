// The bounds and what was measured, side by side.

import { spawnSync } from 'node:child_process'
import type { Bound, BoundCase } from './bounds.ts'
import { needsOneProcessor } from './bounds.ts'
import { bytes, duration, figure } from './format.ts'
import type { Row } from './table.ts'

export const boundsHeading: Row = ['bound', 'figure', 'limit', 'ok']

export function boundsRows(bounds: readonly Bound[]): Row[] {
  return bounds.map((each) => {
    const print = formats[each.unit]
    return [each.bound, print(each.figure), print(each.limit), isKept(each) ? 'yes' : 'NO']
  })
}

export const isKept = (bound: Bound): boolean => bound.figure <= bound.limit

const formats = { bytes, ms: duration, ratio: figure }

/** Prefix of the command of a process that may use one processor only; nothing where it cannot. */
export function oneProcessor(name: BoundCase): readonly string[] {
  if (!needsOneProcessor(name)) return []
  const command = ['taskset', '-c', '0']
  return spawnSync(command[0]!, [...command.slice(1), 'true']).status === 0 ? command : []
}
