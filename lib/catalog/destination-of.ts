// Where a backup goes that is restored into a path: what it is of says how.

import type { RestoreDestination } from '../backup/freeze-source.ts'
import { filesDestination } from '../backup/restore-files.ts'
import { invalid, rule } from '../rules.ts'
import { catalogDestination } from './catalog-destination.ts'
import { storeDestination } from './store-destination.ts'

/** A path: ERR_INVALID_ARGUMENT unless the backup is one of those that are known here. */
export function destinationOf(into: string | RestoreDestination): RestoreDestination {
  if (typeof into !== 'string') return requireDestination(into)
  if (!rule.text.accepts(into)) throw invalid('into', rule.text.expected, into)
  return {
    kind: undefined,
    location: into,
    begin: async (manifest, options) => {
      const destination = destinationFor(manifest.source.kind, into)
      return destination.begin(manifest, options)
    },
  }
}

function destinationFor(kind: string, path: string): RestoreDestination {
  if (kind === 'catalog') return catalogDestination(path)
  return kind === 'store' ? storeDestination(path) : filesDestination(path)
}

function requireDestination(into: RestoreDestination): RestoreDestination {
  const begin: unknown = (into as Partial<RestoreDestination> | null | undefined)?.begin
  if (rule.callback.accepts(begin)) return into
  throw invalid('into', 'a path or a destination', into)
}
