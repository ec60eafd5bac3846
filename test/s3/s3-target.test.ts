// hotbolt/s3 against a real S3 server: what it stores, lists and gives back, large files in parts,
// and what is left when an upload is cancelled or the server dies.

import { execFile } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { s3Target } from '../../lib/adapters/s3.ts'
import { HotboltError, type Target, type TargetObject } from '../../lib/index.ts'
import { repositoryRoot } from '../oracle/root.ts'
import { testIf } from '../support/tools.ts'
import { codeOf, inDirectory } from '../support/with-database.ts'
import { HoldingProxy } from './proxy.ts'
import { bucket, S3Server, sdk, type Client } from './server.ts'

interface Context {
  readonly directory: string
  readonly server: S3Server
  readonly client: Client
  readonly target: Target
}

function withServer(run: (context: Context) => Promise<void>): () => Promise<void> {
  return () =>
    inDirectory(async (directory) => {
      await using server = await S3Server.start(directory)
      const client = server.client()
      const target = s3Target({ client, bucket, prefix: 'some/where' })
      await run({ directory, server, client, target })
    })
}

async function listed(target: Target, prefix: string): Promise<readonly TargetObject[]> {
  const objects: TargetObject[] = []
  for await (const object of target.list(prefix)) objects.push(object)
  return objects.toSorted((one, other) => (one.key < other.key ? -1 : 1))
}

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')

async function largeFile(directory: string, sizeBytes: number): Promise<[string, Buffer]> {
  const path = join(directory, 'large')
  const bytes = randomBytes(sizeBytes)
  await writeFile(path, bytes)
  return [path, bytes]
}

async function uploadsUnderWay(client: Client): Promise<unknown> {
  const command = new (sdk().ListMultipartUploadsCommand!)({ Bucket: bucket })
  return (await client.send(command))['Uploads'] ?? []
}

testIf(
  's3',
  'objects are stored under the prefix, listed, replaced, read and deleted',
  withServer(async ({ client, target }) => {
    expect(target.location).toBe(`s3://${bucket}/some/where`)
    await target.put('a/one', Buffer.from('1'))
    await target.put('a/two', Buffer.from('2'))
    await target.put('a/two', Buffer.from('two'))
    await target.put('b/none', Buffer.alloc(0))
    expect(await listed(target, 'a/')).toEqual([
      { key: 'a/one', sizeBytes: 1 },
      { key: 'a/two', sizeBytes: 3 },
    ])
    expect(String(await buffer(await target.get('a/two')))).toBe('two')
    expect(await buffer(await target.get('b/none'))).toHaveLength(0)
    const above = s3Target({ client, bucket })
    expect((await listed(above, '')).map(({ key }) => key)).toEqual([
      'some/where/a/one',
      'some/where/a/two',
      'some/where/b/none',
    ])
    await target.delete('a/two')
    await target.delete('a/two')
    expect(await codeOf(() => target.get('a/two'))).toBe('ERR_NOT_FOUND')
    expect(await listed(target, 'a/')).toHaveLength(1)
  }),
)

testIf(
  's3',
  'a list goes on over its pages',
  withServer(async ({ target }) => {
    const keys = Array.from({ length: 1_100 }, (_, index) => `many/${String(index + 1000)}`)
    for (let at = 0; at < keys.length; at += 50) {
      await Promise.all(keys.slice(at, at + 50).map((key) => target.put(key, Buffer.from(key))))
    }
    expect((await listed(target, 'many/')).map(({ key }) => key)).toEqual(keys)
  }),
)

testIf(
  's3',
  'a large file goes in parts, a small one whole, both with checksums',
  withServer(async ({ directory, client, target }) => {
    for (const [sizeBytes, parts] of [
      [20 << 20, '-3"'],
      [8 << 20, '"'],
      [0, '"'],
    ] as const) {
      const [file, bytes] = await largeFile(directory, sizeBytes)
      await target.put('large', { file, sizeBytes })
      expect(sha256(await buffer(await target.get('large')))).toBe(sha256(bytes))
      const Key = 'some/where/large'
      const input = { Bucket: bucket, Key, ChecksumMode: 'ENABLED' }
      const head = await client.send(new (sdk().HeadObjectCommand!)(input))
      expect(head['ETag']).toMatch(new RegExp(`^"[0-9a-f]+${parts}$`))
      expect(head['ChecksumCRC32']).toMatch(/=/)
    }
    expect(await uploadsUnderWay(client)).toEqual([])
  }),
)

testIf(
  's3',
  'an upload that is cancelled in the middle leaves no parts and no object',
  withServer(async ({ directory, server, client }) => {
    await using proxy = await HoldingProxy.start(server.port)
    const target = s3Target({ client: server.client({ endpoint: proxy.endpoint }), bucket })
    const [file] = await largeFile(directory, 24 << 20)
    const held = proxy.holdAfter(10 << 20)
    const cancellation = new AbortController()
    const body = { file, sizeBytes: 24 << 20 }
    const put = codeOf(() => target.put('large', body, cancellation.signal))
    await held
    expect(await uploadsUnderWay(client)).toHaveLength(1)
    cancellation.abort()
    expect(await put).toBe('ERR_ABORTED')
    expect(await uploadsUnderWay(client)).toEqual([])
    expect(await listed(target, '')).toEqual([])
    expect(await codeOf(() => target.put('large', body, cancellation.signal))).toBe('ERR_ABORTED')
    expect(await uploadsUnderWay(client)).toEqual([])
  }),
)

