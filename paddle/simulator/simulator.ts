/**
 * A Paddle of our own: the parts of its Billing API that a wallet needs, with its ids, envelopes, errors, webhooks and
 * habits, in memory and on this machine only. No money is real here.
 *
 * Guarantees: `journal().captures` names every charge that a card paid, whatever the API, the lists or the webhooks said.
 * Routes: Paddle's own, `/checkout/{transaction}` for a customer, and `/_sim/{command}` for whoever stages the scene.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'

import { answerApi } from './api-server.ts'
import { ApiRefusal, refusalBody } from './api-refusal.ts'
import { answerCheckout } from './checkout-page.ts'
import { realClock, type BaseClock } from './clock.ts'
import { obeyCommand } from './control-server.ts'
import type { WireAnswer } from './faults.ts'
import { answerManage } from './manage-page.ts'
import type { PageAnswer, PageRequest } from './page-html.ts'
import { createSimulation, type Simulation } from './simulation.ts'
import {
  defaultNotificationSettingId,
  setupPriceId,
  simulatedApiKey,
  simulatedWebhookSecret,
  walletProductId,
} from './simulator-defaults.ts'
import { openStateFile } from './state-file.ts'
import { renewInTime } from './subscription-store.ts'
import { inbox } from './world.ts'

export type PaddleSimulator = {
  /** `http://127.0.0.1:port`, without a slash at its end: Paddle's SDK takes it as its environment. */
  url: string
  apiKey: string
  webhookSecret: string
  /** The product that top-ups are items of. */
  productId: string
  /** $0 a year: what a customer subscribes to so that the card is kept. */
  setupPriceId: string
  close: () => Promise<void>
}

export type SimulatorOptions = {
  /** 0 takes a free one. */
  port?: number
  webhookUrl?: string | null
  apiKey?: string
  webhookSecret?: string
  /** Where it keeps what it knows over a restart; without one it forgets. */
  stateFile?: string
  /** What it dates things by: the machine's time, unless the wallet runs by another. */
  clock?: BaseClock | undefined
  log?: (message: string) => void
}

const mostBodyBytes = 1_000_000

export async function startPaddleSimulator(options: SimulatorOptions = {}): Promise<PaddleSimulator> {
  const { log = () => undefined, webhookUrl = null } = options
  const stateFile = options.stateFile === undefined ? null : openStateFile(options.stateFile, log)
  const simulation = createSimulation({
    apiKey: options.apiKey ?? simulatedApiKey,
    webhookSecret: options.webhookSecret ?? simulatedWebhookSecret,
    webhookUrl,
    world: stateFile?.load() ?? null,
    baseClock: options.clock ?? realClock,
    log,
  })
  if (stateFile !== null)
    simulation.changed = () => {
      stateFile.save(simulation.world)
    }
  takeUp(simulation, webhookUrl)

  const server = createServer((request, response) => {
    void serve(simulation, request, response)
  })
  simulation.url = await listen(server, options.port ?? 0)
  return {
    url: simulation.url,
    apiKey: simulation.apiKey,
    webhookSecret: simulation.webhookSecret,
    productId: walletProductId,
    setupPriceId,
    close: async () => {
      simulation.clock.clear()
      simulation.webhooks.close()
      await new Promise<void>((resolve) => {
        server.close(() => {
          resolve()
        })
        server.closeAllConnections()
      })
      await stateFile?.close()
    },
  }
}

/** What a restored world has to be told: where webhooks go today, and when its subscriptions renew. */
function takeUp(simulation: Simulation, webhookUrl: string | null): void {
  if (webhookUrl !== null)
    simulation.world.notificationSettings.set(
      defaultNotificationSettingId,
      inbox({ webhookUrl, webhookSecret: simulation.webhookSecret }),
    )
  for (const id of simulation.world.subscriptions.keys()) renewInTime(simulation, id)
}

function listen(server: Server, port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, '127.0.0.1', () => {
      server.off('error', reject)
      const address = server.address()
      if (address === null || typeof address === 'string') reject(new Error('the server has no port'))
      else resolve(`http://127.0.0.1:${address.port}`)
    })
  })
}

async function serve(
  simulation: Simulation,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  try {
    const body = await readBody(request)
    const url = new URL(request.url ?? '/', simulation.url)
    if (body === null) {
      const refusal = new ApiRefusal(413, 'request_body_too_large', 'The body is larger than 1 MB.')
      send(
        response,
        refusal.status,
        { 'content-type': 'application/json', connection: 'close' },
        refusalBody(refusal, ''),
      )
      return
    }
    const asked: PageRequest = { method: request.method ?? 'GET', url, body }
    const page = answerCheckout(simulation, asked) ?? answerManage(simulation, asked)
    if (page !== null) {
      sendPage(response, page)
      return
    }
    if (url.pathname.startsWith('/_sim/')) {
      const parsed = parseJson(body)
      const { origin = simulation.url } = request.headers
      // A page of the wide web that happens to be open on this machine is not who pulls the strings.
      const answer =
        parsed === null || origin !== simulation.url
          ? { status: 400, body: { error: 'expected a JSON body from a program of this machine' } }
          : obeyCommand(simulation, url.pathname.slice('/_sim/'.length), parsed.json)
      send(response, answer.status, { 'content-type': 'application/json' }, answer.body)
      return
    }
    const answer = await answerApi(simulation, {
      method: request.method ?? 'GET',
      url,
      authorization: request.headers.authorization,
      readBody: () => parseJson(body),
    })
    sendAnswer(response, answer)
  } catch (error) {
    simulation.log(`a request failed: ${error instanceof Error ? error.stack : String(error)}`)
    response.destroy()
  }
}

/** Null when it is too large; the rest of it is not read. */
function readBody(request: IncomingMessage): Promise<string | null> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    let bytes = 0
    request.on('data', (chunk: Buffer) => {
      bytes += chunk.length
      if (bytes > mostBodyBytes) resolve(null)
      else chunks.push(chunk)
    })
    request.on('end', () => {
      resolve(Buffer.concat(chunks).toString('utf8'))
    })
    request.on('error', reject)
  })
}

function parseJson(text: string): { json: unknown } | null {
  if (text === '') return { json: undefined }
  try {
    const json: unknown = JSON.parse(text)
    return { json }
  } catch {
    return null
  }
}

function sendAnswer(response: ServerResponse, answer: WireAnswer): void {
  if (answer.kind === 'hang') return
  if (answer.kind === 'reset') {
    response.destroy()
    return
  }
  response.writeHead(answer.status, { ...answer.headers, 'content-length': Buffer.byteLength(answer.body) })
  response.end(answer.body)
}

function sendPage(response: ServerResponse, { status, headers, html }: PageAnswer): void {
  response.writeHead(status, {
    'content-type': 'text/html; charset=utf-8',
    'cache-control': 'no-store',
    ...headers,
  })
  response.end(html)
}

function send(response: ServerResponse, status: number, headers: Record<string, string>, body: object): void {
  response.writeHead(status, headers)
  response.end(JSON.stringify(body))
}
