// hotbolt backup delete: one backup.

import { deleteBackup } from '../../../index.ts'
import { targetOptionHelp, targetOptions, withTarget } from '../../backup/target.ts'
import { exitCodes, type Command } from '../../command.ts'
import { toJson } from '../../output.ts'

export const remove: Command = {
  name: 'delete',
  usage: '<name> --target <place>',
  summary: 'Delete a backup, unless another one needs it',
  options: targetOptions,
  optionHelp: targetOptionHelp,
  positionals: [1, 1],
  run: ({ positionals: [name = ''], values, output }) =>
    withTarget(values, async (target) => {
      await deleteBackup({ target, name })
      await output.write(output.json ? toJson({ deleted: name }) : `Deleted ${name}.\n`)
      return exitCodes.ok
    }),
}
