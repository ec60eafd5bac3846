// Power cuts and kills on the real kernel: test/native/kernel/main.cc makes them, and says what
// they are; here is on which file systems, and how many.
//
//   HOTBOLT_CUTS=5000 FC_SEED=7 npx vitest run test/crash/kernel.test.ts
//
// Not among them is ext4 with fast commits (`mkfs.ext4 -O fast_commit`, off by default): the kernel
// itself cannot mount what some cuts leave.

import { beforeAll, expect, test } from 'vitest'
import { buildProgram, runProgram } from '../support/native-program.ts'
import { seed } from '../support/property.ts'
import { describeIf, testIf, toolPath, type Tool } from '../support/tools.ts'
import { countOf, isLong } from '../support/tiers.ts'
import { inDirectory, memoryDirectory } from '../support/with-database.ts'

interface Summary {
  readonly calls: number
  readonly crashes: number
  readonly acknowledged: number
  readonly wrong: readonly string[]
}

interface Disk {
  readonly mkfs: Tool & `mkfs.${string}`
  readonly mkfsOptions?: string
  readonly mountOptions?: string
}

const disks: readonly Disk[] = [
  { mkfs: 'mkfs.ext4' },
  { mkfs: 'mkfs.ext4', mountOptions: 'data=journal' },
  { mkfs: 'mkfs.ext4', mountOptions: 'data=writeback' },
  { mkfs: 'mkfs.ext4', mountOptions: 'commit=1' },
  { mkfs: 'mkfs.ext4', mountOptions: 'nobarrier' },
  { mkfs: 'mkfs.ext4', mkfsOptions: '-b 1024', mountOptions: 'nodelalloc' },
  { mkfs: 'mkfs.xfs' },
  { mkfs: 'mkfs.xfs', mkfsOptions: '-b size=1024', mountOptions: 'logbsize=256k' },
]

const cuts = countOf({ short: 24, ci: 200, long: 5000 }, 'HOTBOLT_CUTS')
const cutsPerDisk = Math.ceil(cuts / disks.length)
const call = process.env['HOTBOLT_CUT_CALL']
const killedRuns = isLong ? 20 : 1

const typeOf = (disk: Disk): string => disk.mkfs.slice('mkfs.'.length)
const nameOf = (disk: Disk): string =>
  [typeOf(disk), disk.mkfsOptions, disk.mountOptions].filter((part) => part).join(' ')

let program = ''

function run(...args: (string | number)[]): Promise<Summary> {
  return runProgram<Summary>(program, args.map(String))
}

function onDisk(command: string, disk: Disk, ...args: (string | number)[]): Promise<Summary> {
  const mkfs = `${toolPath(disk.mkfs)} -q ${disk.mkfsOptions ?? ''}`
  return run(command, mkfs, typeOf(disk), disk.mountOptions ?? '', ...args)
}

describeIf(['linux', 'cmake', 'c++'], 'on the real kernel', () => {
  beforeAll(async () => {
    program = await buildProgram('hotbolt_kernel')
  })

  for (const disk of disks) {
    testIf(
      ['mount', disk.mkfs],
      `a power cut before any call loses nothing acknowledged: ${nameOf(disk)}`,
      async () => {
        const only = call === undefined ? [] : [call]
        const result = await onDisk('cut', disk, seed, cutsPerDisk, ...only)
        const { calls, crashes, acknowledged, wrong } = result
        console.info(
          `${nameOf(disk)}: ${crashes} cuts in runs of ${calls} calls, ` +
            `${acknowledged} transactions acknowledged, seed ${seed}`,
        )
        const replay = `npx vitest run test/crash/kernel.test.ts -t '${nameOf(disk)}'`
        expect(wrong, `again: FC_SEED=<seed> HOTBOLT_CUT_CALL=<call> ${replay}`).toEqual([])
        expect(acknowledged).toBeGreaterThan(0)
      },
    )
  }

  const ext4: Disk = { mkfs: 'mkfs.ext4' }

  testIf(
    ['mount', 'mkfs.ext4'],
    'without the directory sync after its rename, a defragmentation loses the database',
    async () => {
      // The old file is emptied, with a sync of its own, while the directory still names it.
      const lost = await onDisk('rename', ext4, 'unsynced', 'emptied')
      expect(lost.wrong).toEqual([expect.stringContaining('ERR_NOT_A_DATABASE')])
      expect(lost.acknowledged).toBeGreaterThan(0)
      // With a reader it is kept, and is as good as the new one: the journal has the rest.
      expect((await onDisk('rename', ext4, 'unsynced', 'kept')).wrong).toEqual([])
    },
  )

  testIf(['mount', 'mkfs.ext4'], 'with that directory sync nothing is lost', async () => {
    expect((await onDisk('rename', ext4, 'synced', 'emptied')).wrong).toEqual([])
    expect((await onDisk('rename', ext4, 'synced', 'kept')).wrong).toEqual([])
  })

  test('a kill before every call of a run loses nothing acknowledged', () =>
    inDirectory(async (directory) => {
      const { crashes, acknowledged, wrong } = await run('kill', directory, seed, killedRuns)
      console.info(`${crashes} kills, ${acknowledged} transactions acknowledged, seed ${seed}`)
      expect(wrong, `seen again with: ${program} kill <folder> <seed> 1 <call>`).toEqual([])
      expect(acknowledged).toBeGreaterThan(0)
    }, memoryDirectory))
})
