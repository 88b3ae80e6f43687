// Whoever has the database's password can still not rewrite the books unseen: changes are refused, and where somebody
// disables what refuses them, the verifier names the row.
import { sql, type RawBuilder } from 'kysely'
import { describe, expect } from 'vitest'

import type { WorkspaceId } from '../../billing/ids.ts'
import { postUsage } from '../../db/post-usage.ts'
import { createRateBookCache } from '../../db/rate-book.ts'
import type { Db } from '../../db/schema.ts'
import { guards } from '../../db/verify-guards.ts'
import { findBreaks } from '../support/books.ts'
import { test } from '../support/fixtures.ts'
import { aCall, callArrival, givenWorkspace, newId, newWorkspaceId } from '../support/given.ts'
import { sqlStateOf } from '../support/refusal.ts'

const restrictViolation = '23001'
const notNullViolation = '23502'
const foreignKeyViolation = '23503'
const uniqueViolation = '23505'
const checkViolation = '23514'

/** Each append-only table with a column of it. */
const appendOnly = [
  ['ledger_transaction', 'amount_micros'],
  ['posting', 'amount_micros'],
  ['account', 'title'],
  ['rate_card', 'voice'],
  ['telephony_rate', 'rate'],
  ['workspace_rate', 'rate'],
  ['rental_period', 'amount_micros'],
  ['phone_number_step', 'state'],
] as const

describe('a superuser', () => {
  const sessions = ['origin', 'replica'] as const
  const attempts = appendOnly.flatMap(([table, column]) =>
    sessions.map((session) => ({ table, column, session })),
  )

  test.for(attempts)(
    'cannot update, delete or truncate $table in a session that is $session',
    async ({ table, column, session }, { db }) => {
      const name = sql.table(table)
      const statements = [
        sql`update ${name} set ${sql.ref(column)} = ${sql.ref(column)}`,
        sql`delete from ${name}`,
        sql`truncate ${name} cascade`,
        sql`insert into ${name} select * from ${name} on conflict do nothing`,
      ]

      const codes = await Promise.all(statements.map((statement) => sqlStateOf(db, statement, { session })))

      expect(codes.slice(0, 3)).toEqual([restrictViolation, restrictViolation, restrictViolation])
    },
  )

  test('cannot reach the books by truncating what they hang on', async ({ db }) => {
    const codes = await Promise.all(
      ['workspace', 'rate_card'].map((table) => sqlStateOf(db, sql`truncate ${sql.table(table)} cascade`)),
    )

    expect(codes).toEqual([restrictViolation, restrictViolation])
  })

  test('cannot update by way of an insert that conflicts', async ({ db }) => {
    const code = await sqlStateOf(
      db,
      sql`insert into account (account, title, normal_side) values ('wallet', 'Mine', 'credit')
        on conflict (account) do update set title = excluded.title`,
    )

    expect(code).toBe(restrictViolation)
  })
})

