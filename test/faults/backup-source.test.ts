// Sources that say what is not so, of their tables and of their files: the backup is refused, and
// nothing outside its own directories is touched.

import { mkdir, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { createBackup, type FrozenTable, type TableFile } from '../../lib/index.ts'
import { SimulatedSource } from '../support/backup-source.ts'
import { withBackups } from '../support/backup-place.ts'
import { expectRefusal } from '../support/refusal.ts'

/** A source whose only table is copied by `copy`. */
function sourceWith(copy: (directory: string) => Promise<readonly TableFile[]>): SimulatedSource {
  const source = SimulatedSource.of(1)
  source.answer = (frozen) => ({ ...frozen, copy })
  return source
}

const lies: Readonly<Record<string, (directory: string) => Promise<readonly TableFile[]>>> = {
  'a path that leads out of the directory': async (directory) => {
    await writeFile(join(directory, '..', 'outside'), 'x')
    return [{ path: '../outside', sizeBytes: 1 }]
  },
  'an absolute path': async () => [{ path: '/etc/hostname', sizeBytes: 1 }],
  'an empty path': async () => [{ path: '', sizeBytes: 0 }],
  'a path with NUL': async () => [{ path: 'a\0b', sizeBytes: 0 }],
  'a path that no key can have': async (directory) => {
    await writeFile(join(directory, 'a b'), 'x')
    return [{ path: 'a b', sizeBytes: 1 }]
  },
  'one path twice': async (directory) => {
    await writeFile(join(directory, 'a'), 'x')
    return [
      { path: 'a', sizeBytes: 1 },
      { path: 'a', sizeBytes: 1 },
    ]
  },
  'a symbolic link': async (directory) => {
    await writeFile(join(directory, 'a'), 'x')
    await symlink(join(directory, 'a'), join(directory, 'link'))
    return [{ path: 'link', sizeBytes: 1 }]
  },
  'a directory': async (directory) => {
    await mkdir(join(directory, 'a'))
    return [{ path: 'a', sizeBytes: 0 }]
  },
  'another size': async (directory) => {
    await writeFile(join(directory, 'a'), 'xy')
    return [{ path: 'a', sizeBytes: 1 }]
  },
  'a hash that is none': async (directory) => {
    await writeFile(join(directory, 'a'), 'x')
    return [{ path: 'a', sizeBytes: 1, sha256: 'abc' }]
  },
  'no list': async () => undefined as unknown as TableFile[],
}

for (const [name, copy] of Object.entries(lies)) {
  test(
    `a copied file with ${name} is ERR_SOURCE`,
    withBackups(async (place) => {
      const source = sourceWith(copy)
      const error = await expectRefusal('ERR_SOURCE', () => place.create(source))
      expect(error.message).toContain('"t0"')
      place.expectUndone(source)
    }),
  )
}

test(
  'a file that is not there is ERR_NOT_FOUND',
  withBackups(async (place) => {
    const source = sourceWith(async () => [{ path: 'a', sizeBytes: 1 }])
    await expectRefusal('ERR_NOT_FOUND', () => place.create(source))
    place.expectUndone(source)
  }),
)

const circle: { self?: unknown } = {}
circle.self = circle

const answers: Readonly<Record<string, unknown>> = {
  nothing: undefined,
  null: null,
  'no copy()': { version: 'v' },
  'a version that is no text': { version: 7, copy: async () => [] },
  'a version of a megabyte': { version: 'v'.repeat(1 << 20), copy: async () => [] },
  'metadata that is no JSON': { metadata: circle, copy: async () => [] },
}

for (const [name, answer] of Object.entries(answers)) {
  test(
    `a freeze that is answered with ${name} is ERR_SOURCE, and released`,
    withBackups(async (place) => {
      const source = SimulatedSource.of(1)
      source.answer = () => answer as FrozenTable
      await expectRefusal('ERR_SOURCE', () => place.create(source))
      expect(source.calls).toContain('unfreeze t0')
      place.expectUndone(source)
    }),
  )
}

test(
  'a cut with too few answers is ERR_SOURCE, and all is released',
  withBackups(async (place) => {
    const source = SimulatedSource.of(3).withCut()
    const freezeAll = source.freezeAll!
    source.freezeAll = async (freezes, signal) => (await freezeAll(freezes, signal)).slice(1)
    const create = (): Promise<unknown> => place.create(source, { freezeAllFirst: true })
    await expectRefusal('ERR_SOURCE', create)
    place.expectUndone(source)
    source.freezeAll = async (freezes, signal) => {
      await freezeAll(freezes, signal)
      throw new Error('after all of it')
    }
    await expectRefusal('ERR_SOURCE', create)
    expect(source.asked.size).toBe(6)
    place.expectUndone(source)
  }),
)

test(
  'details that are no JSON are ERR_SOURCE, and nothing is frozen',
  withBackups(async (place) => {
    for (const details of [circle, 7n]) {
      const source = SimulatedSource.of(1)
      source.listTables = async () => [{ name: 't0', details }]
      await expectRefusal('ERR_SOURCE', () => place.create(source))
      expect(source.asked.size).toBe(0)
      place.expectUndone(source)
    }
  }),
)

test(
  'what is no source, and options that cannot be, are ERR_INVALID_ARGUMENT',
  withBackups(async (place) => {
    const { target } = place
    for (const source of [undefined, null, 7, {}, { kind: 'a', id: 'b' }]) {
      const create = (): Promise<unknown> =>
        createBackup(source as unknown as SimulatedSource, { target })
      await expectRefusal('ERR_INVALID_ARGUMENT', create)
    }
    const wrong = [
      { tableConcurrency: 0 },
      { unfreezeConcurrency: 0 },
      { maxFrozen: 0 },
      { unfreeze: 'later' },
      { name: '../b' },
      { name: '' },
      { ignoreErrors: ['60'] },
      { target: {} },
      { unknown: 1 },
    ]
    for (const options of wrong) {
      const create = (): Promise<unknown> =>
        createBackup(SimulatedSource.of(1), { target, ...options } as { target: string })
      await expectRefusal('ERR_INVALID_ARGUMENT', create)
    }
    expect(place.records).toEqual([])
  }),
)
