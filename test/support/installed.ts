// hotbolt as it is installed, with optional packages beside it, in a folder of the test's own:
//
//   <directory>/node_modules/hotbolt       what is published of it
//   <directory>/node_modules/<package>     links to the folders of the tests that have them

import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { cp, mkdir, symlink } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { repositoryRoot } from '../oracle/root.ts'

export interface Run {
  readonly code: number | null
  readonly out: string
  readonly errors: string
}

/** `packages`: names, each with the folder of the tests that has it. Gives the command's script. */
export async function install(
  directory: string,
  packages: Readonly<Record<string, string>> = {},
): Promise<string> {
  const own = join(directory, 'node_modules/hotbolt')
  const addon = join(own, 'prebuilds', `${process.platform}-${process.arch}`, 'hotbolt.node')
  await mkdir(dirname(addon), { recursive: true })
  await cp(join(repositoryRoot, 'build/Release/hotbolt.node'), addon)
  await cp(join(repositoryRoot, 'package.json'), join(own, 'package.json'))
  await cp(join(repositoryRoot, 'dist/lib'), join(own, 'dist/lib'), { recursive: true })
  for (const [name, folder] of Object.entries(packages)) {
    const place = join(directory, 'node_modules', name)
    await mkdir(dirname(place), { recursive: true })
    await symlink(join(repositoryRoot, folder, 'node_modules', name), place)
  }
  return join(own, 'dist/lib/cli/main.js')
}

/** The command as a process that the test can send signals to. */
export class CommandProcess {
  readonly process: ChildProcess
  #out = ''
  #errors = ''
  #wake = (): void => {}
  readonly #end: Promise<Run>

  constructor(script: string, args: readonly string[], env: NodeJS.ProcessEnv = {}) {
    // The SDK of S3 says on standard error how old this Node.js is.
    const silent = { AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED: 'true' }
    this.process = spawn(process.execPath, [script, ...args], {
      env: { ...process.env, ...silent, ...env },
    })
    this.process.stdout?.on('data', (text) => (this.#out += String(text)))
    this.process.stderr?.on('data', (text) => {
      this.#errors += String(text)
      this.#wake()
    })
    this.#end = once(this.process, 'close').then(([code]) => {
      this.#wake()
      return { code: code as number | null, out: this.#out, errors: this.#errors }
    })
  }

  /** When it has written this on its standard error; throws if it ends before. */
  async says(text: string): Promise<void> {
    while (!this.#errors.includes(text)) {
      if (this.process.exitCode !== null || this.process.signalCode !== null) {
        throw new Error(`it ended without saying "${text}": ${this.#errors}`)
      }
      await new Promise<void>((resolve) => (this.#wake = resolve))
    }
  }

  kill(signal: NodeJS.Signals): void {
    this.process.kill(signal)
  }

  end(): Promise<Run> {
    return this.#end
  }
}

export function runCommand(
  script: string,
  args: readonly string[],
  env?: NodeJS.ProcessEnv,
): Promise<Run> {
  return new CommandProcess(script, args, env).end()
}
