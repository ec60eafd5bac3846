// Threads that end with a database open, one after another, in a process of their own.

import { expect } from 'vitest'
import { runChild } from '../support/child.ts'

/** `activity`: what each is at when it ends; see test/children/ledger-thread.ts. */
export async function endThreads(
  path: string,
  activity: string,
  count: number,
  end?: 'terminate',
): Promise<void> {
  const args = ['threads', path, activity, `${count}`]
  const lines = await runChild('ledger', end === undefined ? args : [...args, end])
  expect(lines).toEqual(Array(count).fill('ended'))
}
