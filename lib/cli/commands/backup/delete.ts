// hotbolt backup delete: one backup.

import { deleteBackup } from '../../../index.ts'
import { targetOptionHelp, targetOptions, withTarget } from '../../backup/target.ts'
import { exitCodes, type Command } from '../../command.ts'

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
      await output.result({ deleted: name }, () => [`Deleted ${name}.`])
      return exitCodes.ok
    }),
}
