// A catalog in a process that may open few files: descriptors <directory>. Says how many stores it
// made one after another, how many it could lease at a time, and how the next one failed.

import { join } from 'node:path'
import { openCatalog, type CatalogStore } from '../../lib/index.ts'

const [directory = ''] = process.argv.slice(2)
const catalog = await openCatalog(join(directory, 'catalog'))
const count = 100
for (let n = 0; n < count; n++) {
  await catalog.use(`s${n}`, (db) => db.bucket('b').put('k', 'v'))
}
console.info((await catalog.list()).length)
const leased: CatalogStore[] = []
try {
  for (let n = 0; n < count; n++) leased.push(await catalog.open(`s${n}`))
} catch (error) {
  const { code, errno } = error as { code: string; errno: number }
  const EMFILE = 24
  console.info(leased.length)
  console.info(`${code} ${errno === EMFILE ? 'EMFILE' : errno}`)
}
for (const store of leased) store.close()
// A close may want a descriptor, too: then the journal keeps what the file has not got.
await catalog.close().catch(() => {})
