// One thing done to a catalog: catalog <what> <directory>, where the directory has
// what the test has prepared. Says 'done'. `hold` says 'open' and waits until its input ends.

import { join } from 'node:path'
import { openCatalog, restoreBackup } from '../../lib/index.ts'

const [what = '', directory = ''] = process.argv.slice(2)
const path = join(directory, 'catalog')
const long = 'x'.repeat(500)

const deeds: Record<string, () => Promise<unknown>> = {
  make: async () => (await openCatalog(path)).close(),
  create: () => withCatalog((catalog) => catalog.create('new')),
  'create long': () => withCatalog((catalog) => catalog.create(long)),
  drop: () => withCatalog((catalog) => catalog.drop('a')),
  rename: () => withCatalog((catalog) => catalog.rename('a', 'new')),
  'rename long': () => withCatalog((catalog) => catalog.rename('a', long)),
  restore: () => restore('catalog', path),
  'restore store': () => restore('store', join(directory, 'store.db')),
  hold: () =>
    withCatalog(async () => {
      console.info('open')
      for await (const _chunk of process.stdin);
    }),
}

async function withCatalog(
  run: (catalog: Awaited<ReturnType<typeof openCatalog>>) => Promise<void>,
): Promise<void> {
  const catalog = await openCatalog(path)
  await run(catalog)
  await catalog.close()
}

function restore(name: string, into: string): Promise<unknown> {
  return restoreBackup({ target: join(directory, 'backups'), name, into, overwrite: true })
}

await deeds[what]?.()
console.info('done')
