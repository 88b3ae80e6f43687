// A whole life with a card, with everything that can go wrong on the way, and then a search: no secret and no card number is in any
// log, in Redis, in a job or in the database.
import { randomBytes } from 'node:crypto'

import type { Redis } from 'ioredis'
import { sql } from 'kysely'
import { expect } from 'vitest'

import { openCardSetup } from '../../api/checkout.ts'
import { findUsableCard } from '../../db/saved-card.ts'
import type { Db } from '../../db/schema.ts'
import { listTopUps } from '../../db/top-up.ts'
import { findBalance } from '../../db/wallet.ts'
import { parseUsd } from '../../billing/money.ts'
import { createPaddleGateway } from '../../paddle/gateway.ts'
import { controlSimulator } from '../../paddle/simulator/control.ts'
import { startPaddleSimulator } from '../../paddle/simulator/simulator.ts'
import { installPaddleTransport } from '../../paddle/transport.ts'
import { switchOn } from '../../scripts/drills/recharging-wallet.ts'
import { startApiUntilItEnds, test } from '../support/api-process.ts'
import { givenWorkspace } from '../support/given.ts'
import { anEvent, answerOf, sendWebhook, signatureOf } from '../support/paddle-sender.ts'
import { quickCharges } from '../support/paddle.ts'
import { until } from '../support/until.ts'

/** Without the look of a key or a secret, which the log would hide by itself: what must not be there must not be there at all. */
const canaries = {
  apiKey: `canary-key-${randomBytes(8).toString('hex')}`,
  webhookSecret: `canary-secret-${randomBytes(8).toString('hex')}`,
  shortSecret: `cnry${randomBytes(4).toString('hex')}`,
  password: `canary-password-${randomBytes(8).toString('hex')}`,
  card: '4716258050958645',
}

