// The defragmentation's phases over the full phase x event matrix, against a table written by hand.
import { expect, test } from 'vitest'
import { HotboltError } from '../../lib/errors.ts'
import {
  defragEvents,
  defragPhases,
  isAbortable,
  next,
  transition,
  type DefragEvent,
  type DefragPhase,
} from '../../lib/maintenance/phase.ts'

/** One line per phase, one column per event, in the order of `events`; '-' cannot happen. */
const events: readonly DefragEvent[] = [
  'begin',
  'pinned',
  'copied',
  'caught-up',
  'published',
  'cleaned',
  'abort',
  'aborted',
]
const expected: Readonly<Record<DefragPhase, readonly (DefragPhase | '-')[]>> = {
  idle: ['preparing', '-', '-', '-', '-', '-', '-', '-'],
  preparing: ['-', 'copying', '-', '-', '-', '-', 'aborting', '-'],
  copying: ['-', '-', 'catching-up', '-', '-', '-', 'aborting', '-'],
  'catching-up': ['-', '-', '-', 'switching', '-', '-', 'aborting', '-'],
  switching: ['-', '-', '-', '-', 'cleaning', '-', 'aborting', '-'],
  cleaning: ['-', '-', '-', '-', '-', 'done', '-', '-'],
  done: ['-', '-', '-', '-', '-', '-', '-', '-'],
  aborting: ['-', '-', '-', '-', '-', '-', '-', 'aborted'],
  aborted: ['-', '-', '-', '-', '-', '-', '-', '-'],
}

const matrix = defragPhases.flatMap((phase) =>
  events.map((event, column) => ({ phase, event, to: expected[phase][column] })),
)
const legal = matrix.filter(({ to }) => to !== '-')
const illegal = matrix.filter(({ to }) => to === '-')

test('the matrix is complete', () => {
  expect([...events].sort()).toEqual([...defragEvents].sort())
  expect(Object.keys(expected).sort()).toEqual([...defragPhases].sort())
  expect(matrix).toHaveLength(72)
})

test.each(legal)('$phase goes to $to on $event', ({ phase, event, to }) => {
  expect(next(phase, event)).toBe(to)
  expect(transition(phase, event)).toBe(to)
})

test.each(illegal)('$phase refuses $event', ({ phase, event }) => {
  expect(next(phase, event)).toBeUndefined()
  expect(() => transition(phase, event)).toThrow(
    expect.objectContaining({ code: 'ERR_INTERNAL', name: 'HotboltError' }),
  )
})

test('there is a way back until the new file is published', () => {
  expect(defragPhases.filter(isAbortable)).toEqual([
    'preparing',
    'copying',
    'catching-up',
    'switching',
  ])
})

test('an illegal transition says what happened in which phase', () => {
  expect(() => transition('done', 'copied')).toThrow(HotboltError)
  expect(() => transition('done', 'copied')).toThrow(
    "A defragmentation that is done got the event 'copied'",
  )
})
