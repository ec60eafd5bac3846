// hotbolt backup with S3, as installed with the SDK beside it; and what Ctrl-C does while the
// server keeps it waiting.

import { join } from 'node:path'
import { expect } from 'vitest'
import { openCatalog } from '../../lib/index.ts'
import { CommandProcess, install, runCommand, type Run } from '../support/installed.ts'
import { testIf } from '../support/tools.ts'
import { put, verifyCatalog } from '../support/with-catalog.ts'
import { inDirectory } from '../support/with-database.ts'
import { HoldingProxy } from './proxy.ts'
import { bucket, credentials, S3Server } from './server.ts'

const packages = { '@aws-sdk/client-s3': 'test/s3', '@aws-sdk/lib-storage': 'test/s3' }

interface Context {
  readonly directory: string
  readonly catalog: string
  readonly proxy: HoldingProxy
  readonly start: (...args: string[]) => CommandProcess
  readonly backup: (...args: string[]) => Promise<Run>
}

function withCommand(run: (context: Context) => Promise<void>): () => Promise<void> {
  return () =>
    inDirectory(async (directory) => {
      const script = await install(directory, packages)
      await using server = await S3Server.start(directory)
      await using proxy = await HoldingProxy.start(server.port)
      const path = join(directory, 'catalog')
      await using catalog = await openCatalog(path)
      await put(catalog, 'ada', 'key', 'value')
      await put(catalog, 'large', 'key', 'x'.repeat(12 << 20))
      await catalog.close()
      const place = ['--target', `s3://${bucket}/some/where`, '--s3-endpoint', proxy.endpoint]
      const start = (...args: string[]): CommandProcess =>
        new CommandProcess(script, ['backup', ...args, ...place], credentials)
      const backup = (...args: string[]): Promise<Run> => start(...args).end()
      await run({ directory, catalog: path, proxy, start, backup })
    })
}

testIf(
  's3',
  'a catalog goes to S3 and back',
  withCommand(async ({ directory, catalog, backup }) => {
    const state = ['--state', join(directory, 'state')]
    expect(await backup('create', catalog)).toMatchObject({
      code: 2,
      errors: expect.stringContaining('--state'),
    })
    const created = await backup('create', catalog, ...state, '--name', 'one', '--json')
    expect(created, created.errors).toMatchObject({ code: 0 })
    expect(JSON.parse(created.out)).toMatchObject({ target: `s3://${bucket}/some/where` })
    expect((await backup('list')).out).toMatch(/^one /m)
    expect(await backup('verify', 'latest', '--depth', 'deep')).toMatchObject({ code: 0 })
    const to = join(directory, 'again')
    expect(await backup('restore', 'latest', '--to', to)).toMatchObject({ code: 0 })
    expect(await verifyCatalog(to)).toEqual(await verifyCatalog(catalog))
    expect(await backup('delete', 'one')).toMatchObject({ code: 0 })
  }),
)

testIf(
  's3',
  'the first Ctrl-C ends an upload in good order, the second does not wait for it',
  withCommand(async ({ directory, catalog, proxy, start, backup }) => {
    const create = ['create', catalog, '--state', join(directory, 'state'), '--name', 'one']
    let held = proxy.holdAfter(10 << 20)
    const first = start(...create)
    await held
    first.kill('SIGINT')
    const run = await first.end()
    expect(run, run.errors).toMatchObject({ code: 130, out: '' })
    proxy.release()
    // Now the server does not answer either when the objects are to be deleted.
    held = proxy.holdAfter(10 << 20, true)
    const second = start(...create)
    await held
    second.kill('SIGINT')
    await second.says('once more to leave at once')
    second.kill('SIGINT')
    expect(await second.end()).toMatchObject({ code: 130, out: '' })
    proxy.release()
    const next = await backup('create', catalog, '--state', join(directory, 'state'))
    expect(next, next.errors).toMatchObject({ code: 3 })
    const clean = ['clean', catalog, '--state', join(directory, 'state')]
    const cleaned = await backup(...clean)
    expect(cleaned).toMatchObject({ code: 0, out: expect.stringContaining('left of one') })
    expect((await backup('list')).out).not.toMatch(/one/)
  }),
)

testIf('s3', 'without the SDK, it is said what to install', () =>
  inDirectory(async (directory) => {
    const script = await install(directory)
    const run = await runCommand(script, ['backup', 'list', '--target', 's3://bucket'])
    expect(run).toMatchObject({
      code: 1,
      errors: expect.stringContaining('@aws-sdk/client-s3 is needed'),
    })
  }),
)
