// tmp
import { expect, test } from 'vitest'
import { withDatabase, holdDefragAt } from '../support/with-database.ts'
test(
  'x',
  withDatabase(async ({ db }) => {
    const b = db.bucket('a')
    for (let i = 0; i < 1000; i++) void b.put(`k${i}`, `v${i}`)
    await db.flush()
    expect(b.get('k5')?.toString()).toBe('v5')
    await db.checkpoint()
    const held = holdDefragAt(db, 'copy-started')
    await held.reached
    await b.put('z', 'y')
    held.release()
    console.log(await held.report)
  }),
)
