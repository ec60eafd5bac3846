// hotbolt backup verify: whether a backup, or the copy of a store, is what it was.

import { stat } from 'node:fs/promises'
import { verifyBackup, verifyEtcdSnapshot, type VerifyReport } from '../../../index.ts'
import { requireBackup } from '../../backup/target.ts'
import { targetOptionHelp, targetOptions, withTarget } from '../../backup/target.ts'
import { checkFile, describeFindings } from '../../check-file.ts'
import { choiceOption, exitCodes, numberOption, UsageError } from '../../command.ts'
import type { Command, Invocation } from '../../command.ts'
import { formatBytes } from '../../format.ts'
import { interruptible } from '../../interruption.ts'
import { counted } from '../../output.ts'
import { createProgressBar, transferLine } from '../../progress.ts'

export const verify: Command = {
  name: 'verify',
  usage: `<name>|latest --target <place>
<file>`,
  summary:
    'Look for damage in a backup, or in the copy of a store; exits with 4 when there is some',
  details: `quick  the manifest, which files there are, their sizes
full   and every byte, by its SHA-256
deep   and every store is opened, and every page of it checked

A file is a copy as hotbolt backup create --to makes it, or an etcd snapshot:
its hash is compared, and every page checked.
`,
  options: {
    ...targetOptions,
    depth: { type: 'string' },
    concurrency: { type: 'string' },
  },
  optionHelp: [
    ...targetOptionHelp,
    ['--depth <depth>', 'quick, full (the default) or deep'],
    ['--concurrency <n>', 'files that are read at a time (2)'],
  ],
  positionals: [1, 1],
  run: (invocation) =>
    invocation.values['target'] === undefined ? verifyFile(invocation) : verifyIn(invocation),
}

function verifyIn({ positionals: [given = ''], values, output }: Invocation): Promise<number> {
  return withTarget(values, async (target) => {
    const name = await requireBackup(target, given)
    const depth = choiceOption(values, 'depth', ['quick', 'full', 'deep'])
    const concurrency = numberOption(values, 'concurrency')
    return interruptible('stopping', async (signal) => {
      const bar = createProgressBar(transferLine('verifying'))
      const options = { target, name, depth, concurrency, signal, onProgress: bar.show }
      const report = await verifyBackup(options).finally(bar.end)
      await output.result(report, () => describe(report))
      return report.ok ? exitCodes.ok : exitCodes.damaged
    })
  })
}

function describe({ ok, name, depth, files, sizeBytes, issues }: VerifyReport): string[] {
  const size = `${counted(files, 'file')}, ${formatBytes(sizeBytes)}`
  if (ok) return [`ok: ${name}, ${size} (${depth})`]
  const lines = issues.map(({ key, message }) => `${key}: ${message}`)
  return [...lines, `damaged: ${name}, ${counted(issues.length, 'issue')} (${depth})`]
}

const blockBytes = 512
const digestBytes = 32

async function verifyFile({
  positionals: [file = ''],
  values,
  output,
}: Invocation): Promise<number> {
  const given = ['s3-endpoint', 'depth', 'concurrency'].find((name) => values[name] !== undefined)
  if (given !== undefined) throw new UsageError(`--${given} is only for backups in a --target`)
  const { size } = await stat(file).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') throw error
    throw new Error(`There is no file ${file}; for a backup of that name, say --target`)
  })
  const snapshot = size % blockBytes === digestBytes ? await verifyEtcdSnapshot(file) : undefined
  const findings = await checkFile(file)
  const kind = snapshot === undefined ? [] : [`etcd snapshot, SHA-256 ${snapshot.sha256}`]
  await output.result({ ...findings, sha256: snapshot?.sha256 }, () => [
    ...kind,
    ...describeFindings(findings),
  ])
  return findings.ok ? exitCodes.ok : exitCodes.damaged
}
