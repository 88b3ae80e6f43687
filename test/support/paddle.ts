/** A Paddle simulator of a test's own, and what processes and gateways need to find it. */
import { createPaddleGateway, type PaddleGateway } from '../../paddle/gateway.ts'
import { controlSimulator, type SimulatorControl } from '../../paddle/simulator/control.ts'
import { startPaddleSimulator } from '../../paddle/simulator/simulator.ts'
import { installPaddleTransport } from '../../paddle/transport.ts'

export type TestPaddle = {
  url: string
  productId: string
  control: SimulatorControl
  gateway: PaddleGateway
  /** For worker and API processes. */
  environment: Record<string, string>
  close: () => Promise<void>
}

/** The protocol's quarter of an hour in two seconds. */
export const quickCharges = {
  CHARGE_SEND_WITHIN_MS: '500',
  CHARGE_TIMEOUT_MS: '1000',
  CHARGE_QUIET_PERIOD_MS: '2000',
  CHARGE_RETRY_MS: '100',
  CHARGES_PER_MINUTE: '10000',
}

export async function startTestPaddle(): Promise<TestPaddle> {
  const transport = installPaddleTransport()
  const simulator = await startPaddleSimulator()
  const { url, productId, setupPriceId, apiKey, webhookSecret } = simulator
  return {
    url,
    productId,
    control: controlSimulator(url),
    gateway: createPaddleGateway({ apiKey, environment: url, productId, setupPriceId }),
    environment: {
      PADDLE_API_KEY: apiKey,
      PADDLE_ENVIRONMENT: url,
      PADDLE_PRODUCT_ID: productId,
      PADDLE_SETUP_PRICE_ID: setupPriceId,
      PADDLE_WEBHOOK_SECRET: webhookSecret,
    },
    close: async () => {
      await simulator.close()
      await transport.close()
    },
  }
}
