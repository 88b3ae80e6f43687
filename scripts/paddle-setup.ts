/** What an account at Paddle needs before it can sell credit: made once, by its API. */
import { createPaddleCatalog } from '../paddle/catalog.ts'
import { installPaddleTransport } from '../paddle/transport.ts'
import { Misuse, runScript } from './command-line.ts'

await runScript({
  name: 'paddle-setup',
  usage: `usage: PADDLE_API_KEY=pdl_... PADDLE_ENVIRONMENT=sandbox npm run -s paddle-setup -- [--name <name>]

Creates, in the account of the key, the product that top-ups are sold as and the price of $0 a year whose subscription keeps a
card, and prints the two variables that name them. Run it once for each account: it does not look for earlier ones.

  --name <name>   what customers read on their receipts (default "Wallet credit")
  --help          this text`,
  options: { name: { type: 'string', default: 'Wallet credit' } },
  run: async ({ name }) => {
    const apiKey = process.env['PADDLE_API_KEY']
    const environment = process.env['PADDLE_ENVIRONMENT']
    if (!apiKey || !environment)
      throw new Misuse('set PADDLE_API_KEY and PADDLE_ENVIRONMENT (sandbox or production)')
    const transport = installPaddleTransport()
    try {
      const created = await createPaddleCatalog({ apiKey, environment, name })
      if (created.outcome !== 'created') {
        process.stderr.write(`Paddle created nothing, or nobody knows: ${JSON.stringify(created)}\n`)
        return 1
      }
      process.stdout.write(
        `PADDLE_PRODUCT_ID=${created.productId}\nPADDLE_SETUP_PRICE_ID=${created.setupPriceId}\n`,
      )
      return 0
    } finally {
      await transport.close()
    }
  },
})
