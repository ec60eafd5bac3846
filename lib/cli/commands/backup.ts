// hotbolt backup: the commands about backups.

import type { CommandGroup } from '../command.ts'
import { clean } from './backup/clean.ts'
import { create } from './backup/create.ts'
import { remove } from './backup/delete.ts'
import { list } from './backup/list.ts'
import { prune } from './backup/prune.ts'
import { restore } from './backup/restore.ts'
import { show } from './backup/show.ts'
import { verify } from './backup/verify.ts'

export const backup: CommandGroup = {
  name: 'backup',
  summary: 'Back up stores, catalogs and ClickHouse; list, verify and restore backups',
  commands: [create, list, show, verify, restore, remove, prune, clean],
  details: `A catalog every night; a week of nights and a year of months are kept:

  hotbolt backup create /srv/tenants --target /backups --diff-from latest
  hotbolt backup verify latest --target /backups
  hotbolt backup prune --target /backups --keep-daily 7 --keep-monthly 12

And back again:

  hotbolt backup restore latest --target /backups --to /srv/tenants --overwrite

One store as a file, also for etcd:

  hotbolt backup create data.db --to copy.db --compact
  hotbolt backup create member.db --to snapshot.db --format etcd-snapshot

S3 (--target s3://bucket/prefix) needs the packages @aws-sdk/client-s3 and
@aws-sdk/lib-storage. Credentials and region are those of the SDK:
AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION, AWS_PROFILE, ...

ClickHouse needs the package @clickhouse/client, or chdb. User and password are
in the URL (http://user:password@localhost:8123), or in CLICKHOUSE_USER and
CLICKHOUSE_PASSWORD.

Exit codes: 0 ok, 1 failed, 2 wrong usage, 3 done with warnings (something is
still frozen, ...), 4 the backup is damaged, 5 locked (somebody has the files
open, or makes a backup of that name), 130 interrupted.
`,
}