test('no secret and no card number is anywhere that it could be read later', async ({
  ownPlace: place,
  ownDb: db,
  redis,
  startApi,
  startWorkers,
}) => {
  const transport = installPaddleTransport()
  const { apiKey, webhookSecret } = canaries
  const simulator = await startPaddleSimulator({ apiKey, webhookSecret })
  const control = controlSimulator(simulator.url)
  const { url: environmentUrl, productId, setupPriceId } = simulator
  const gateway = createPaddleGateway({ apiKey, environment: environmentUrl, productId, setupPriceId })
  const environment = {
    ...quickCharges,
    LOG_LEVEL: 'trace',
    PADDLE_API_KEY: apiKey,
    PADDLE_ENVIRONMENT: environmentUrl,
    PADDLE_PRODUCT_ID: productId,
    PADDLE_SETUP_PRICE_ID: setupPriceId,
    PADDLE_WEBHOOK_SECRET: webhookSecret,
  }
  const [api, workers] = await Promise.all([
    startApi({ place, environment }),
    startWorkers({ place, environment }),
  ])
  await control.setWebhookUrl(`${api.url}/webhooks/paddle`)
  await control.limits({ requestsPerMinute: null })

  // A card is saved at the checkout, and charged.
  const workspaceId = await givenWorkspace(db)
  const payer = { workspaceId, email: 'payer@example.com', actor: 'test' }
  const setup = await openCardSetup({ db, gateway }, payer)
  if (setup.outcome !== 'created') throw new Error(setup.outcome)
  await control.payCheckout(setup.paddleTransactionId, { card: canaries.card, saveCard: true })
  const saved = await until('the card is saved', async () => {
    const found = await findUsableCard(db, workspaceId)
    return found?.card === null ? null : found
  })
  await switchOn(db, workspaceId, { threshold: '15', topUp: '50' })
  await until('it is charged', async () => (await findBalance(db, workspaceId)) === parseUsd('60'))

  // Paddle is not well, and then the card is not.
  await control.fault({ on: 'charge', kind: 'http_500', when: 'before' })
  await control.fault({ on: 'list_transactions', kind: 'html_502' })
  await control.fault({ on: 'list_transactions', kind: 'truncated_json' })
  await control.fault({ on: 'list_transactions', kind: 'reset' })
  await switchOn(db, workspaceId, { threshold: '70', topUp: '20' })
  await until('that is found out', async () => (await findBalance(db, workspaceId)) === parseUsd('80'))
  const { captures } = await control.journal()
  const { paymentMethodId } = captures.at(-1) ?? {}
  if (paymentMethodId === undefined) throw new Error('nothing was charged')
  await control.setCard(paymentMethodId, { decline: 'not_enough_balance' })
  await switchOn(db, workspaceId, { threshold: '90', topUp: '20' })
  await until('the card is declined', async () =>
    (await listTopUps(db, { workspaceId, limit: 10 })).some(({ state }) => state === 'declined'),
  )

  // Others knock: with the secret in the wrong place, with a card, with a lie.
  const withCard = anEvent({ data: { card: canaries.card } }).body
  const refused = await Promise.all([
    sendWebhook(api.url, withCard, { signature: null }),
    sendWebhook(api.url, withCard, { signature: webhookSecret }),
    sendWebhook(api.url, withCard, { signature: signatureOf(withCard, { secrets: [apiKey] }) }),
    sendWebhook(api.url, Buffer.alloc(300_000, withCard)),
    fetch(`${api.url}/cards/${canaries.card}?key=${apiKey}`, {
      headers: { authorization: `Bearer ${apiKey}`, cookie: webhookSecret },
    }).then(answerOf),
    fetch(`${api.url}/%zz?${webhookSecret}`).then(answerOf),
  ])
  // Something of ours breaks, over a webhook and within a job.
  await sql`alter table paddle_event add constraint broken check (event_type <> 'address.updated') not valid`.execute(
    db,
  )
  const { body } = anEvent()
  const broken = await sendWebhook(api.url, body, {
    signature: signatureOf(body, { secrets: [webhookSecret] }),
  })
  // Again and again, because one that is cut while it works says so to whoever it works for.
  await until('both have noticed that their connections are cut', async () => {
    await sql`
      select pg_terminate_backend(pid) from pg_stat_activity
      where datname = current_database() and application_name in ('wallet api', 'wallet workers', 'wallet posting')`.execute(
      db,
    )
    return [api, workers].every(({ log }) =>
      log.some(({ msg }) => msg.startsWith('lost a connection to Postgres')),
    )
  })
  const lookingWrong = await Promise.all([
    startApiUntilItEnds(place.databaseUrl, { PADDLE_WEBHOOK_SECRET: canaries.shortSecret }),
    startApiUntilItEnds(place.databaseUrl, { API_PORT: webhookSecret, LOG_LEVEL: apiKey }),
    startApiUntilItEnds(`mysql://me:${canaries.password}@localhost/db`, {}),
    startApiUntilItEnds(`postgres://me:${canaries.password}@127.0.0.1:1/db`, { LOG_LEVEL: 'trace' }),
    endOf(startWorkers({ place, environment: { ...environment, PADDLE_ENVIRONMENT: 'nowhere' } })),
    endOf(startWorkers({ place, environment: { ...environment, PADDLE_PRODUCT_ID: apiKey } })),
    endOf(startWorkers({ place: { ...place, redisUrl: `http://:${canaries.password}@localhost` } })),
  ])
  await api.stop()
  await workers.stop()
  const everything = {
    'the log of the API': JSON.stringify(api.log),
    'the log of the workers': JSON.stringify(workers.log),
    'what processes said that did not start': JSON.stringify(lookingWrong),
    'what the API answered': JSON.stringify([...refused, broken]),
    Redis: await dumpOfRedis(redis, place.queuePrefix),
    Postgres: await dumpOfPostgres(db),
    'what Paddle told': JSON.stringify(await control.events()),
  }

  const found = Object.entries(everything).flatMap(([where, text]) =>
    secretsIn(text).map((secret) => `${secret} in ${where}`),
  )
  expect(found).toEqual([])
  // The search sees what it has to see: the journey has been made, and a secret would have been found.
  expect(saved.card?.last4).toBe(canaries.card.slice(-4))
  expect(refused.map(({ status }) => status)).toEqual([401, 401, 401, 413, 404, 400])
  expect(broken.status).toBe(500)
  expect(workers.log.filter(({ level }) => level === 'error' || level === 'warn').length).toBeGreaterThan(2)
  expect(api.log.filter(({ level }) => level === 'error')).toHaveLength(1)
  expect(everything.Postgres).toContain(saved.subscriptionId)
  await redis.hset(`${place.queuePrefix}:charge:1`, 'data', `{"key":"${apiKey}"}`)
  await sql`insert into audit_log (workspace_id, actor, action, detail)
    values ('ws_1', 'test', 'test', ${JSON.stringify({ why: `4716 2580 5095 8645 ${webhookSecret}` })})`.execute(
    db,
  )
  expect(secretsIn(await dumpOfRedis(redis, place.queuePrefix))).toEqual(['apiKey'])
  expect(secretsIn(await dumpOfPostgres(db))).toEqual(['webhookSecret', 'something like a card number'])
  await simulator.close()
  await transport.close()
})

