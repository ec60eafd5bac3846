// A real S3 server by the contract that every target keeps.

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll } from 'vitest'
import type { Target } from '../../lib/backup/target.ts'
import { s3Target } from '../../lib/adapters/s3.ts'
import { targetContract } from '../support/target-contract.ts'
import { describeIf } from '../support/tools.ts'
import { bucket, S3Server, type Client } from './server.ts'

describeIf('s3', 'the server', () => {
  let directory: string
  let server: S3Server
  let client: Client
  let targets = 0

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'hotbolt-test-'))
    server = await S3Server.start(directory)
    client = server.client()
  })
  afterAll(async () => {
    await server[Symbol.asyncDispose]()
    await rm(directory, { recursive: true, force: true })
  })

  const make = (): Target => s3Target({ client, bucket, prefix: `target-${(targets += 1)}` })
  targetContract('S3', make, ['listFolders'])
})
