/** A simulator of a test's own, with Paddle's own SDK pointed at it, and an inbox for its webhooks. */
import { createServer } from 'node:http'

import { LogLevel, Paddle, type Environment } from '@paddle/paddle-node-sdk'
import { onTestFinished } from 'vitest'

import { controlSimulator, type SimulatorControl } from '../../../paddle/simulator/control.ts'
import {
  startPaddleSimulator,
  type PaddleSimulator,
  type SimulatorOptions,
} from '../../../paddle/simulator/simulator.ts'

export type Given = { simulator: PaddleSimulator; control: SimulatorControl; paddle: Paddle }

export async function givenSimulator(options: SimulatorOptions = {}): Promise<Given> {
  const simulator = await startPaddleSimulator(options)
  onTestFinished(simulator.close)
  return { simulator, control: controlSimulator(simulator.url), paddle: sdkFor(simulator) }
}

/** The SDK takes any address that is none of its names as the address itself, which its types do not say. */
function sdkFor({ url, apiKey }: PaddleSimulator): Paddle {
  const environment: Environment = JSON.parse(JSON.stringify(url))
  return new Paddle(apiKey, { environment, logLevel: LogLevel.none })
}

type Delivery = { body: string; signature: string; event: ReceivedEvent }

type ReceivedEvent = {
  event_id: string
  event_type: string
  notification_id: string
  data: { id: string; status?: string }
}

type Inbox = {
  url: string
  deliveries: Delivery[]
  /** What the next deliveries are answered with; 200 when there is nothing left. */
  answers: number[]
}

export async function givenInbox(): Promise<Inbox> {
  const inbox: Inbox = { url: '', deliveries: [], answers: [] }
  const server = createServer((request, response) => {
    let body = ''
    request.setEncoding('utf8')
    request.on('data', (chunk: string) => {
      body += chunk
    })
    request.on('end', () => {
      const event: ReceivedEvent = JSON.parse(body)
      const signature = request.headers['paddle-signature']
      inbox.deliveries.push({ body, signature: typeof signature === 'string' ? signature : '', event })
      response.writeHead(inbox.answers.shift() ?? 200).end()
    })
  })
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve)
  })
  onTestFinished(
    () =>
      new Promise<void>((resolve) => {
        server.close(() => {
          resolve()
        })
        server.closeAllConnections()
      }),
  )
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('the inbox has no port')
  inbox.url = `http://127.0.0.1:${address.port}/webhooks/paddle`
  return inbox
}

export type ChargeBody = Parameters<Paddle['subscriptions']['createOneTimeCharge']>[1]

/** A recharge as our product asks for it. */
export function aCharge(topUpId: string, amount = '10000'): ChargeBody {
  return {
    effectiveFrom: 'immediately',
    onPaymentFailure: 'prevent_change',
    items: [
      {
        quantity: 1,
        price: {
          productId: 'pro_01simu1atedwa11etcredit000',
          name: 'Wallet top-up',
          description: `auto-recharge ${topUpId}`,
          taxMode: 'external',
          unitPrice: { amount, currencyCode: 'USD' },
          quantity: { minimum: 1, maximum: 1 },
          customData: { top_up_id: topUpId, workspace_id: 'ws_1', source: 'auto_recharge' },
        },
      },
    ],
  }
}
