/** A Paddle of our own in a process of its own, for whoever wants to look at it or point another program at it. */
import { controlSimulator } from '../paddle/simulator/control.ts'
import { startPaddleSimulator, type PaddleSimulator } from '../paddle/simulator/simulator.ts'
import { Misuse, runScript, wholeNumber } from './command-line.ts'

const usage = `usage: npm run -s paddle-simulator -- [--port 8081] [--webhook-url <url>] [--state <file>]

Runs a local stand-in for Paddle Billing until it is stopped. No money is real. It prints the variables that point the
wallet at it; a customer pays at <url>/checkout/<transaction>.

  --port <n>           the port on 127.0.0.1; 0 takes a free one (default 8081)
  --webhook-url <url>  where webhooks are sent (default: nowhere)
  --state <file>       keeps customers, cards and transactions in this file over a restart (default: forgets them)
  --help               this text

It can be told what to do wrong, from anywhere on this machine:
  curl <url>/_sim/fault -d '{"on":"charge","kind":"hang","when":"after"}'
  curl <url>/_sim/saveCard -d '{"workspaceId":"ws_1"}'
  curl <url>/_sim/journal -d '{}'
`

await runScript({
  name: 'paddle-simulator',
  usage,
  options: {
    port: { type: 'string', default: '8081' },
    'webhook-url': { type: 'string' },
    state: { type: 'string' },
  },
  run: async ({ port, 'webhook-url': webhookUrl, state }, words) => {
    if (words.length > 0) throw new Misuse(`unexpected "${words.join(' ')}"`)
    if (webhookUrl !== undefined && !/^https?:\/\//.test(webhookUrl))
      throw new Misuse(`--webhook-url: expected an http or https URL, got "${webhookUrl}"`)
    const simulator = await startPaddleSimulator({
      port: wholeNumber('--port', port, { least: 0, most: 65_535 }),
      webhookUrl: webhookUrl ?? null,
      log: (message) => {
        process.stderr.write(`${message}\n`)
      },
      ...(state === undefined ? {} : { stateFile: state }),
    })
    // Whoever plays with it by hand is no client that went mad.
    await controlSimulator(simulator.url).limits({ requestsPerMinute: null })
    process.stdout.write(greeting(simulator))
    await stopped()
    await simulator.close()
  },
})

function greeting({ url, apiKey, webhookSecret, productId, setupPriceId }: PaddleSimulator): string {
  return `Paddle simulator at ${url} (no real money). Ctrl-C stops it.

PADDLE_ENVIRONMENT=${url}
PADDLE_API_KEY=${apiKey}
PADDLE_WEBHOOK_SECRET=${webhookSecret}
PADDLE_PRODUCT_ID=${productId}
PADDLE_SETUP_PRICE_ID=${setupPriceId}
`
}

function stopped(): Promise<void> {
  return new Promise((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) {
      process.once(signal, () => {
        resolve()
      })
    }
  })
}
