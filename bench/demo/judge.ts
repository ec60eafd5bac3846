// Real bbolt's opinion of a file, where there is a Go toolchain to build it with.

import { bboltAvailable, BboltJudge } from '../../test/oracle/bbolt.ts'

export type Judgement =
  | { readonly verdict: 'ok' | 'failed'; readonly version: string; readonly errors: string[] }
  | { readonly verdict: 'skipped'; readonly reason: string }

export interface Judge extends AsyncDisposable {
  judge(path: string): Promise<Judgement>
}

/** Building bbolt needs its sources: from Go's cache, or from the network. */
export async function startJudge(): Promise<Judge> {
  if (!bboltAvailable()) return absentJudge('no Go on this machine')
  let bbolt: BboltJudge
  try {
    bbolt = await BboltJudge.start()
  } catch {
    return absentJudge('bbolt could not be built')
  }
  return {
    judge: async (path) => {
      const { ok, errors } = await bbolt.check(path)
      return { verdict: ok ? 'ok' : 'failed', version: await bbolt.version(), errors }
    },
    [Symbol.asyncDispose]: () => bbolt.close(),
  }
}

function absentJudge(reason: string): Judge {
  return {
    judge: async () => ({ verdict: 'skipped', reason }),
    [Symbol.asyncDispose]: async () => {},
  }
}
