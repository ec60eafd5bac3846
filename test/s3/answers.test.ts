// What a service says is proven before it is believed: keys outside of what was asked for, pages
// without an end, and silence, by a service that a test makes up.

import { once } from 'node:events'
import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { expect, test } from 'vitest'
import { s3Target, type S3TargetClient } from '../../lib/adapters/s3.ts'
import { deleteBackup, listBackups, type Target } from '../../lib/index.ts'
import { putBackup } from '../support/backups.ts'
import { expectRefusal } from '../support/refusal.ts'
import { describeIf } from '../support/tools.ts'

type Input = Readonly<Record<string, unknown>>
type Answer = (verb: string, input: Input, signal: AbortSignal | undefined) => unknown

/** A client whose service answers as it likes. */
function clientOf(answer: Answer): S3TargetClient {
  const send = async (command: object, options?: { abortSignal?: AbortSignal }) =>
    answer(
      command.constructor.name.replace('Command', ''),
      (command as { input: Input }).input,
      options?.abortSignal,
    )
  return { config: {}, send }
}

const targetOf = (answer: Answer, timeoutMs?: number): Target =>
  s3Target({ client: clientOf(answer), bucket: 'b', prefix: 'place', timeoutMs })

const silence = new Promise<never>(() => {})

/** Keeps objects, and lists all of them whatever the prefix is. */
class HeedlessService {
  readonly objects = new Map<string, Buffer>()

  readonly answer: Answer = (verb, input) => {
    const key = String(input['Key'])
    if (verb === 'PutObject') this.objects.set(key, Buffer.from(input['Body'] as Uint8Array))
    if (verb === 'DeleteObject') this.objects.delete(key)
    if (verb === 'GetObject') {
      const body = this.objects.get(key)
      if (body === undefined) throw Object.assign(new Error('none'), { name: 'NoSuchKey' })
      return { Body: Readable.from([body]) }
    }
    const Contents = [...this.objects].map(([Key, { length: Size }]) => ({ Key, Size }))
    return verb === 'ListObjectsV2' && input['Delimiter'] === undefined ? { Contents } : {}
  }
}

async function keysOf(target: Target, prefix = 'one/'): Promise<string[]> {
  const keys: string[] = []
  for await (const { key } of target.list(prefix)) keys.push(key)
  return keys
}

async function foldersOf(target: Target): Promise<string[]> {
  const folders: string[] = []
  for await (const folder of target.listFolders!()) folders.push(folder)
  return folders
}

/** Without the verb that spares listing everything. */
function plain(target: Target): Target {
  return {
    location: target.location,
    put: (...args) => target.put(...args),
    get: (...args) => target.get(...args),
    list: (...args) => target.list(...args),
    delete: (...args) => target.delete(...args),
  }
}

