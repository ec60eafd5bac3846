// The planted bugs: each a mistake that somebody could make in this code, and the tests that have
// to notice. run.ts plants one at a time in a copy of the repository and runs those tests; no
// released source knows of them. test/house/planted.test.ts keeps `find` true to the sources.

export interface PlantedBug {
  /** What the code does wrong with it. */
  readonly name: string
  readonly file: string
  /** Occurs exactly once in the file. */
  readonly find: string
  readonly replace: string
  /** Tests of the core whose name contains this, or a file of vitest. */
  readonly caughtBy: { readonly native: string } | { readonly vitest: string }
}

const powerCut = { native: 'a power cut at any call' }

export const plantedBugs: readonly PlantedBug[] = [
  {
    name: 'skips the directory sync after the rename of a defragmentation',
    file: 'native/core/defrag.cc',
    find: 'store_->files_.sync_directory(directory_of(store_->path_));',
    replace: '',
    caughtBy: powerCut,
  },
  {
    name: 'skips the sync of the pages before the meta',
    file: 'native/core/commit.cc',
    find: 'file.file().sync_data();\n    file.write',
    replace: 'file.write',
    caughtBy: powerCut,
  },
]
