// Two machines at one bucket of a real S3 server: one of them makes the backup of a name. And what
// an upload leaves whose process was killed is listed and cleaned.

import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { expect } from 'vitest'
import { FreezeJournal } from '../../lib/backup/freeze-journal.ts'
import { s3Target, type S3TargetClient } from '../../lib/adapters/s3.ts'
import { cleanFreezes, createBackup, verifyBackup, type Target } from '../../lib/index.ts'
import { SimulatedSource } from '../support/backup-source.ts'
import { keysIn } from '../support/target-contract.ts'
import { testIf } from '../support/tools.ts'
import { inDirectory } from '../support/with-database.ts'
import { bucket, S3Server, sdk, type Client } from './server.ts'

interface Context {
  readonly directory: string
  readonly client: Client
  readonly target: Target
}

const withServer = (run: (context: Context) => Promise<void>) => () =>
  inDirectory(async (directory) => {
    await using server = await S3Server.start(directory)
    const client = server.client()
    await run({ directory, client, target: s3Target({ client, bucket, prefix: 'some/where' }) })
  })

testIf(
  's3',
  'an object is made once, and not over another',
  withServer(async ({ target }) => {
    expect(await target.create!('a', Buffer.from('first'))).toBe(true)
    expect(await target.create!('a', Buffer.from('second'))).toBe(false)
    const [chunk] = await (await target.get('a')).toArray()
    expect(String(chunk)).toBe('first')
  }),
)

testIf(
  's3',
  'of two machines that begin at once, one makes the backup',
  withServer(async ({ directory, target }) => {
    const make = (machine: string): Promise<unknown> => {
      const stateDirectory = join(directory, machine)
      return createBackup(SimulatedSource.of(2), { target, stateDirectory, name: 'b' })
    }
    const outcomes = await Promise.allSettled([make('here'), make('there')])
    expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
    const [lost] = outcomes.filter((each) => each.status === 'rejected')
    expect(['ERR_LOCKED', 'ERR_EXISTS']).toContain((lost!.reason as { code: string }).code)
    expect(await verifyBackup({ target, name: 'b' })).toMatchObject({ ok: true, issues: [] })
    expect(await keysIn(target)).not.toContain('b/claim')
  }),
)

testIf(
  's3',
  'an upload whose process was killed is listed and cleaned; that of another backup is not',
  withServer(async ({ directory, client, target }) => {
    for (const name of ['dead', 'other']) {
      const place = { Bucket: bucket, Key: `some/where/${name}/tables/t/large` }
      const upload = await client.send(new (sdk().CreateMultipartUploadCommand!)(place))
      const part = { ...place, UploadId: upload['UploadId'], PartNumber: 1, Body: randomBytes(99) }
      await client.send(new (sdk().UploadPartCommand!)(part))
    }
    const dead = await FreezeJournal.create(directory, 'dead')
    await dead.beginRun({ target: target.location, staging: `dead-${'0'.repeat(16)}`, claim: 'c' })
    await dead.close()
    await target.put('dead/claim', Buffer.from('c'))
    const options = { target, stateDirectory: directory }
    const unfinished = ['dead/tables/t/large']
    const look = await cleanFreezes(SimulatedSource.of(0), { ...options, dryRun: true })
    expect(look).toMatchObject({ abandoned: ['dead'], unfinished, warnings: [] })
    const report = await cleanFreezes(SimulatedSource.of(0), options)
    expect(report).toMatchObject({ abandoned: ['dead'], unfinished, warnings: [] })
    const left: string[] = []
    for await (const { key } of target.listUnfinished!('')) left.push(key)
    expect(left).toEqual(['other/tables/t/large'])
    expect(await keysIn(target)).toEqual([])
  }),
)

/** A service that knows no conditions says so, or takes no notice of them. */
const refusing = (httpStatusCode: number, verbs: readonly string[]): S3TargetClient => ({
  config: {},
  send: async (command: object) => {
    const { input } = command as { input: { IfNoneMatch?: unknown } }
    const verb = command.constructor.name
    if (!verbs.includes(verb) || (verb.startsWith('Put') && input.IfNoneMatch === undefined)) {
      return {}
    }
    throw Object.assign(new Error('no'), { $metadata: { httpStatusCode } })
  },
})

testIf('s3', 'where the service has no conditions or no parts, it is done without', async () => {
  const create = (status: number): Promise<boolean> =>
    s3Target({ client: refusing(status, ['PutObjectCommand']), bucket }).create!(
      'a',
      Buffer.from('x'),
    )
  expect(await create(501)).toBe(true)
  expect(await create(412)).toBe(false)
  expect(await create(409)).toBe(false)
  await expect(create(403)).rejects.toMatchObject({ code: 'ERR_PERMISSION' })
  const client = refusing(501, ['ListMultipartUploadsCommand'])
  const found: unknown[] = []
  for await (const each of s3Target({ client, bucket }).listUnfinished!('')) found.push(each)
  expect(found).toEqual([])
})