describeIf('s3', 'a service', () => {
  test('a service that ignores the prefix has no object of another backup deleted', async () => {
    const service = new HeedlessService()
    const target = plain(targetOf(service.answer))
    await putBackup(target, 'one', [{ name: 't', contents: { a: 'content' } }])
    await putBackup(target, 'two', [{ name: 't', contents: { a: 'content' } }])
    service.objects.set('elsewhere/one/tables/t/a', Buffer.from('not ours'))
    const before = [...service.objects.keys()].filter((key) => !key.startsWith('place/one/'))
    await expectRefusal('ERR_IO', () => deleteBackup({ target, name: 'one' }))
    await expectRefusal('ERR_IO', () => listBackups(target))
    const left = [...service.objects.keys()].filter((key) => !key.startsWith('place/one/'))
    expect(left).toEqual(before)
  })

  test.each([
    'place/two/a',
    'elsewhere/one/a',
    'place/one',
    '',
    '../one/a',
    7,
    undefined,
    'place/one\0/a',
  ])('a listed key %j that was not asked for is refused', async (Key) => {
    const target = targetOf(() => ({ Contents: [{ Key, Size: 1 }] }))
    await expectRefusal('ERR_IO', () => keysOf(target))
  })

  test.each([-1, 1.5, NaN, '7', 2 ** 60])('a listed size %j is refused', async (Size) => {
    const target = targetOf(() => ({ Contents: [{ Key: 'place/one/a', Size }] }))
    await expectRefusal('ERR_IO', () => keysOf(target))
  })

  test.each(['elsewhere/a/', 'place/a', 'place/', 'place/a/b/', 7])(
    'a listed folder %j that was not asked for is refused',
    async (Prefix) => {
      const target = targetOf(() => ({ CommonPrefixes: [{ Prefix }] }))
      await expectRefusal('ERR_IO', () => foldersOf(target))
    },
  )

  test('a service that does not group by folders is refused, not taken for empty', async () => {
    const target = targetOf(() => ({ Contents: [{ Key: 'place/one/manifest.json', Size: 1 }] }))
    await expectRefusal('ERR_IO', () => foldersOf(target))
  })

  test('a name that no object has is listed as what it is', async () => {
    const Contents = ['place/one/a b', 'place/one//a', 'place/one/../a', 'place/one/folder/']
    const target = targetOf(() => ({ Contents: Contents.map((Key) => ({ Key, Size: 1 })) }))
    const problems: unknown[] = []
    for await (const { key, problem } of target.list('one/')) problems.push([key, problem])
    expect(problems).toEqual([
      ['one/a b', 'a name that no object has'],
      ['one//a', 'a name that no object has'],
      ['one/../a', 'a name that no object has'],
    ])
  })

  test('a token that comes again ends the list with an error', async () => {
    let pages = 0
    const tokens = ['a', 'b', 'a']
    const target = targetOf(() => ({ NextContinuationToken: tokens[pages++ % 3] }))
    await expectRefusal('ERR_IO', () => keysOf(target))
    expect(pages).toBe(3)
  })

  test('pages that have no end are counted', async () => {
    let pages = 0
    const target = targetOf(() => ({ IsTruncated: true, NextContinuationToken: `${++pages}` }))
    await expectRefusal('ERR_IO', () => keysOf(target))
    expect(pages).toBeLessThanOrEqual(100_000)
  })

  test.each([undefined, '', 7])('a list that is cut short has a token, not %j', async (token) => {
    const target = targetOf(() => ({ IsTruncated: true, NextContinuationToken: token }))
    await expectRefusal('ERR_IO', () => keysOf(target))
  })

  test.each<[string, (target: Target) => Promise<unknown>]>([
    ['put', (target) => target.put('one/a', Buffer.alloc(0))],
    ['get', (target) => target.get('one/a')],
    ['list', (target) => keysOf(target)],
    ['listFolders', (target) => foldersOf(target)],
    ['delete', (target) => target.delete('one/a')],
  ])('%s does not wait for ever for an answer', async (_, verb) => {
    let cancelled: Promise<unknown> | undefined
    const target = targetOf((_verb, _input, signal) => {
      cancelled = once(signal!, 'abort')
      return silence
    }, 20)
    const refusal = await expectRefusal('ERR_IO', () => verb(target))
    expect(refusal.message).toContain('20 ms')
    await cancelled
    expect(refusal.path).toContain('s3://b/place/')
  })

  test('an object whose bytes stop coming ends with an error', async () => {
    const Body = new Readable({ read: () => {} })
    Body.push('first')
    const target = targetOf(() => ({ Body }), 20)
    const reader = await target.get('one/a')
    await expectRefusal('ERR_IO', () => buffer(reader))
    expect(Body.destroyed).toBe(true)
  })

  test('who is slow to read is not taken for a silent service', async () => {
    const Body = Readable.from([Buffer.from('a'), Buffer.from('b')])
    const target = targetOf(() => ({ Body }), 1)
    const reader = await target.get('one/a')
    const deadline = AbortSignal.timeout(20)
    await once(deadline, 'abort')
    expect(String(await buffer(reader))).toBe('ab')
  })

  test('the caller cancels what a service that does not listen is asked', async () => {
    const controller = new AbortController()
    const target = targetOf(() => {
      queueMicrotask(() => controller.abort(new Error('enough')))
      return silence
    })
    await expectRefusal('ERR_ABORTED', () => target.delete('one/a', controller.signal))
  })
})