testIf(
  's3',
  'a server that dies in the middle of an upload is an error, and the next upload works',
  withServer(async ({ directory, server }) => {
    await using proxy = await HoldingProxy.start(server.port)
    const target = s3Target({ client: server.client({ endpoint: proxy.endpoint }), bucket })
    const [file, bytes] = await largeFile(directory, 24 << 20)
    const body = { file, sizeBytes: bytes.length }
    const held = proxy.holdAfter(10 << 20)
    const put = target.put('large', body).catch((error: unknown) => error)
    await held
    await server.kill()
    proxy.release()
    const error = await put
    expect(HotboltError.is(error, 'ERR_IO')).toBe(true)
    expect(error).toMatchObject({ path: `s3://${bucket}/large`, cause: expect.anything() })
    expect(await codeOf(() => target.get('large'))).toBe('ERR_IO')
    await server.start()
    expect(await listed(target, '')).toEqual([])
    await target.put('large', body)
    expect(sha256(await buffer(await target.get('large')))).toBe(sha256(bytes))
  }),
)

testIf(
  's3',
  'a file that is missing or shorter than it is said to be is not stored',
  withServer(async ({ directory, target }) => {
    const [file] = await largeFile(directory, 10)
    const put = (sizeBytes: number) => () => target.put('a', { file, sizeBytes })
    expect(await codeOf(put(11))).toBe('ERR_INVALID_ARGUMENT')
    await rm(file)
    expect(await codeOf(put(10))).toBe('ERR_NOT_FOUND')
    expect(await listed(target, '')).toEqual([])
  }),
)

testIf(
  's3',
  'a reader that leaves, or is cancelled, ends the request',
  withServer(async ({ directory, server }) => {
    // With one connection, a request that goes on would keep the next from beginning.
    const requestHandler = { httpAgent: { maxSockets: 1 } }
    const target = s3Target({ client: server.client({ requestHandler }), bucket })
    const [file, bytes] = await largeFile(directory, 12 << 20)
    await target.put('large', { file, sizeBytes: bytes.length })
    const untouched = await target.get('large')
    untouched.destroy()
    for await (const chunk of await target.get('large')) {
      expect(chunk).toBeInstanceOf(Uint8Array)
      break
    }
    const cancellation = new AbortController()
    const reader = await target.get('large', cancellation.signal)
    cancellation.abort()
    expect(await codeOf(() => buffer(reader))).toBe('ERR_ABORTED')
    expect(sha256(await buffer(await target.get('large')))).toBe(sha256(bytes))
  }),
)

testIf(
  's3',
  'refusals have codes: no such bucket, wrong credentials, nobody there',
  withServer(async ({ server, client }) => {
    const none = s3Target({ client, bucket: 'no-such-bucket' })
    const credentials = { accessKeyId: 'hotbolt', secretAccessKey: 'wrong' }
    const wrong = s3Target({ client: server.client({ credentials }), bucket })
    const verbs = (target: Target): (() => Promise<unknown>)[] => [
      () => target.put('a', Buffer.from('a')),
      () => target.get('a'),
      () => listed(target, ''),
      () => target.delete('a'),
    ]
    for (const verb of verbs(none)) expect(await codeOf(verb)).toBe('ERR_IO')
    for (const verb of verbs(wrong)) expect(await codeOf(verb)).toBe('ERR_PERMISSION')
    await server.kill()
    for (const verb of verbs(s3Target({ client, bucket }))) {
      expect(await codeOf(verb)).toBe('ERR_IO')
    }
  }),
)

test('what is no client, bucket or prefix is refused at once', () => {
  const client = { config: {}, send: () => undefined }
  const options = [
    { client: {} as typeof client, bucket },
    { client, bucket: '' },
    { client, bucket, prefix: 'a\0' },
  ]
  for (const each of options) {
    expect(() => s3Target(each)).toThrow(expect.objectContaining({ code: 'ERR_INVALID_ARGUMENT' }))
  }
})

test('without the SDK the error says what to install', async () => {
  // As compiled: beside it there is no SDK.
  const script = `
    import { s3Target } from 'hotbolt/s3'
    const target = s3Target({ client: { config: {}, send() {} }, bucket: 'b' })
    await target.get('a').catch((error) => console.log(error.code, error.message))`
  const args = ['--input-type=module', '--eval', script]
  const { stdout } = await promisify(execFile)(process.execPath, args, { cwd: repositoryRoot })
  expect(stdout).toMatch(/^ERR_IO hotbolt\/s3 needs @aws-sdk\/client-s3 and @aws-sdk\/lib-storage/)
})

/** The compiler on a client as users have it. */
testIf('s3', "the types accept the SDK's client", () =>
  inDirectory(
    async (directory) => {
      const source = `
      import { S3Client } from '@aws-sdk/client-s3'
      import { s3Target } from '../../lib/adapters/s3.ts'
      export const target = s3Target({ client: new S3Client({}), bucket: 'b' })\n`
      await writeFile(join(directory, 'typed.ts'), source.replace('../../lib', '../../../lib'))
      const tsconfig = {
        extends: '../../../tsconfig.json',
        compilerOptions: { rootDir: '../../..', noEmit: true, isolatedDeclarations: false },
        include: ['typed.ts'],
        exclude: [],
      }
      await writeFile(join(directory, 'tsconfig.json'), JSON.stringify(tsconfig))
      const tsc = join(repositoryRoot, 'node_modules/typescript/bin/tsc')
      const output = await promisify(execFile)(process.execPath, [tsc, '-p', directory])
        .then(() => '')
        .catch((error: { stdout?: string; message: string }) => error.stdout ?? error.message)
      expect(output).toBe('')
    },
    join(repositoryRoot, 'test/s3'),
  ),
)