describe('what would unbalance the books cannot be written down:', () => {
  type Attempt = {
    what: string
    code: string
    row?: Partial<RawRow>
    postings?: Partial<RawPosting>[]
    without?: 'wallet move'
  }

  const attempts: Attempt[] = [
    { what: 'a posting of nothing', code: checkViolation, postings: [{}, { line: 2, amount_micros: 0n }] },
    {
      what: 'a posting below zero',
      code: checkViolation,
      postings: [{ amount_micros: -100n, debit: 'voice_revenue', credit: 'wallet' }],
    },
    {
      what: 'a posting from an account to itself',
      code: checkViolation,
      postings: [{}, { line: 2, credit: 'wallet' }],
    },
    { what: 'a posting to no account', code: '22P02', postings: [{ credit: 'pocket' }] },
    {
      what: 'postings that move more than the transaction says',
      code: checkViolation,
      postings: [{}, { line: 2, amount_micros: 1n }],
    },
    {
      what: 'postings that move less than the transaction says',
      code: checkViolation,
      postings: [{ amount_micros: 99n }],
    },
    { what: 'a transaction without postings', code: checkViolation, postings: [] },
    { what: 'a transaction that the wallet does not know of', code: checkViolation, without: 'wallet move' },
    { what: 'a transaction of nobody', code: checkViolation, row: { workspace_id: 'ws_nobody' } },
    { what: 'a transaction of nothing', code: checkViolation, row: { amount_micros: 0n } },
    { what: 'the same fact twice', code: uniqueViolation, row: { idempotency_key: 'grant/signup' } },
    { what: 'the same place in the chain twice', code: uniqueViolation, row: { wallet_sequence: 1n } },
    { what: 'a reversal of nothing', code: checkViolation, row: { kind: 'reversal' } },
    { what: 'half a hash', code: checkViolation, row: { hash: Buffer.alloc(16) } },
  ]

  test('a transaction that is whole can be, by the same statement', async ({ db }) => {
    const workspaceId = await givenWorkspace(db)

    expect(await sqlStateOf(db, rawTransaction({ workspaceId }))).toBeNull()
  })

  test.for(attempts)('$what', async ({ code, row, postings, without }, { db }) => {
    const workspaceId = await givenWorkspace(db)

    const refused = await sqlStateOf(db, rawTransaction({ workspaceId, row, postings, without }))

    expect(refused).toBe(code)
  })

  test('a posting added to a booked transaction, or one that belongs to none', async ({ db }) => {
    const { workspaceId } = await givenBooks(db)
    const added = (sequence: number) => sql`
      insert into posting (workspace_id, wallet_sequence, line, debit_account, credit_account, amount_micros)
      values (${workspaceId}, ${sequence}, 9, 'wallet', 'adjustments', 1)`

    const codes = [await sqlStateOf(db, added(2)), await sqlStateOf(db, added(99))]

    expect(codes).toEqual([checkViolation, checkViolation])
  })

  test('a wallet without a workspace or without its head, and a workspace with a name of another form', async ({
    db,
  }) => {
    const workspaceId = newWorkspaceId()
    const head = Buffer.alloc(32)

    const codes = [
      await sqlStateOf(
        db,
        sql`insert into wallet (workspace_id, head_hash) values (${workspaceId}, ${head})`,
      ),
      await sqlStateOf(
        db,
        sql`
        with opened as (insert into workspace (workspace_id) values (${workspaceId}))
        insert into wallet (workspace_id) values (${workspaceId})`,
      ),
      await sqlStateOf(
        db,
        sql`
        with opened as (insert into workspace (workspace_id) values (${workspaceId}))
        insert into wallet (workspace_id, head_hash) values (${workspaceId}, ${Buffer.alloc(3)})`,
      ),
      await sqlStateOf(
        db,
        sql`
        with opened as (insert into workspace (workspace_id) values (${workspaceId}))
        insert into wallet (workspace_id, head_hash, sequence) values (${workspaceId}, ${head}, -1)`,
      ),
      await sqlStateOf(db, sql`insert into workspace (workspace_id) values ('acme')`),
    ]

    expect(codes).toEqual([
      foreignKeyViolation,
      notNullViolation,
      checkViolation,
      checkViolation,
      checkViolation,
    ])
  })
})

