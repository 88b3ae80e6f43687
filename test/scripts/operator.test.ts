// The operator's scripts on a database that has something in it: they say what is so, and change only what they are told.
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { sql } from 'kysely'
import { describe, expect, onTestFinished } from 'vitest'

import { defaultRateCardJson } from '../../billing/rates-default.ts'
import { beat } from '../../db/heartbeat.ts'
import { expireSilentHolds } from '../../db/hold.ts'
import { migrationNames } from '../../db/migrate.ts'
import { postUsage } from '../../db/post-usage.ts'
import { createRateBookCache, publishRateCard } from '../../db/rate-book.ts'
import type { Db } from '../../db/schema.ts'
import { guards } from '../../db/verify-guards.ts'
import { countUsage } from '../support/books.ts'
import { runCommand } from '../support/command.ts'
import { test } from '../support/fixtures.ts'
import { aCall, callArrival, givenWorkspace } from '../support/given.ts'
import { aCallToAdmit, admit, givenSilence } from '../support/given-calls.ts'
import { runScript } from '../support/run-script.ts'
import { until } from '../support/until.ts'

describe('verify', () => {
  test('exits with 0 when the books are right, and with 1 and the names of wallet and transaction when a micro-dollar is changed', async ({
    ownPlace,
    ownDb: db,
  }) => {
    const { workspaceId, calls } = await givenCalls(db)

    const right = await runScript('verify', [], ownPlace)
    await sql`alter table ledger_transaction disable trigger user`.execute(db)
    await sql`update ledger_transaction set amount_micros = amount_micros + 1
      where workspace_id = ${workspaceId} and wallet_sequence = 3`.execute(db)
    const [wrong, asJson] = await Promise.all([
      runCommand('verify', [], ownPlace),
      runCommand('verify', ['--json'], ownPlace),
    ])

    expect(right.code).toBe(0)
    expect(right.stdout).toContain('1 wallets, 4 transactions')
    expect(right.stdout).toContain('The ledger is right')
    expect(wrong.code).toBe(1)
    expect(wrong.stdout).toContain(`${workspaceId}  transaction 3 (call/${calls[1]?.callId})`)
    expect(wrong.stdout).toContain('the trigger ledger_transaction_is_append_only is off or gone')
    expect(asJson.code).toBe(1)
    expect(JSON.parse(asJson.stdout)).toMatchObject({
      transactions: 4,
      breaks: expect.arrayContaining([
        expect.objectContaining({ where: `transaction 3 (call/${calls[1]?.callId})` }),
      ]),
    })
  })

  test('names the wallet and the transaction when the last one was deleted, whatever it was', async ({
    ownPlace,
    ownDb: db,
  }) => {
    const { workspaceId: called, calls } = await givenCalls(db)
    // Nothing but its wallet remembers a grant: there is no event of it, and no payment.
    const granted = await givenWorkspace(db)

    for (const table of ['posting', 'ledger_transaction']) {
      await sql`alter table ${sql.table(table)} disable trigger user`.execute(db)
      await sql`
        delete from ${sql.table(table)} where (workspace_id, wallet_sequence) in ((${called}, 4), (${granted}, 1))`.execute(
        db,
      )
    }
    const { code, stdout } = await runScript('verify', [], ownPlace)

    expect(code).toBe(1)
    expect(stdout).toContain(`${called}  wallet: says it has 4 transactions; the last one there is number 3`)
    expect(stdout).toContain(`${called}  transaction 4: is gone`)
    expect(stdout).toContain(
      `${called}  call/${calls[2]?.callId}: is posted, and the ledger has no transaction`,
    )
    expect(stdout).toContain(`${granted}  wallet: says it has 1 transactions; the last one there is number 0`)
    expect(stdout).toContain(`${granted}  transaction 1: is gone`)
  })

  test('by heads that were kept elsewhere names what was cut off with every trace of it', async ({
    ownPlace,
    ownDb: db,
  }) => {
    const { workspaceId, calls } = await givenCalls(db)
    const directory = await mkdtemp(join(tmpdir(), 'heads-'))
    onTestFinished(async () => await rm(directory, { recursive: true, force: true }))
    const heads = join(directory, 'heads.jsonl')
    const hostile = join(directory, 'hostile.jsonl')
    await writeFile(hostile, '{"workspaceId":"ws_1","sequence":"0","hash":""}\n')

    const kept = await runScript('verify', ['--heads', heads], ownPlace)
    await post(db, aCall(workspaceId))
    const whole = await runScript('verify', ['--against', heads], ownPlace)
    await cutOff(db, { workspaceId, leave: 3 })
    const unaided = await runScript('verify', [], ownPlace)
    const cut = await runScript('verify', ['--against', heads], ownPlace)
    const malformed = await runScript('verify', ['--against', hostile], ownPlace)
    const missing = await runScript('verify', ['--against', join(directory, 'no-such.jsonl')], ownPlace)

    expect([kept, whole, unaided, cut, malformed, missing].map(({ code }) => code)).toEqual([
      0, 0, 0, 1, 2, 2,
    ])
    expect(missing.stderr).toContain('no-such.jsonl cannot be read')
    expect(calls).toHaveLength(3)
    expect(cut.stdout).toContain(
      `${workspaceId}  transaction 4: was there when the heads were written, and is gone`,
    )
    expect(malformed.stderr).toContain('hostile.jsonl:1: expected a line that "verify -- --heads" wrote')
  })
})

