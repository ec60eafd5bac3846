// The end of every test run: how many files of databases were judged, how many tests were skipped
// for want of which tool, and, as the very last line, the counts. With HOTBOLT_NO_SKIP=1 a run that
// skipped anything is a failed run.
import { existsSync, readFileSync } from 'node:fs'
import type { Reporter, TestModule } from 'vitest/node'

interface Counts {
  passed: number
  failed: number
  skipped: number
}

/** The native tests of the same `npm test`, which ran just before; none in any other run. */
function nativeCounts(): Counts {
  const file = 'build/native-tests.json'
  if (process.env['npm_lifecycle_event'] !== 'test' || !existsSync(file)) {
    return { passed: 0, failed: 0, skipped: 0 }
  }
  return JSON.parse(readFileSync(file, 'utf8')) as Counts
}

function describeTools(skippedByTool: ReadonlyMap<string, number>): string {
  const total = [...skippedByTool.values()].reduce((sum, count) => sum + count, 0)
  const list = [...skippedByTool].map(([tool, count]) => `${tool}: ${count}`).join(', ')
  return `skipped for want of a tool: ${total}${list === '' ? '' : ` (${list})`}\n`
}

export class SkipReport implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], unhandledErrors: readonly unknown[]): void {
    const counts = nativeCounts()
    const skippedByTool = new Map<string, number>()
    let judged = 0
    for (const module of modules) {
      for (const test of module.children.allTests()) {
        const { state } = test.result()
        // A run that was interrupted leaves tests pending: they were not seen to pass.
        counts[state === 'pending' ? 'failed' : state] += 1
        const tool = /\[needs ([^\]]+)\]/.exec(test.fullName)?.[1]
        if (state === 'skipped' && tool !== undefined) {
          skippedByTool.set(tool, (skippedByTool.get(tool) ?? 0) + 1)
        }
      }
      judged += module.meta().judged ?? 0
      // A file that does not load, or a hook that fails, fails the run without any failed test.
      if (module.errors().length > 0) counts.failed += 1
    }
    counts.failed += unhandledErrors.length

    if (process.env['HOTBOLT_NO_SKIP'] === '1' && counts.skipped > 0) process.exitCode = 1
    // At exit, so that no other reporter prints after it.
    process.once('exit', () => {
      process.stdout.write(`files of databases judged: ${judged}\n`)
      process.stdout.write(describeTools(skippedByTool))
      process.stdout.write(
        `${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped\n`,
      )
    })
  }
}

// A reporter named by its path has to be a default export.
// oxlint-disable-next-line import/no-default-export
export default SkipReport
