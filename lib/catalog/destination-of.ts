// Where a backup goes that is restored into a path: what it is of says how.

import type { RestoreDestination } from '../backup/freeze-source.ts'
import { filesDestination } from '../backup/restore-files.ts'
import { isPath, pathOf } from '../paths.ts'
import { invalid, rule } from '../rules.ts'
import { catalogDestination } from './catalog-destination.ts'
import { storeDestination } from './store-destination.ts'

/** A path: ERR_INVALID_ARGUMENT unless the backup is one of those that are known here. */
export function destinationOf(into: string | URL | RestoreDestination): RestoreDestination {
  if (!isPath(into)) return requireDestination(into)
  const location = pathOf(into, 'into')
  return {
    kind: undefined,
    location,
    begin: async (manifest, options) => {
      const destination = destinationFor(manifest.source.kind, location)
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
