// The schema keeps the promises that no single statement shows: it can be distributed by workspace, its words are those of
// the domain, and migrating is safe to repeat.
import { sql } from 'kysely'
import { describe, expect } from 'vitest'

import { accounts, describeAccount, ledgerTransactionKinds } from '../../billing/ledger-draft.ts'
import { connect } from '../../db/connect.ts'
import { migrateToLatest, migrationNames } from '../../db/migrate.ts'
import { seedDefaultRateCard } from '../../db/rate-book.ts'
import type { Db, UsageEventState } from '../../db/schema.ts'
import type { UsageKind } from '../../jobs/usage-arrival.ts'
import { test } from '../support/fixtures.ts'
import { countLockWaits } from '../support/lock-waits.ts'
import { until } from '../support/until.ts'

const workspaceTables = [
  'workspace',
  'wallet',
  'ledger_transaction',
  'posting',
  'usage_event',
  'workspace_rate',
  'staged_job',
  'paddle_customer',
  'saved_card',
  'auto_recharge',
  'top_up',
  'top_up_step',
  'paddle_adjustment',
  'audit_log',
  'hold',
  'campaign',
  'api_key',
  'idempotent_request',
  'ledger_block',
  'ledger_block_facet',
  'ledger_block_hour',
  'ledger_block_line',
  'phone_number',
  'rental_period',
  'phone_number_step',
  'dashboard_session',
  'sign_in_link',
]

describe('every table that belongs to a workspace', () => {
  test('is known to these tests', async ({ db }) => {
    const { rows } = await sql<{ name: string }>`
      select c.relname as name from pg_class c
      join pg_attribute a on a.attrelid = c.oid and a.attname = 'workspace_id'
      where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p')`.execute(db)

    expect(rows.map((row) => row.name).toSorted()).toEqual(workspaceTables.toSorted())
  })

  test('has the workspace in its primary key, every unique key and every foreign key', async ({ db }) => {
    const keys = await keysOf(db)

    expect(new Set(keys.filter((key) => key.kind === 'primary').map((key) => key.name))).toEqual(
      new Set(workspaceTables),
    )
    expect(keys.filter((key) => !key.columns.includes('workspace_id'))).toEqual([])
    const foreign = keys.filter((key) => key.kind === 'foreign')
    expect(foreign.filter((key) => !key.referenced.includes('workspace_id'))).toEqual([])
  })
})

describe('the words of the schema are those of the domain:', () => {
  test('accounts, kinds of transactions and states', async ({ db }) => {
    const states = ['received', 'posted', 'free', 'set_aside'] satisfies UsageEventState[]

    expect(await enumValues(db, 'account_code')).toEqual(accounts)
    expect(await enumValues(db, 'ledger_transaction_kind')).toEqual(ledgerTransactionKinds)
    expect(await enumValues(db, 'usage_event_state')).toEqual(states)
  })

  test('the chart of accounts, with its titles and sides', async ({ db }) => {
    const rows = await db.selectFrom('account').selectAll().orderBy('account').execute()

    expect(rows).toEqual(
      accounts.map((account) => {
        const { title, normalSide } = describeAccount(account)
        return { account, title, normal_side: normalSide }
      }),
    )
  })

  test('the kinds of usage that may be written, and no other', async ({ db }) => {
    const kinds = ['call', 'message', 'unknown'] satisfies UsageKind[]

    const { rows } = await sql<{ definition: string }>`
      select pg_get_constraintdef(oid) as definition from pg_constraint
      where conname = 'usage_event_kind_is_known'`.execute(db)

    const allowed = [...(rows[0]?.definition ?? '').matchAll(/'(\w+)'/g)].map((match) => match[1])
    expect(new Set(allowed)).toEqual(new Set<string | undefined>(kinds))
  })
})

