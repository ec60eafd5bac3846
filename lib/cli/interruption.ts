// Ctrl-C: the first ends what runs in good order, the second ends the process.

import { exitCodes } from './command.ts'
import { describeFailure } from './failure.ts'
import { complain } from './output.ts'

/** SIGHUP: its terminal was closed. */
const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

/**
 * Runs what can be cancelled; gives its exit code, or that of an interruption. `ending` says what
 * still has to be done then.
 */
export async function interruptible(
  ending: string,
  run: (signal: AbortSignal) => Promise<number>,
): Promise<number> {
  const interruption = new AbortController()
  const interrupt = (): void => {
    // Whoever asks twice does not want to wait for anything.
    if (interruption.signal.aborted) process.exit(exitCodes.interrupted)
    complain(`Interrupted: ${ending}; once more to leave at once.`)
    interruption.abort()
  }
  for (const signal of signals) process.on(signal, interrupt)
  try {
    const code = await run(interruption.signal)
    return interruption.signal.aborted ? exitCodes.interrupted : code
  } catch (error) {
    if (!interruption.signal.aborted) throw error
    // Also says what could not be cleaned up.
    complain(...describeFailure(error))
    return exitCodes.interrupted
  } finally {
    for (const signal of signals) process.off(signal, interrupt)
  }
}