/** What a superuser can do: the last transactions are gone, nothing remembers them, and the guards are on again. */
async function cutOff(db: Db, { workspaceId, leave }: { workspaceId: string; leave: number }): Promise<void> {
  const gone = sql`workspace_id = ${workspaceId} and wallet_sequence > ${leave}`
  await db.transaction().execute(async (trx) => {
    for (const table of ['posting', 'ledger_transaction'])
      await sql`alter table ${sql.table(table)} disable trigger user`.execute(trx)
    await sql`delete from usage_event where (workspace_id, key) in (
      select workspace_id, idempotency_key from ledger_transaction where ${gone})`.execute(trx)
    await sql`delete from posting where ${gone}`.execute(trx)
    await sql`delete from ledger_transaction where ${gone}`.execute(trx)
    await sql`update wallet set sequence = last.wallet_sequence, balance_micros = last.balance_after_micros, head_hash = last.hash
      from ledger_transaction last
      where last.workspace_id = wallet.workspace_id and last.workspace_id = ${workspaceId} and last.wallet_sequence = ${leave}`.execute(
      trx,
    )
    for (const { table, trigger } of guards)
      await sql`alter table ${sql.table(table)} enable always trigger ${sql.id(trigger)}`.execute(trx)
  })
}

describe('set-aside', () => {
  test('lists what could not be posted with what to do about it, and requeues what it is told to', async ({
    ownPlace,
    ownDb: db,
    startWorkers,
  }) => {
    const { workspaceId } = await givenCalls(db)
    const premium = aCall(workspaceId, { to: '+97955550100' })
    const endless = aCall(workspaceId, { durationSeconds: 1e6 })
    await post(db, premium, endless)

    const list = await runScript('set-aside', [], ownPlace)
    const asJson = await runCommand('set-aside', ['--json', '--reason', 'impossible_duration'], ownPlace)
    await publishCardWith(db, '979')
    await startWorkers({ place: ownPlace })
    const requeued = await runCommand('set-aside', ['requeue', '--reason', 'unknown_destination'], ownPlace)
    await until('it is posted', async () => (await countUsage(db)).posted === 4)

    expect(list.code).toBe(0)
    expect(list.stdout).toContain(`${workspaceId}  call/${premium.callId}\n    unknown_destination`)
    expect(list.stdout).toContain('1 x impossible_duration\n    The call would have lasted')
    expect(JSON.parse(asJson.stdout)).toMatchObject({
      key: `call/${endless.callId}`,
      reason: 'impossible_duration',
      payload: endless,
    })
    expect(requeued).toMatchObject({ code: 0, stdout: '1 requeued\n' })
    expect(await countUsage(db)).toEqual({ posted: 4, set_aside: 1 })
  })

  test('says so when there is nothing', async ({ ownPlace }) => {
    expect(await runCommand('set-aside', [], ownPlace)).toMatchObject({
      code: 0,
      stdout: 'Nothing is set aside.\n',
    })
  })
})

describe('ledger', () => {
  test('prints every wallet’s balance and the newest transactions with their postings', async ({
    ownPlace,
    ownDb: db,
  }) => {
    const { workspaceId, calls } = await givenCalls(db)
    const reference = calls[0]?.callId ?? ''

    const [everything, one] = await Promise.all([
      runScript('ledger', [], ownPlace),
      runCommand('ledger', ['--reference', reference, '--csv'], ownPlace),
    ])

    expect(everything.code).toBe(0)
    expect(everything.stdout).toMatch(new RegExp(`^${workspaceId} +\\$9\\.46 +4 transactions`, 'm'))
    expect(everything.stdout).toMatch(/^ +\$0\.10 {2}debit Customer wallet, credit Voice revenue {2}60 s$/m)
    expect(everything.stdout).toMatch(/^ +\$10\.00 {2}debit Signup grants given, credit Customer wallet$/m)
    expect(one.stdout.split('\n').filter(Boolean)).toHaveLength(3)
    expect(one.stdout).toContain(`${workspaceId},2,call,${reference},`)
    expect(one.stdout).toContain(',wallet,telephony_revenue,0.080000,60,1,9.820000')
  })
})