/** The names of the secrets that a text has in it, and whether it has what could be the number of a card. */
function secretsIn(text: string): string[] {
  const found = Object.entries(canaries).flatMap(([name, canary]) => (text.includes(canary) ? [name] : []))
  const numbers = text.match(/(?<![\w.])[3-6]\d{3}(?:[ -]?\d{4}){2}[ -]?\d{2,4}(?![\w.])/g) ?? []
  return numbers.some(isCardNumber) ? [...found, 'something like a card number'] : found
}

/** Luhn. */
function isCardNumber(text: string): boolean {
  const digits = text.replaceAll(/\D/g, '').split('').map(Number).toReversed()
  const sum = digits.reduce((soFar, digit, index) => {
    const value = index % 2 === 1 ? digit * 2 : digit
    return soFar + (value > 9 ? value - 9 : value)
  }, 0)
  return sum % 10 === 0
}

/** Every key of the queues with all that it holds, the jobs' data with them. */
async function dumpOfRedis(redis: Redis, prefix: string): Promise<string> {
  const keys = await redis.keys(`${prefix}*`)
  expect(keys.length).toBeGreaterThan(0)
  const values = await Promise.all(
    keys.map(async (key) => {
      switch (await redis.type(key)) {
        case 'hash':
          return await redis.hgetall(key)
        case 'list':
          return await redis.lrange(key, 0, -1)
        case 'set':
          return await redis.smembers(key)
        case 'zset':
          return await redis.zrange(key, '0', '-1')
        case 'stream':
          return await redis.xrange(key, '-', '+')
        default:
          return await redis.get(key)
      }
    }),
  )
  return JSON.stringify(keys.map((key, index) => [key, values[index]]))
}

/** Every row of every table. */
async function dumpOfPostgres(db: Db): Promise<string> {
  const { rows: tables } = await sql<{ name: string }>`
    select quote_ident(schemaname) || '.' || quote_ident(tablename) as name from pg_tables
    where schemaname not in ('pg_catalog', 'information_schema')`.execute(db)
  const dumps = await Promise.all(
    tables.map(async ({ name }) => {
      const { rows } = await sql<{
        row: string
      }>`select to_jsonb(t)::text as row from ${sql.raw(name)} t`.execute(db)
      return [name, ...rows.map(({ row }) => row)].join('\n')
    }),
  )
  return dumps.join('\n')
}

/** What a process said that was not to start. */
async function endOf(starting: Promise<unknown>): Promise<string> {
  return await starting.then(
    () => 'it started',
    (error: unknown) => String(error),
  )
}
