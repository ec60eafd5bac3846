// Puts the binary where an installed package looks for it: prebuilds/<platform>-<arch>/. Run by
// `npm pack`, after a clean build; a release collects the folders of all platforms before it packs.
// Installing runs nothing and compiles nothing.
import { copyFileSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import process from 'node:process'
import { root } from './sources.mjs'

const folder = join(root, 'prebuilds', `${process.platform}-${process.arch}`)
mkdirSync(folder, { recursive: true })
copyFileSync(join(root, 'build/Release/hotbolt.node'), join(folder, 'hotbolt.node'))
process.stderr.write(`prebuilds: ${process.platform}-${process.arch}\n`)
