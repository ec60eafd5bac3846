// What a hostile backup or path makes the command line print steers no terminal: no escapes, no C1
// controls, nothing that turns the direction of writing, and no line that is not ours. Runs what
// `npm run build:ts` has compiled.

import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { directoryTarget } from '../../lib/index.ts'
import { repositoryRoot } from '../oracle/root.ts'
import { manifestOf, putBackup, sealed } from '../support/backups.ts'
import { runCommand, type Run } from '../support/installed.ts'
import { inDirectory } from '../support/with-database.ts'

const script = join(repositoryRoot, 'dist/lib/cli/main.js')

/** Sets the window's title, colours, turns the direction, and forges a line. */
const steering = '\u001b]0;x\u0007\u009b31m\u202e\nok: forged'
const steers = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u

/** Runs the command; nothing that it prints but its line ends steers. */
async function harmless(...args: string[]): Promise<Run> {
  const run = await runCommand(script, args)
  for (const line of `${run.out}${run.errors}`.split('\n')) {
    expect(line, args.join(' ')).not.toMatch(steers)
    expect(line, args.join(' ')).not.toMatch(/^ok: forged/)
  }
  return run
}

/** A target with a good backup and one whose manifest was made to be printed. */
async function withHostileTarget(
  run: (target: string, directory: string) => Promise<void>,
): Promise<void> {
  await inDirectory(async (directory) => {
    const target = join(directory, `backups${steering}`.replaceAll('/', ''))
    await putBackup(directoryTarget(target), 'good', [{ name: 't', contents: { file: 'content' } }])
    await mkdir(join(target, 'evil'))
    const manifest = { ...manifestOf('evil'), [steering]: true }
    await writeFile(join(target, 'evil', 'manifest.json'), sealed(manifest))
    await run(target, directory)
  })
}

test('what backups say of themselves is printed as plain text', () =>
  withHostileTarget(async (target) => {
    const list = await harmless('backup', 'list', '--target', target)
    expect(list.out).toContain('broken: evil')
    const verify = await harmless('backup', 'verify', 'evil', '--target', target)
    expect(verify.out).toContain('\\u{9b}31m\\u{202e}')
    expect(verify.code).toBe(4)
    await harmless('backup', 'show', 'evil', '--target', target)
  }))

test('JSON says the same with escapes of its own', () =>
  withHostileTarget(async (target) => {
    const list = await harmless('backup', 'list', '--target', target, '--json')
    expect(JSON.stringify(JSON.parse(list.out))).toContain('\u202e')
    const restored = await harmless('backup', 'list', '--target', `${target}\u{e0041}`, '--json')
    expect(JSON.parse(restored.out)).toEqual([])
  }))

test('paths are printed as plain text, in results and in errors', () =>
  withHostileTarget(async (target, directory) => {
    const to = join(directory, `restored${steering}`)
    const args = ['backup', 'restore', 'good', '--target', target, '--to', to, '--files']
    expect((await harmless(...args)).out).toContain('\\u{1b}]0;x\\u{7}')
    expect((await harmless(...args)).errors).toContain('\\u{1b}')
    expect((await harmless('backup', 'list', '--target', `${target}2`)).out).toContain('\\u{a}ok')
    expect((await harmless('info', `${to}/none`)).errors).toContain('\\u{9b}')
  }))
