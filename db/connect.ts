/** Connections to Postgres: how each kind of process connects, how long it may wait, and how values come back. */
import { Kysely, PostgresDialect } from 'kysely'
import { Pool, types, type ClientBase } from 'pg'

import type { Db, Schema } from './schema.ts'

/**
 * What each kind of process may do and how long a statement, a lock and an idle transaction may last. A process that
 * freezes inside a transaction loses it after `idleMs`, so it cannot hold a wallet for longer than that.
 */
const profiles = {
  // Wallets are locked without waiting; a lock on an event is somebody's short insert. Whoever waits here makes others wait.
  posting: { role: 'wallet_worker', statementMs: 10_000, lockMs: 250, idleMs: 5_000, plans: 'by_index' },
  worker: {
    role: 'wallet_worker',
    statementMs: 10_000,
    lockMs: 2_000,
    idleMs: 5_000,
    plans: 'by_statistics',
  },
  auditor: {
    role: 'wallet_auditor',
    statementMs: 600_000,
    lockMs: 2_000,
    idleMs: 600_000,
    plans: 'by_statistics',
  },
  operator: { role: null, statementMs: 600_000, lockMs: 10_000, idleMs: 60_000, plans: 'by_statistics' },
} as const

/**
 * The posting statements are prepared once and look every row up by its key. On a young database the statistics still say
 * that the tables are empty; a plan made then would read whole tables for as long as the connection lives.
 */
const planByIndex =
  '-c plan_cache_mode=force_generic_plan -c enable_seqscan=off -c enable_hashjoin=off -c enable_mergejoin=off'

type ConnectionProfile = keyof typeof profiles

export type ConnectOptions = {
  profile: ConnectionProfile
  /** Shown in `pg_stat_activity`. */
  name: string
  poolSize?: number
  /** Moves `wallet_now()` in every session: `<instant it showed>/<real instant>/<rate>`. Absent in production. */
  clock?: string | undefined
  /** Told when an idle connection breaks. The pool opens another; nothing else has to be done. */
  onConnectionLost?: (error: Error) => void
}

/**
 * A pool. Connects when first used.
 *
 * Shape: bigint columns come back as `bigint`, numeric as text, timestamptz as Date (we write whole milliseconds).
 */
export function connect(databaseUrl: string, options: ConnectOptions): Db {
  const { role, statementMs, lockMs, idleMs, plans } = profiles[options.profile]
  const pool = new Pool({
    connectionString: databaseUrl,
    application_name: `wallet ${options.name}`,
    max: options.poolSize ?? 4,
    connectionTimeoutMillis: 5_000,
    keepAlive: true,
    statement_timeout: statementMs,
    lock_timeout: lockMs,
    idle_in_transaction_session_timeout: idleMs,
    options: [
      '-c synchronous_commit=on',
      ...(role === null ? [] : [`-c role=${role}`]),
      ...(plans === 'by_index' ? [planByIndex] : []),
      ...(options.clock === undefined ? [] : [`-c wallet.clock=${options.clock}`]),
    ].join(' '),
    // Statements that are sent together travel together: a posting waits for two answers instead of five.
    pipeline: true,
    types: { getTypeParser: typeParser },
  })
  pool.on('error', (error) => options.onConnectionLost?.(error))
  pool.on('connect', (client) => {
    // The pool listens only to idle connections. One that breaks between two statements of a transaction tells its user at
    // the next statement; without a listener of its own it would end the process before that.
    client.on('error', () => undefined)
    nameHotStatements(client)
  })
  return new Kysely<Schema>({ dialect: new PostgresDialect({ pool }) })
}

const int8 = 20

function typeParser(oid: number, format?: 'text' | 'binary') {
  return oid === int8 ? BigInt : types.getTypeParser(oid, format)
}

const statementName = /^\s*\/\* ([a-z-]+) \*\//

/**
 * A statement that begins with a name in a comment (`/* post-usage *\/ insert ...`) is prepared once per connection under
 * that name, which halves what Postgres spends on planning it. Kysely itself never names statements.
 */
function nameHotStatements(client: ClientBase): void {
  const query = client.query.bind(client) as (...args: unknown[]) => unknown
  Object.assign(client, {
    query: (text: unknown, values: unknown, ...rest: unknown[]) => {
      const name = typeof text === 'string' ? statementName.exec(text)?.[1] : undefined
      return name === undefined ? query(text, values, ...rest) : query({ name, text, values }, ...rest)
    },
  })
}