describe('with the triggers disabled by hand, the verifier names', () => {
  type Tampering = {
    what: string
    statements: (books: Books) => RawBuilder<unknown>[]
    /** Where the breaks must be, among others. */
    where: (books: Books) => string[]
  }
  const tamperings: Tampering[] = [
    {
      what: 'an amount that is a micro-dollar less',
      statements: changed(sql`amount_micros = amount_micros + 1`),
      where: middle,
    },
    {
      what: 'a balance that is a micro-dollar more',
      statements: changed(sql`balance_after_micros = balance_after_micros + 1`),
      where: middle,
    },
    {
      what: 'an amount and its posting, changed alike',
      statements: (books) => [
        ...changed(sql`amount_micros = amount_micros + 1`)(books),
        ...changedPosting(sql`amount_micros = amount_micros - 1`)(books),
      ],
      where: middle,
    },
    { what: 'another reference', statements: changed(sql`reference = 'call_other'`), where: middle },
    {
      what: 'another date',
      statements: changed(sql`occurred_at = occurred_at - interval '1 day'`),
      where: middle,
    },
    { what: 'another rate card', statements: changed(sql`rate_card_id = null`), where: middle },
    { what: 'another agent', statements: changed(sql`agent_id = 'somebody else'`), where: middle },
    { what: 'another hash', statements: changed(sql`hash = sha256('anything')`), where: middle },
    {
      what: 'another posting amount',
      statements: changedPosting(sql`amount_micros = amount_micros + 1`),
      where: middle,
    },
    {
      what: 'another posting account',
      statements: changedPosting(sql`credit_account = 'telephony_revenue'`),
      where: middle,
    },
    {
      what: 'another posting quantity',
      statements: changedPosting(sql`quantity = quantity + 1`),
      where: middle,
    },
    {
      what: 'a posting that is gone',
      statements: (books) => [
        sql`delete from posting where workspace_id = ${books.workspaceId} and wallet_sequence = 3 and line = 2`,
      ],
      where: middle,
    },
    {
      what: 'the row after one that is gone',
      statements: deleted(3),
      where: ({ keys }) => [`transaction 4 (${keys[2]})`, keys[1] ?? ''],
    },
    {
      what: 'the wallet whose last row is gone, and the event that it was of',
      statements: deleted(4),
      where: ({ keys }) => ['wallet', 'transaction 4', keys[2] ?? ''],
    },
    {
      what: 'a wallet with a micro-dollar more',
      statements: (books) => [
        sql`update wallet set balance_micros = balance_micros + 1 where workspace_id = ${books.workspaceId}`,
      ],
      where: () => ['wallet'],
    },
    {
      what: 'a wallet whose head is another',
      statements: (books) => [
        sql`update wallet set head_hash = sha256('anything') where workspace_id = ${books.workspaceId}`,
      ],
      where: () => ['wallet'],
    },
    {
      what: 'the rows of a wallet that is gone',
      statements: (books) => [sql`delete from wallet where workspace_id = ${books.workspaceId}`],
      where: ({ keys }) => keys.map((key, index) => `transaction ${index + 2} (${key})`),
    },
    {
      what: 'a top-up that says it brought what the ledger does not have',
      statements: (books) => [
        sql`insert into top_up
            (workspace_id, top_up_id, source, state, amount_micros, credited_micros, created_at, changed_at)
          values (${books.workspaceId}, 'topup_mine', 'api', 'succeeded', 5000000, 5000000, now(), now())`,
      ],
      where: () => ['topup_mine'],
    },
    {
      what: 'a wallet that goes by another threshold than its settings',
      statements: (books) => [
        sql`insert into auto_recharge (workspace_id, enabled, threshold_micros, top_up_micros, consented_at)
          values (${books.workspaceId}, true, 5000000, 20000000, now())`,
      ],
      where: () => ['auto-recharge'],
    },
    {
      what: 'an event that says it is posted and is not',
      statements: (books) => [
        sql`update usage_event set state = 'posted', reason = null where workspace_id = ${books.workspaceId} and key = ${books.setAsideKey}`,
      ],
      where: ({ setAsideKey }) => [setAsideKey],
    },
    {
      what: 'a booked row whose event is gone',
      statements: (books) => [
        sql`delete from usage_event where workspace_id = ${books.workspaceId} and key = ${books.keys[0]}`,
      ],
      where: ({ keys }) => [`transaction 2 (${keys[0]})`],
    },
    {
      what: 'a payload that was changed after it was booked',
      statements: (books) => [
        sql`update usage_event set payload = replace(payload::text, '+1415', '+1416')::json
          where workspace_id = ${books.workspaceId} and key = ${books.keys[0]}`,
      ],
      where: ({ keys }) => [`transaction 2 (${keys[0]})`],
    },
    {
      what: 'a row that was put at the end',
      statements: (books) => [
        rawTransaction({
          workspaceId: books.workspaceId,
          row: { wallet_sequence: 5n, idempotency_key: 'call/call_forged' },
        }),
      ],
      where: () => ['transaction 5 (call/call_forged)', 'wallet'],
    },
  ]

  test.for(tamperings)('$what', async ({ statements, where }, { ownPlace, ownDb }) => {
    const books = await givenBooks(ownDb)
    const neighbour = await givenBooks(ownDb)
    const breaksBefore = await findBreaks(ownPlace.databaseUrl)

    for (const table of ['ledger_transaction', 'posting']) {
      await sql`alter table ${sql.table(table)} disable trigger user`.execute(ownDb)
    }
    for (const statement of statements(books)) {
      const { numAffectedRows } = await statement.execute(ownDb)
      expect(numAffectedRows).not.toBe(0n)
    }
    const breaks = await findBreaks(ownPlace.databaseUrl)

    expect(breaksBefore).toEqual([])
    const named = breaks.filter((each) => each.workspaceId === books.workspaceId).map((each) => each.where)
    expect(named).toEqual(expect.arrayContaining(where(books)))
    expect(breaks.filter((each) => each.workspaceId === neighbour.workspaceId)).toEqual([])
  })
})