describe('health', () => {
  test('exits with 1 until a heartbeat has come through, and with 0 for a while after', async ({
    ownPlace,
    ownDb: db,
  }) => {
    const never = await runScript('health', [], ownPlace)
    await beat(db)
    const alive = await runCommand('health', [], ownPlace)
    await sql`update heartbeat set beat_at = beat_at - interval '2 minutes'`.execute(db)
    const [silent, patient] = await Promise.all([
      runCommand('health', [], ownPlace),
      runCommand('health', ['--within', '600'], ownPlace),
    ])

    expect([never.code, alive.code, silent.code, patient.code]).toEqual([1, 0, 1, 0])
    expect(never.stdout).toBe('last heartbeat: never\n')
  })
})

describe('migrate', () => {
  test('brings an empty database to the newest schema, and the second time changes nothing', async ({
    ownPlace,
    emptyDatabaseUrl,
  }) => {
    const place = { ...ownPlace, databaseUrl: emptyDatabaseUrl }

    const first = await runScript('migrate', [], place)
    const second = await runCommand('migrate', [], place)

    expect(first.code).toBe(0)
    for (const name of await migrationNames()) expect(first.stdout).toContain(`migrated ${name}\n`)
    expect(second.code).toBe(0)
    expect(second.stdout).not.toContain('migrated 0')
  })
})

describe('rates', () => {
  test('publishes a card, agrees a rate with one workspace, and lists both', async ({
    ownPlace,
    ownDb: db,
  }) => {
    const directory = await mkdtemp(join(tmpdir(), 'rates-'))
    const file = join(directory, 'card.json')
    await writeFile(file, JSON.stringify({ ...defaultRateCardJson, message_usd: '0.02' }))
    const workspaceId = await givenWorkspace(db)

    const published = await runScript(
      'rates',
      ['publish', file, '--id', 'dearer', '--from', '2026-01-01T00:00:00Z'],
      ownPlace,
    )
    const again = await runScript(
      'rates',
      ['publish', file, '--id', 'dearer', '--from', '2026-02-01T00:00:00Z'],
      ownPlace,
    )
    const agreed = await runCommand('rates', ['agree', workspaceId, 'message', '0.005'], ownPlace)
    const list = await runCommand('rates', [], ownPlace)
    await rm(directory, { recursive: true, force: true })

    expect([published.code, again.code, agreed.code, list.code]).toEqual([0, 1, 0, 0])
    expect(again.stderr).toContain('There is a rate card dearer')
    expect(list.stdout).toMatch(/2026-01-01T00:00:00\.000Z {2}card dearer, \d{3} telephony prefixes/)
    expect(list.stdout).toContain(`${workspaceId}: message agreed`)
  })
})

describe('unbilled', () => {
  test('lists the calls of all workspaces that were admitted and never billed, and counts them', async ({
    ownPlace,
    ownDb: db,
  }) => {
    const [one, other] = [await givenWorkspace(db), await givenWorkspace(db)]
    const [silent, told, lost] = [aCallToAdmit(one), aCallToAdmit(one), aCallToAdmit(other)]
    const nothing = await runScript('unbilled', [], ownPlace)
    await admit(db, silent, told, lost)
    await givenSilence(db, one)
    await givenSilence(db, other)
    await db.transaction().execute((trx) => expireSilentHolds(trx, 10))
    await post(db, aCall(one, { callId: told.callId }))

    const all = await runCommand('unbilled', [], ownPlace)
    const newest = await runCommand('unbilled', ['--limit', '1'], ownPlace)
    const ofOne = await runCommand('unbilled', [one, '--json'], ownPlace)

    expect(nothing).toMatchObject({ code: 0, stdout: expect.stringMatching(/^Every call that was admitted/) })
    expect(all.stdout).toContain(`${one}  ${silent.callId}\n    outbound to +14155550100, last heard of `)
    expect(all.stdout).toContain(`${other}  ${lost.callId}`)
    expect(all.stdout).not.toContain(told.callId)
    expect(all.stdout).toContain('2 admitted and never billed. Replay')
    expect(newest.stdout).toContain('2 admitted and never billed (1 of them shown: --limit)')
    expect(
      ofOne.stdout
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line) as unknown),
    ).toMatchObject([{ workspaceId: one, callId: silent.callId, to: '+14155550100' }])
  })
})

/** A wallet with three calls of a minute: numbers 2 to 4, $9.46 left. */
async function givenCalls(db: Db) {
  const workspaceId = await givenWorkspace(db)
  const calls = [aCall(workspaceId), aCall(workspaceId), aCall(workspaceId)]
  await post(db, ...calls)
  return { workspaceId, calls }
}

async function post(db: Db, ...calls: Record<string, unknown>[]): Promise<void> {
  await db.transaction().execute((trx) => postUsage(trx, calls.map(callArrival), createRateBookCache()))
}

async function publishCardWith(db: Db, prefix: string): Promise<void> {
  const { voice, telephony } = defaultRateCardJson
  const card = { ...defaultRateCardJson, telephony: { ...telephony, [prefix]: voice } }
  await db
    .transaction()
    .execute((trx) =>
      publishRateCard(trx, { rateCardId: 'wider', effectiveFrom: new Date('2026-01-01'), card }),
    )
}
