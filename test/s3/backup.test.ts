// Backups of a catalog in a real S3 server: round trips, and what is left of one that is cancelled,
// or whose server dies, in the middle of an upload.

import { readdir } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'vitest'
import { s3Target } from '../../lib/adapters/s3.ts'
import {
  cleanFreezes,
  createBackup,
  deleteBackup,
  listBackups,
  openCatalog,
  pruneBackups,
  restoreBackup,
  verifyBackup,
  type Catalog,
  type Target,
} from '../../lib/index.ts'
import { keysIn } from '../support/target-contract.ts'
import { testIf } from '../support/tools.ts'
import { put, verifyCatalog } from '../support/with-catalog.ts'
import { codeOf, inDirectory } from '../support/with-database.ts'
import { HoldingProxy } from './proxy.ts'
import { bucket, S3Server, sdk } from './server.ts'

const largeBytes = 12 << 20

interface Context {
  readonly directory: string
  readonly server: S3Server
  readonly proxy: HoldingProxy
  readonly catalog: Catalog
  readonly target: Target
  /** Of createBackup() and cleanFreezes(). */
  readonly options: { readonly target: Target; readonly stateDirectory: string }
}

/** A catalog of two small stores and one whose copy is uploaded in parts. */
function withContext(run: (context: Context) => Promise<void>): () => Promise<void> {
  return () =>
    inDirectory(async (directory) => {
      await using server = await S3Server.start(directory)
      await using proxy = await HoldingProxy.start(server.port)
      await using catalog = await openCatalog(join(directory, 'catalog'))
      for (const name of ['ada', 'bob']) await put(catalog, name, 'key', name)
      await put(catalog, 'large', 'key', 'x'.repeat(largeBytes))
      const client = server.client({ endpoint: proxy.endpoint })
      const target = s3Target({ client, bucket, prefix: 'stores' })
      const options = { target, stateDirectory: join(directory, 'state') }
      await run({ directory, server, proxy, catalog, target, options })
      await catalog.close()
      await verifyCatalog(join(directory, 'catalog'))
    })
}

/** Where tables are copied before they are uploaded. */
const stagedFor = async (name: string): Promise<string[]> =>
  (await readdir(tmpdir())).filter((entry) => entry.startsWith(`${name}-`))

async function restoresTo(context: Context, name: string, into: string): Promise<void> {
  const { directory, target, catalog } = context
  await restoreBackup({ into: join(directory, into), target, name })
  const restored = await verifyCatalog(join(directory, into))
  for (const store of await catalog.list()) {
    expect(restored.get(store)).toBe(await catalog.use(store, (db) => db.hash()))
  }
  expect(restored.size).toBe((await catalog.list()).length)
}

testIf(
  's3',
  'a catalog is backed up, verified, restored, backed up again in part, and pruned',
  withContext(async (context) => {
    const { target, catalog, options } = context
    const first = await createBackup(catalog, { ...options, name: 'first', freezeAllFirst: true })
    expect(first).toMatchObject({ warnings: [], leftover: [] })
    expect(first.bytesCopied).toBeGreaterThan(largeBytes)
    for (const depth of ['quick', 'full', 'deep'] as const) {
      const report = await verifyBackup({ target, name: 'first', depth })
      expect(report).toMatchObject({ ok: true, issues: [], files: 3 })
    }
    await restoresTo(context, 'first', 'again')
    await put(catalog, 'ada', 'key', 'changed')
    const second = await createBackup(catalog, { ...options, name: 'second', diffFrom: 'first' })
    expect(second.tables.map(({ outcome }) => outcome)).toEqual(['copied', 'reused', 'reused'])
    await restoresTo(context, 'second', 'once more')
    expect(await codeOf(() => deleteBackup({ target, name: 'first' }))).toBe('ERR_BACKUP_REQUIRED')
    const names = async (): Promise<string[]> => (await listBackups(target)).map(({ name }) => name)
    expect(await names()).toEqual(['first', 'second'])
    await createBackup(catalog, { ...options, name: 'third' })
    const pruned = await pruneBackups({ target, keepLast: 1 })
    expect(pruned.kept).toMatchObject([{ name: 'third' }])
    expect(await names()).toEqual(['third'])
    await deleteBackup({ target, name: 'third' })
    expect(await keysIn(target)).toEqual([])
  }),
)

testIf(
  's3',
  'an object that changed, or is missing, is found',
  withContext(async ({ target, catalog, options }) => {
    await createBackup(catalog, { ...options, name: 'one' })
    const keys = await keysIn(target, 'one/tables/')
    const large = keys.find((key) => key.includes('/large/'))!
    const chunks: Buffer[] = []
    for await (const chunk of await target.get(large)) chunks.push(chunk as Buffer)
    const bytes = Buffer.concat(chunks)
    bytes[bytes.length >> 1]! ^= 1
    await target.put(large, bytes)
    await target.delete(keys.find((key) => key.includes('/ada/'))!)
    const { ok, issues } = await verifyBackup({ target, name: 'one' })
    expect(ok).toBe(false)
    expect(issues.map(({ key }) => key).toSorted()).toEqual([
      expect.stringContaining('/ada/'),
      large,
    ])
  }),
)

testIf(
  's3',
  'a backup that is cancelled in the middle of an upload leaves nothing, and the next works',
  withContext(async (context) => {
    const { server, proxy, target, catalog, options } = context
    const cancellation = new AbortController()
    const { signal } = cancellation
    const held = proxy.holdAfter(10 << 20)
    const backup = codeOf(() => createBackup(catalog, { ...options, name: 'one', signal }))
    await held
    expect(catalog.stats().freezes).toBeGreaterThan(0)
    cancellation.abort()
    expect(await backup).toBe('ERR_ABORTED')
    expect(catalog.stats().freezes).toBe(0)
    expect(await keysIn(target)).toEqual([])
    const uploads = new (sdk().ListMultipartUploadsCommand!)({ Bucket: bucket })
    expect((await server.client().send(uploads))['Uploads'] ?? []).toEqual([])
    expect(await stagedFor('one')).toEqual([])
    proxy.release()
    const report = await createBackup(catalog, { ...options, name: 'one' })
    expect(report).toMatchObject({ warnings: [], leftover: [] })
    await restoresTo(context, 'one', 'again')
  }),
)

testIf(
  's3',
  'a server that dies in the middle fails the backup, not the stores; the next backup works',
  withContext(async (context) => {
    const { server, proxy, target, catalog, options } = context
    const held = proxy.holdAfter(10 << 20)
    const backup = createBackup(catalog, { ...options, name: 'one', unfreezeTimeoutMs: 5000 })
    const failure = backup.catch((error: unknown) => error)
    await held
    await server.kill()
    proxy.release()
    expect(await failure).toMatchObject({
      code: 'ERR_IO',
      message: expect.stringContaining('s3://'),
    })
    expect(catalog.stats().freezes).toBe(0)
    expect(await stagedFor('one')).toEqual([])
    await put(catalog, 'ada', 'key', 'written meanwhile')
    await server.start()
    // What it could not delete while the server was away.
    const cleaned = await cleanFreezes(catalog, options)
    expect(cleaned).toMatchObject({ leftover: [], warnings: [], abandoned: ['one'] })
    expect(await keysIn(target)).toEqual([])
    const report = await createBackup(catalog, { ...options, name: 'one' })
    expect(report).toMatchObject({ warnings: [], leftover: [] })
    await restoresTo(context, 'one', 'again')
  }),
)
