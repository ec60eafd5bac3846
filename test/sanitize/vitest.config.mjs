// How the suite runs on a sanitized addon: as ever, more slowly, and looking for leaks.
import process from 'node:process'
import { mergeConfig } from 'vitest/config'
import plain from '../../vitest.config.ts'

// Here and not in the environment that vitest is started with: its own process loads addons that
// are none of ours.
process.env['LD_PRELOAD'] = process.env['HOTBOLT_SANITIZER_RUNTIME']

export default mergeConfig(plain, {
  test: {
    setupFiles: ['./test/sanitize/setup.ts'],
    testTimeout: 300_000,
    hookTimeout: 300_000,
  },
})
