// Runs around every test file on a sanitized addon: looks for leaks when its tests have ended. The
// sanitizer writes what it finds into a report, which native/sanitize.mjs judges.

import { createRequire } from 'node:module'
import process from 'node:process'
import { afterAll } from 'vitest'

const addon = process.env['HOTBOLT_LEAK_CHECK']

if (addon) {
  const { check } = createRequire(import.meta.url)(addon) as { check: () => void }
  afterAll(check)
}