test('verify knows every trigger that is on for all sessions, and names one that is switched off, weakened or gone', async ({
  ownPlace,
  ownDb,
}) => {
  const { rows } = await sql<{ trigger: string }>`
    select tgname as trigger from pg_trigger where not tgisinternal and tgenabled = 'A'`.execute(ownDb)

  await sql`alter table posting disable trigger posting_is_append_only`.execute(ownDb)
  await sql`alter table audit_log enable trigger audit_log_is_append_only`.execute(ownDb)
  await sql`drop trigger rate_card_is_append_only on rate_card`.execute(ownDb)
  const breaks = await findBreaks(ownPlace.databaseUrl)

  expect(guards.map(({ trigger }) => trigger).toSorted()).toEqual(
    rows.map(({ trigger }) => trigger).toSorted(),
  )
  expect(breaks.map((each) => each.where)).toEqual(['audit_log', 'posting', 'rate_card'])
})

/** The row that most tests tamper with. */
function middle({ keys }: Books): string[] {
  return [`transaction 3 (${keys[1]})`]
}

function changed(assignment: RawBuilder<unknown>) {
  return ({ workspaceId }: Books) => [
    sql`update ledger_transaction set ${assignment} where workspace_id = ${workspaceId} and wallet_sequence = 3`,
  ]
}

function changedPosting(assignment: RawBuilder<unknown>) {
  return ({ workspaceId }: Books) => [
    sql`update posting set ${assignment} where workspace_id = ${workspaceId} and wallet_sequence = 3 and line = 1`,
  ]
}

function deleted(sequence: number) {
  return ({ workspaceId }: Books) =>
    ['posting', 'ledger_transaction'].map(
      (table) =>
        sql`delete from ${sql.table(table)} where workspace_id = ${workspaceId} and wallet_sequence = ${sequence}`,
    )
}

type Books = { workspaceId: WorkspaceId; keys: string[]; setAsideKey: string }

/** A wallet with its grant, three calls (numbers 2 to 4) and a call that is set aside. */
async function givenBooks(db: Db): Promise<Books> {
  const workspaceId = await givenWorkspace(db)
  const calls = Array.from({ length: 3 }, () => aCall(workspaceId, { recorded: true, agentId: 'agent_ada' }))
  const nowhere = aCall(workspaceId, { to: '+99955550100' })
  await db
    .transaction()
    .execute((trx) => postUsage(trx, [...calls, nowhere].map(callArrival), createRateBookCache()))
  return {
    workspaceId,
    keys: calls.map((call) => `call/${call.callId}`),
    setAsideKey: `call/${nowhere.callId}`,
  }
}

type RawRow = {
  workspace_id: string
  wallet_sequence: bigint
  idempotency_key: string
  kind: string
  amount_micros: bigint
  hash: Buffer
}
type RawPosting = { line: number; debit: string; credit: string; amount_micros: bigint }

/** A debit of 100 micro-dollars as number 2 of a wallet, in one statement as the product writes it; or what is made of it. */
function rawTransaction({
  workspaceId,
  row: changes = {},
  postings = [{}],
  without,
}: {
  workspaceId: string
  row?: Partial<RawRow> | undefined
  postings?: Partial<RawPosting>[] | undefined
  without?: 'wallet move' | undefined
}): RawBuilder<unknown> {
  const row: RawRow = {
    workspace_id: workspaceId,
    wallet_sequence: 2n,
    idempotency_key: `call/${newId('call')}`,
    kind: 'call',
    amount_micros: -100n,
    hash: Buffer.alloc(32),
    ...changes,
  }
  const lines = postings.map((posting): RawPosting => ({
    line: 1,
    debit: 'wallet',
    credit: 'voice_revenue',
    amount_micros: 100n,
    ...posting,
  }))
  return sql`
    with moved as (
      update wallet set sequence = ${row.wallet_sequence}, balance_micros = balance_micros + ${row.amount_micros}
      where workspace_id = ${row.workspace_id} and ${without === undefined}
    ), booked as (
      insert into ledger_transaction (
        workspace_id, wallet_sequence, idempotency_key, kind, reference, amount_micros, balance_after_micros,
        occurred_at, posted_at, payload_hash, hash)
      values (
        ${row.workspace_id}, ${row.wallet_sequence}, ${row.idempotency_key}, ${row.kind}, 'reference',
        ${row.amount_micros}, 0, now(), now(), ${Buffer.alloc(32)}, ${row.hash})
    )
    insert into posting (workspace_id, wallet_sequence, line, debit_account, credit_account, amount_micros)
    select ${row.workspace_id}, ${row.wallet_sequence}, * from unnest(
      ${lines.map((line) => line.line)}::smallint[],
      ${lines.map((line) => line.debit)}::account_code[],
      ${lines.map((line) => line.credit)}::account_code[],
      ${lines.map((line) => line.amount_micros)}::bigint[])`
}
