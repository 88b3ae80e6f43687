/**
 * An API in this process, asked without a network: on the file's database (`api`) or on one of the test's own (`ownApi`), with
 * a workspace of the test's own and keys of every scope.
 */
import type { FastifyInstance } from 'fastify'
import type { ZodTypeProvider } from 'fastify-type-provider-zod'

import type { Api } from '../../api/api.ts'
import { createServer, type ApiContext } from '../../api/server.ts'
import type { WorkspaceId } from '../../billing/ids.ts'
import { createApiKey } from '../../db/api-key.ts'
import { connect } from '../../db/connect.ts'
import type { ApiKeyScope, Db } from '../../db/schema.ts'
import { captureLog, type CapturedLine } from './captured-log.ts'
import { test as base } from './fixtures.ts'
import { givenWorkspace } from './given.ts'
import { webhookSecret } from './paddle-sender.ts'

export type ApiAnswer = { status: number; headers: Record<string, string | undefined>; body: unknown }

type Ask = {
  /** A scope means the workspace's key of it; null sends no key; any other text is sent as it is. Without it: `admin`. */
  key?: ApiKeyScope | 'operator' | (string & {}) | null
  /** Sent as JSON; a text is sent as it is. */
  body?: unknown
  headers?: Record<string, string>
}

export type TestApi = {
  server: FastifyInstance
  /** What it has logged so far. */
  log: readonly CapturedLine[]
  /** A workspace with its $10. */
  workspaceId: WorkspaceId
  keys: Record<ApiKeyScope, string>
  get: (path: string, ask?: Ask) => Promise<ApiAnswer>
  post: (path: string, ask?: Ask) => Promise<ApiAnswer>
  put: (path: string, ask?: Ask) => Promise<ApiAnswer>
  delete: (path: string, ask?: Ask) => Promise<ApiAnswer>
  /** Another workspace of the same API, seen with its own keys. */
  another: () => Promise<TestApi>
  close: () => Promise<void>
}

export const operatorKey = 'the-operator-of-this-test-says-so'

export const test = base.extend<{
  api: TestApi
  ownApi: TestApi
  /** As `api`, with something of the context replaced. */
  startTestApi: (options?: TestApiOptions) => Promise<TestApi>
}>({
  api: async ({ place, db }, use) => {
    const api = await givenApi({ db, databaseUrl: place.databaseUrl })
    await use(api)
    await api.close()
  },
  ownApi: async ({ ownPlace, ownDb }, use) => {
    const api = await givenApi({ db: ownDb, databaseUrl: ownPlace.databaseUrl })
    await use(api)
    await api.close()
  },
  startTestApi: async ({ db, place }, use) => {
    const started: TestApi[] = []
    await use(async (options) => {
      const api = await givenApi({ db, databaseUrl: place.databaseUrl, ...options })
      started.push(api)
      return api
    })
    await Promise.all(started.map((api) => api.close()))
  },
})

export type TestApiOptions = {
  /** Another database than the file's; `db` is a pool on it, for what is given. */
  databaseUrl?: string
  db?: Db
  /** What differs from the server that tests are given. */
  context?: Partial<ApiContext>
  /** Routes beside the API's own, for what a test has to see from inside. */
  routes?: (api: Api) => void
}

/** Shape: the API has a pool of its own, with the role that it has in production. */
async function givenApi({
  databaseUrl,
  db,
  context,
  routes,
}: TestApiOptions & { databaseUrl: string; db: Db }): Promise<TestApi> {
  const pool = connect(databaseUrl, { profile: 'worker', name: 'api', poolSize: 8 })
  const { log, lines } = captureLog()
  const server = createServer({
    db: pool,
    log,
    webhooks: { secrets: [webhookSecret], toleranceMs: 5_000 },
    operatorKey,
    rateLimit: { perMinute: 1_000_000 },
    ...context,
  })
  routes?.(server.withTypeProvider<ZodTypeProvider>())
  await server.ready()
  const close = async (): Promise<void> => {
    await server.close()
    await pool.destroy()
  }
  return await seenFromNewWorkspace(db, { server, log: lines, close })
}

async function seenFromNewWorkspace(
  db: Db,
  api: Pick<TestApi, 'server' | 'log' | 'close'>,
): Promise<TestApi> {
  const workspaceId = await givenWorkspace(db)
  const keys = await givenKeys(db, workspaceId)
  const asking =
    (method: 'GET' | 'POST' | 'PUT' | 'DELETE') =>
    async (path: string, { key = 'admin', body, headers = {} }: Ask = {}): Promise<ApiAnswer> => {
      const secret = key === null ? null : secretOf(key, keys)
      const response = await api.server.inject({
        method,
        url: path,
        headers: {
          ...(secret === null ? {} : { authorization: `Bearer ${secret}` }),
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
          ...headers,
        },
        ...(body === undefined ? {} : { payload: typeof body === 'string' ? body : JSON.stringify(body) }),
      })
      return { status: response.statusCode, headers: textHeaders(response.headers), body: bodyOf(response) }
    }
  return {
    ...api,
    workspaceId,
    keys,
    get: asking('GET'),
    post: asking('POST'),
    put: asking('PUT'),
    delete: asking('DELETE'),
    another: () => seenFromNewWorkspace(db, api),
  }
}

/** A key of each scope, in force. */
async function givenKeys(db: Db, workspaceId: WorkspaceId): Promise<Record<ApiKeyScope, string>> {
  return await db.transaction().execute(async (trx) => {
    const create = async (scope: ApiKeyScope): Promise<string> =>
      (await createApiKey(trx, { workspaceId, scope, createdBy: 'test' })).secret
    return { read: await create('read'), write: await create('write'), admin: await create('admin') }
  })
}

function secretOf(key: string, keys: Record<ApiKeyScope, string>): string {
  if (key === 'operator') return operatorKey
  return key === 'read' || key === 'write' || key === 'admin' ? keys[key] : key
}

function textHeaders(headers: Record<string, unknown>): Record<string, string | undefined> {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, String(value)]))
}

/** What is JSON is parsed; other text comes as it is, and nothing as null. */
function bodyOf(response: { headers: Record<string, unknown>; payload: string }): unknown {
  if (response.payload === '') return null
  const isJson = String(response.headers['content-type']).startsWith('application/json')
  return isJson ? JSON.parse(response.payload) : response.payload
}
