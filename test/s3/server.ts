// A real S3 server over a directory: the VersityGW gateway, as a process of the test's own, and the
// SDK that speaks to it.
//
//   npm ci --prefix test/s3        installs both, if Go is there

import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdir } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { createServer, type AddressInfo } from 'node:net'
import { join } from 'node:path'

import type { S3TargetClient } from '../../lib/adapters/s3.ts'
import { repositoryRoot } from '../oracle/root.ts'

export const serverPath: string = join(repositoryRoot, 'build/s3/versitygw')

/** What the tests use of the SDK, by its own names. */
interface Sdk {
  readonly S3Client: new (options: object) => Client
  readonly [command: `${string}Command`]: new (input: object) => object
}

export interface Client extends S3TargetClient {
  send(command: object): Promise<Record<string, unknown>>
  destroy(): void
}

export const sdk = (): Sdk =>
  createRequire(join(repositoryRoot, 'test/s3/package.json'))('@aws-sdk/client-s3') as Sdk

const accessKeyId = 'hotbolt'
const secretAccessKey = 'hotbolt-secret'
export const bucket = 'backups'

/** What the SDK reads from its environment. */
export const credentials: Readonly<Record<string, string>> = {
  AWS_ACCESS_KEY_ID: accessKeyId,
  AWS_SECRET_ACCESS_KEY: secretAccessKey,
  AWS_REGION: 'us-east-1',
}

export class S3Server implements AsyncDisposable {
  readonly port: number
  readonly #directory: string
  readonly #clients: Client[] = []
  #process: ChildProcess | undefined

  private constructor(port: number, directory: string) {
    this.port = port
    this.#directory = directory
  }

  /** Keeps everything below `directory`; has one bucket. */
  static async start(directory: string): Promise<S3Server> {
    const server = new S3Server(await freePort(), directory)
    // A test that does not come to its end leaves no server behind.
    process.once('exit', () => server.#process?.kill('SIGKILL'))
    await server.start()
    return server
  }

  /** After kill(): the same port, the same objects. */
  async start(): Promise<void> {
    // Attributes in files beside the objects: not every file system has extended ones.
    const [objects, sidecar] = ['objects', 'attributes'].map((name) => join(this.#directory, name))
    await mkdir(objects!, { recursive: true })
    await mkdir(sidecar!, { recursive: true })
    const options = ['--quiet', '--port', `127.0.0.1:${this.port}`]
    this.#process = spawn(serverPath, [...options, 'posix', '--sidecar', sidecar!, objects!], {
      stdio: 'ignore',
      env: { ROOT_ACCESS_KEY: accessKeyId, ROOT_SECRET_KEY: secretAccessKey },
    })
    // It does not say when it is ready: the SDK tries again until it is.
    const client = this.client({ maxAttempts: 100 })
    const create = new (sdk().CreateBucketCommand!)({ Bucket: bucket })
    await client.send(create).catch((error: Error) => {
      if (error.name !== 'BucketAlreadyOwnedByYou') throw error
    })
  }

  get endpoint(): string {
    return `http://127.0.0.1:${this.port}`
  }

  client(options: object = {}): Client {
    const client = new (sdk().S3Client)({
      endpoint: this.endpoint,
      forcePathStyle: true,
      region: 'us-east-1',
      credentials: { accessKeyId, secretAccessKey },
      ...options,
    })
    this.#clients.push(client)
    return client
  }

  /** As a power cut would end it. */
  async kill(): Promise<void> {
    const running = this.#process
    this.#process = undefined
    if (running === undefined || running.exitCode !== null) return
    const exit = once(running, 'exit')
    running.kill('SIGKILL')
    await exit
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const client of this.#clients) client.destroy()
    await this.kill()
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}
