// Every route, asked by everybody, for what is theirs and for what is not: the statuses are those of the table, and no others.
import { channel } from 'node:diagnostics_channel'

import type { FastifyInstance, RouteOptions } from 'fastify'
import { describe, expect } from 'vitest'

import { topUpId as topUpIdSchema, type WorkspaceId } from '../../billing/ids.ts'
import { micros } from '../../billing/money.ts'
import { walletTransactionId } from '../../billing/wallet-transaction.ts'
import { createServer } from '../../api/server.ts'
import { createApiKey, revokeApiKey } from '../../db/api-key.ts'
import { connect } from '../../db/connect.ts'
import type { Db } from '../../db/schema.ts'
import { accessTable, askers, type AccessRow, type Asker, type GivenKind } from '../support/access-table.ts'
import { operatorKey, type ApiAnswer, type TestApi } from '../support/api-server.ts'
import { givenCard, test } from '../support/api-with-paddle.ts'
import { captureLog } from '../support/captured-log.ts'
import { newId } from '../support/given.ts'
import { aCallToAdmit, admit } from '../support/given-calls.ts'
import { givenNumber } from '../support/given-numbers.ts'
import type { TestPaddle } from '../support/paddle.ts'

test('every route is in the table, and nothing else is', async ({ place }) => {
  const routes = await listRoutes(place.databaseUrl)

  const named = routes
    // Their addresses change with their content, and anybody may have them.
    .filter(({ method, url }) => method !== 'HEAD' && !url.startsWith('/wallet/assets/'))
    .map(nameOf)

  expect(named.toSorted()).toEqual(Object.keys(accessTable).toSorted())
})

test('asking for the head of an answer needs what asking for the answer needs', async ({ place }) => {
  const routes = await listRoutes(place.databaseUrl)
  const scopes = new Map(routes.map((route) => [nameOf(route), route.config?.scope]))

  const heads = routes.filter(({ method }) => method === 'HEAD')

  expect(heads.length).toBeGreaterThan(10)
  for (const head of heads) {
    expect([head.url, head.config?.scope]).toEqual([head.url, scopes.get(`GET ${head.url}`)])
  }
})

describe('every asker gets the status of the table:', () => {
  test.for(Object.entries(accessTable))('%s', async ([route, row], { shop, paddle, db }) => {
    const stranger = await shop.another()
    const revoked = await givenRevokedKey(db, shop.workspaceId)
    const given = giveTo(db, paddle)
    const ask = async (asker: Asker, owner: TestApi): Promise<number> => {
      const key = {
        ...shop.keys,
        nobody: null,
        revoked,
        stranger: stranger.keys.admin,
        operator: operatorKey,
      }
      const id = await given(row, owner.workspaceId)
      return (await send(shop, route, row, { id, key: key[asker] })).status
    }
    const askAll = async (owner: TestApi): Promise<string> => {
      const statuses = new Map<Asker, number>()
      // Those who may come last, so that what they end is there for all others.
      const last: Asker = owner === shop ? 'admin' : 'stranger'
      for (const asker of askers.toSorted((one, other) => Number(one === last) - Number(other === last))) {
        statuses.set(asker, await ask(asker, owner))
      }
      return askers.map((asker) => statuses.get(asker)).join(' ')
    }

    expect(await askAll(shop)).toBe(row.own)
    if (row.foreign === undefined) return
    expect(await askAll(stranger)).toBe(row.foreign)
  })
})

const withIds = Object.entries(accessTable).filter(([, row]) => row.foreign !== undefined)

test.for(withIds)(
  "what is another's is answered to the letter as what does not exist: %s",
  async ([route, row], { shop, paddle, db }) => {
    const stranger = await shop.another()
    const given = giveTo(db, paddle)

    const foreign = await send(shop, route, row, {
      id: await given(row, stranger.workspaceId),
      key: 'admin',
    })
    const nowhere = await send(shop, route, row, {
      id: madeUp(row, stranger.workspaceId),
      key: 'admin',
    })

    expect(withoutRequestId(foreign)).toEqual(withoutRequestId(nowhere))
    expect(foreign.status).toBe(404)
  },
)

type Route = { method: string; url: string; config: RouteOptions['config'] }

