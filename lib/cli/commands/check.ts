// hotbolt check: the complete consistency check.

import { checkFile, describeFindings } from '../check-file.ts'
import { exitCodes, type Command } from '../command.ts'

export const check: Command = {
  name: 'check',
  usage: '<file>',
  summary: 'Read every page and report what is wrong; exits with 4 when something is',
  options: {},
  optionHelp: [],
  positionals: [1, 1],
  run: async ({ positionals: [file = ''], output }) => {
    const findings = await checkFile(file)
    await output.result(findings, () => describeFindings(findings))
    return findings.ok ? exitCodes.ok : exitCodes.damaged
  },
}
