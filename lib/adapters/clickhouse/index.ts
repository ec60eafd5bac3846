// `hotbolt/clickhouse`: backups of ClickHouse with createBackup() and restoreBackup(). README.md
// beside this file has an example, what is needed and what is not done.

export { clickhouseDestination, type ClickHouseDestinationOptions } from './destination.ts'
export { clickhouseSource, type ClickHouseSourceOptions } from './source.ts'
export type { ChdbClient, ClickHouseClient, HttpClient, QueryFunction } from './client.ts'
export type { PartMetadata, TableMetadata } from './metadata.ts'