/** As they are registered, whoever registers them. */
async function listRoutes(databaseUrl: string): Promise<Route[]> {
  const routes: Route[] = []
  const created = channel('fastify.initialization')
  const listen = (message: unknown): void => {
    if (!isInitialization(message)) return
    message.fastify.addHook('onRoute', ({ method, url, config }) => {
      for (const each of [method].flat()) routes.push({ method: each, url, config })
    })
  }
  created.subscribe(listen)
  const db = connect(databaseUrl, { profile: 'worker', name: 'api' })
  const server = createServer({ db, log: captureLog().log, webhooks: { secrets: [], toleranceMs: 0 } })
  created.unsubscribe(listen)
  await server.ready()
  await server.close()
  await db.destroy()
  return routes
}

/** What Fastify tells when an instance is made, before anything is registered on it. */
function isInitialization(message: unknown): message is { fastify: FastifyInstance } {
  return typeof message === 'object' && message !== null && 'fastify' in message
}

function nameOf({ method, url }: Route): string {
  return `${method} ${url}`
}

async function givenRevokedKey(db: Db, workspaceId: WorkspaceId): Promise<string> {
  return await db.transaction().execute(async (trx) => {
    const { secret, keyId } = await createApiKey(trx, { workspaceId, scope: 'admin', createdBy: 'test' })
    await revokeApiKey(trx, { workspaceId, keyId, forced: true })
    return secret
  })
}

/** What a route is about, new for every asker; a card once, because a wallet has one, and a number, which costs. */
function giveTo(db: Db, paddle: TestPaddle) {
  const cards = new Map<WorkspaceId, string>()
  const numbers = new Map<WorkspaceId, string>()
  const give: Record<GivenKind, (workspaceId: WorkspaceId) => Promise<string> | string> = {
    workspace: (workspaceId) => workspaceId,
    key: async (workspaceId) => {
      const create = { workspaceId, scope: 'read', createdBy: 'test' } as const
      return (await db.transaction().execute((trx) => createApiKey(trx, create))).keyId
    },
    call: async (workspaceId) => {
      const call = aCallToAdmit(workspaceId)
      expect(await admit(db, call)).toMatchObject([{ outcome: 'admitted' }])
      return call.callId
    },
    campaign: async (workspaceId) => {
      const campaignId = newId('campaign')
      await db
        .insertInto('campaign')
        .values({
          workspace_id: workspaceId,
          campaign_id: campaignId,
          status: 'running',
          paused_by: null,
          changed_at: new Date(),
        })
        .execute()
      return campaignId
    },
    topup: async (workspaceId) => {
      const topUpId = topUpIdSchema.parse(newId('topup'))
      await db
        .insertInto('top_up')
        .values({
          workspace_id: workspaceId,
          top_up_id: topUpId,
          source: 'checkout',
          state: 'awaiting_customer',
          amount_micros: micros(5_000_000n),
          created_at: new Date(),
          changed_at: new Date(),
        })
        .execute()
      return topUpId
    },
    card: async (workspaceId) => {
      const card = cards.get(workspaceId) ?? (await givenCard(db, paddle, workspaceId)).savedCardId
      cards.set(workspaceId, card)
      return card
    },
    transaction: (workspaceId) => walletTransactionId(workspaceId, 1n),
    number: async (workspaceId) => {
      const number = numbers.get(workspaceId) ?? (await givenNumber(db, workspaceId)).phoneNumberId
      numbers.set(workspaceId, number)
      return number
    },
  }
  return async (row: AccessRow, workspaceId: WorkspaceId): Promise<string> =>
    row.given === undefined ? '' : await give[row.given](workspaceId)
}

/** An id of the right kind that names nothing. */
function madeUp({ given }: AccessRow, workspaceId: WorkspaceId): string {
  if (given === 'transaction') return walletTransactionId(workspaceId, 2n)
  if (given === 'card') return newId('pm')
  if (given === 'number') return `num_${'0'.repeat(24)}`
  return newId(given ?? '')
}

async function send(
  api: TestApi,
  route: string,
  { body, query = '' }: AccessRow,
  { id, key }: { id: string; key: string | null },
): Promise<ApiAnswer> {
  const [method = '', url = ''] = route.split(' ')
  const path = url.replace(/:\w+/, id) + query
  const sent = body === undefined ? {} : { body: JSON.stringify(body).replace('$id', id) }
  if (method === 'GET') return await api.get(path, { key })
  if (method === 'PUT') return await api.put(path, { key, ...sent })
  if (method === 'DELETE') return await api.delete(path, { key })
  return await api.post(path, { key, ...sent })
}

function withoutRequestId({ status, body }: ApiAnswer): unknown {
  return JSON.parse(JSON.stringify([status, body]).replace(/req_[\w-]+/, 'req'))
}
