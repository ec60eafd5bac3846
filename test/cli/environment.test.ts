// What the environment may choose of an installed hotbolt: not the code that is run.

import { access, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { open } from '../../lib/index.ts'
import { CommandProcess, install } from '../support/installed.ts'
import { codeOf, inDirectory } from '../support/with-database.ts'

test('HOTBOLT_ADDON is for those who have the sources', () =>
  inDirectory(async (directory) => {
    const path = join(directory, 'data.db')
    await (await open(path)).close()
    const [addon, trace] = [join(directory, 'addon.cjs'), join(directory, 'trace')]
    await writeFile(addon, `require('node:fs').writeFileSync(${JSON.stringify(trace)}, '')`)
    const script = await install(directory)
    const command = new CommandProcess(script, ['info', path], { HOTBOLT_ADDON: addon })
    expect(await command.end()).toMatchObject({ code: 0, errors: '' })
    expect(await codeOf(() => access(trace))).toBe('ENOENT')
  }))
