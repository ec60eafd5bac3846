// Tables of many kinds, with odd names, for a real ClickHouse; and what has to be equal in a copy
// of one.

import { isTable, quoteTable, type TableName } from '../../lib/adapters/clickhouse/names.ts'
import type { TestServer } from '../support/clickhouse-server.ts'

interface Kind {
  /** Beside `a UInt64`, which is the number of the row. */
  readonly columns: string
  readonly engine: string
  /** The columns of row `number`. */
  readonly values: string
}

const wide = 'SETTINGS min_bytes_for_wide_part = 0'
const kinds: readonly Kind[] = [
  {
    columns: 'b Nullable(String)',
    engine: 'MergeTree ORDER BY a',
    values: 'if(number % 3 = 0, NULL, toString(number))',
  },
  {
    columns: 'b String',
    engine: 'ReplacingMergeTree ORDER BY b',
    values: 'toString(number % 3)',
  },
  {
    columns: 'b Nullable(String), PROJECTION p (SELECT b, count() GROUP BY b)',
    engine: 'MergeTree ORDER BY a',
    values: 'if(number % 3 = 0, NULL, toString(number))',
  },
  {
    columns: 'b Array(LowCardinality(String))',
    engine: 'MergeTree PARTITION BY a % 2 ORDER BY a',
    values: "arrayMap(x -> concat('v', toString(x)), range(number % 5))",
  },
  { columns: 'b UInt32', engine: 'SummingMergeTree ORDER BY b', values: 'number % 4' },
  {
    columns: 'b Tuple(c String, `d e` Nullable(Int8)), INDEX `i x` a TYPE minmax',
    engine: `MergeTree ORDER BY a ${wide}`,
    values: "tuple('x', if(number % 2 = 0, NULL, toInt8(number % 100)))",
  },
  {
    columns: '`aux` String, `n.b` Array(UInt8), `n.c` Array(String)',
    engine: `MergeTree ORDER BY tuple() ${wide}`,
    values: "'aux', range(number % 4), arrayMap(x -> toString(x), range(number % 4))",
  },
  {
    columns: 'b Map(String, UInt64), PROJECTION `p x` (SELECT a ORDER BY a)',
    engine: "MergeTree PARTITION BY toYYYYMM(toDate('2026-01-31') + a) ORDER BY a",
    values: "map('k', number, 'l', number + 1)",
  },
]

const oddNames = [
  't',
  'a.b',
  "it's",
  'back`tick',
  'back\\slash',
  '"quoted"',
  ' ',
  'caf\u00e9',
  '$&',
]

/** `count` tables of at least two parts, spread over the databases. */
export async function makeTables(
  server: TestServer,
  databases: readonly string[],
  count: number,
): Promise<TableName[]> {
  const names = Array.from({ length: count }, (_, index): TableName => {
    const table = `${oddNames[index % oddNames.length]}_${index}`
    return { database: databases[index % databases.length]!, table }
  })
  await server.runAll(names.map((name, index) => creating(name, kinds[index % kinds.length]!)))
  return names
}

function creating(name: TableName, { columns, engine, values }: Kind): string[] {
  const table = quoteTable(name)
  const insert = (from: number): string =>
    `INSERT INTO ${table} SELECT number, ${values} FROM numbers(${from}, 9)`
  return [
    `CREATE TABLE ${table} (a UInt64, ${columns}) ENGINE = ${engine}`,
    // A merge may change what some of the engines answer.
    `SYSTEM STOP MERGES ${table}`,
    insert(0),
    insert(100),
  ]
}

/** Its rows, and the hashes of its parts: what has to be equal. */
export async function contentOf(server: TestServer, name: TableName): Promise<string[]> {
  const rows = await server.text(`SELECT * FROM ${quoteTable(name)} ORDER BY ALL`)
  const hashes = await server.text(
    `SELECT hash_of_all_files, rows FROM system.parts WHERE ${isTable(name, 'table')} AND active
     ORDER BY hash_of_all_files`,
  )
  return [rows, hashes]
}
