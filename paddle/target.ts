/** Where Paddle is: its production, its sandbox, or a simulator on this machine. Nowhere else can be configured. */
import { BillingError } from '../billing/billing-error.ts'

/** `production`, `sandbox`, or the URL of a simulator on this machine, such as `http://127.0.0.1:8081`. */
export type PaddleEnvironment = string

const origins: Readonly<Record<string, string>> = {
  production: 'https://api.paddle.com',
  sandbox: 'https://sandbox-api.paddle.com',
}
const loopbackHosts = ['127.0.0.1', '[::1]', 'localhost']

/**
 * The origin that a gateway may reach with this key.
 *
 * Shape:  an origin without a trailing slash. A key that is neither `pdl_live_` nor `pdl_sdbx_` says nothing about where it
 *         belongs (Paddle's older keys, a simulator's) and is taken at its word.
 * Throws: BillingError `paddle_environment_refused`, `paddle_key_malformed` or `paddle_key_misplaced`. None holds the key.
 */
export function paddleTargetOf(environment: PaddleEnvironment, apiKey: string): { readonly origin: string } {
  const origin = originOf(environment)
  if (!/^[!-~]{8,256}$/.test(apiKey)) {
    throw new BillingError(
      'paddle_key_malformed',
      'The Paddle API key must be 8 to 256 printable characters without spaces: copy it anew from Paddle > Developer tools > Authentication',
    )
  }
  if (origin !== origins['production'] && apiKey.startsWith('pdl_live_')) {
    throw new BillingError(
      'paddle_key_misplaced',
      `A live Paddle API key moves real money and must not be sent to ${origin}: use a sandbox key, or set the environment to production`,
      { origin },
    )
  }
  if (origin === origins['production'] && apiKey.startsWith('pdl_sdbx_')) {
    throw new BillingError(
      'paddle_key_misplaced',
      "A sandbox Paddle API key is unknown to Paddle's production: use a live key, or set the environment to sandbox",
      { origin },
    )
  }
  return { origin }
}

function originOf(environment: PaddleEnvironment): string {
  if (Object.hasOwn(origins, environment)) return origins[environment] ?? ''
  const url = URL.parse(environment)
  const isSimulator =
    url !== null &&
    url.protocol === 'http:' &&
    loopbackHosts.includes(url.hostname) &&
    url.href === `${url.origin}/`
  if (isSimulator) return url.origin
  throw new BillingError(
    'paddle_environment_refused',
    'The Paddle environment must be "production", "sandbox", or the http URL of a simulator on this machine, such as http://127.0.0.1:8081',
  )
}
