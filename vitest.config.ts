// Tests run from the TypeScript sources; only the addon has to be built. Each test file has a
// process of its own (forks), because a crash of native code must not take others with it.
import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'

/** Packages that only some tests need have a folder of their own, where lib does not look. */
const elsewhere = { find: /^(@aws-sdk\/.*)$/, replacement: packages('./test/s3') + '$1' }

function packages(folder: string): string {
  return fileURLToPath(new URL(`${folder}/node_modules/`, import.meta.url))
}

export default defineConfig({
  resolve: { alias: [elsewhere] },
  test: {
    include: ['test/**/*.test.ts'],
    exclude: ['**/node_modules/**', 'dist/**', 'build/**'],
    pool: 'forks',
    maxWorkers: 2,
    // A test that comes to no assertion proves nothing.
    expect: { requireAssertions: true },
    // Tests of lifetimes call gc() themselves.
    execArgv: ['--expose-gc'],
    // Generous: a slow machine is no failure. Tests wait for events, so passing ones end early.
    testTimeout: process.env['HOTBOLT_TIER'] === 'long' ? 7_200_000 : 600_000,
    hookTimeout: 600_000,
    reporters: ['default', './test/support/skip-report.ts'],
  },
})