describe('migrating', () => {
  test('a database that is migrated changes nothing in it', async ({ ownPlace, ownDb }) => {
    const before = await pictureOf(ownDb)

    const ran = await migrateToLatest(ownPlace.databaseUrl)

    expect(ran).toEqual([])
    expect(await pictureOf(ownDb)).toEqual(before)
  })

  test('an empty database four times at once runs every migration once, and nobody fails', async ({
    emptyDatabaseUrl,
    db: migrated,
  }) => {
    const runs = await Promise.all(Array.from({ length: 4 }, () => migrateToLatest(emptyDatabaseUrl)))

    expect(runs.flat()).toEqual(await migrationNames())
    const db = connect(emptyDatabaseUrl, { profile: 'operator', name: 'test', poolSize: 1 })
    expect(await pictureOf(db)).toEqual(await pictureOf(migrated))
    await db.destroy()
  })

  test('while another migration gives the database its first prices waits for it', async ({
    ownPlace,
    ownDb,
  }) => {
    for (const table of ['telephony_rate', 'rate_card']) {
      await sql`alter table ${sql.table(table)} disable trigger user`.execute(ownDb)
      await sql`delete from ${sql.table(table)}`.execute(ownDb)
    }
    const first = await ownDb.startTransaction().execute()
    await seedDefaultRateCard(first)

    const second = migrateToLatest(ownPlace.databaseUrl)
    await until('the second one waits', async () => (await countLockWaits(ownDb)) > 0)
    await first.commit().execute()

    expect(await second).toEqual([])
    expect(await ownDb.selectFrom('rate_card').select('rate_card_id').execute()).toEqual([
      { rate_card_id: 'standard' },
    ])
  })
})

type Key = {
  kind: 'primary' | 'unique' | 'foreign'
  /** The table's, of a primary key; the key's own, of another. */
  name: string
  columns: string[]
  referenced: string[]
}

/** Unique indexes are read from the index itself: a constraint has one, and one can be there without a constraint. */
async function keysOf(db: Db): Promise<Key[]> {
  const { rows } = await sql<Key>`
    select
      case when i.indisprimary then 'primary' else 'unique' end as kind,
      case when i.indisprimary then t.relname else c.relname end as name,
      array(select a.attname::text from unnest(i.indkey[0:i.indnkeyatts - 1]) as k(number)
        join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.number) as columns,
      '{}'::text[] as referenced
    from pg_index i
    join pg_class c on c.oid = i.indexrelid
    join pg_class t on t.oid = i.indrelid
    where i.indisunique and t.relname = any(${workspaceTables})
    union all
    select 'foreign', f.conname,
      array(select a.attname::text from unnest(f.conkey) as k(number)
        join pg_attribute a on a.attrelid = f.conrelid and a.attnum = k.number),
      array(select a.attname::text from unnest(f.confkey) as k(number)
        join pg_attribute a on a.attrelid = f.confrelid and a.attnum = k.number)
    from pg_constraint f
    join pg_class t on t.oid = f.conrelid
    where f.contype = 'f' and t.relname = any(${workspaceTables})`.execute(db)
  return rows
}

async function enumValues(db: Db, name: string): Promise<string[]> {
  const { rows } = await sql<{ value: string }>`
    select enumlabel as value from pg_enum where enumtypid = ${name}::regtype order by enumsortorder`.execute(
    db,
  )
  return rows.map((row) => row.value)
}

/** As much of a database as migrations decide: its columns, constraints, indexes, triggers, grants and prices. */
async function pictureOf(db: Db): Promise<unknown[]> {
  const { rows } = await sql`
    select 'column' as what, table_name || '.' || column_name as name, concat_ws(' ', data_type, is_nullable, column_default) as is
    from information_schema.columns where table_schema = 'public'
    union all
    select 'constraint', conrelid::regclass || '.' || conname, pg_get_constraintdef(oid)
    from pg_constraint where connamespace = 'public'::regnamespace
    union all
    select 'index', indexname, indexdef from pg_indexes where schemaname = 'public'
    union all
    select 'trigger', tgname, pg_get_triggerdef(oid) || tgenabled::text from pg_trigger where not tgisinternal
    union all
    select 'grants', relname, relacl::text from pg_class where relnamespace = 'public'::regnamespace and relkind in ('r', 'v')
    union all
    select 'rate card', rate_card_id, voice::text from rate_card
    union all
    select 'prefix', rate_card_id || prefix, rate::text from telephony_rate
    union all
    select 'price list', 'version', version::text from price_list
    order by 1, 2, 3`.execute(db)
  return rows
}
