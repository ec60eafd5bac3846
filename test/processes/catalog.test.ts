// Catalogs and threads: a thread that is terminated lets go of its catalog, and what it was told is
// durable is there.

import { once } from 'node:events'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { openCatalog } from '../../lib/index.ts'
import { startThread } from '../support/child.ts'
import { get, verifyCatalog } from '../support/with-catalog.ts'
import { codeOf, inDirectory, openFilesIn } from '../support/with-database.ts'

test('a thread is terminated amid opening, writing, evicting, dropping and a backup', () =>
  inDirectory(async (directory) => {
    const path = join(directory, 'catalog')
    for (let round = 1; round <= 10; round++) {
      const thread = startThread('catalog-thread', { directory, round })
      const counts: Record<string, number> = {}
      thread.on('message', ([name, count]: [string, number]) => (counts[name] = count))
      while ((counts['a'] ?? 0) < 5 * round) await once(thread, 'message')
      expect(await codeOf(() => openCatalog(path))).toBe('ERR_LOCKED')
      await thread.terminate()
      // Not of directories: Node leaks what it is just opening for a thread that ends.
      const databases = openFilesIn(path).filter((file) => /\.db|\.catalog/.test(file))
      expect(databases, 'it has let go of its files').toEqual([])
      {
        await using catalog = await openCatalog(path)
        expect(catalog.stats().freezes).toBe(0)
        for (const name of await catalog.list()) await catalog.use(name, () => {})
        for (const [name, count] of Object.entries(counts)) {
          expect(Number(await get(catalog, name, 'n'))).toBeGreaterThanOrEqual(count)
        }
      }
      await verifyCatalog(path)
      const hidden = readdirSync(path).filter((entry) => entry.startsWith('.'))
      expect(hidden).toEqual(['.catalog'])
    }
  }))
