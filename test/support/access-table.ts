/**
 * Who is answered what: every route of the API, asked by everybody. A route that is not in here fails the test; one whose
 * statuses change has to be changed here, where it is seen.
 *
 * `own`: for an id of the workspace whose keys `read`, `write` and `admin` are, or where the route names no id. `foreign`: for an
 * id of the stranger's workspace. A 404 is what an id that does not exist gets as well.
 */

/** Who asks, in the order of the statuses. `stranger` is the admin of another workspace. */
export const askers = ['nobody', 'read', 'write', 'admin', 'revoked', 'stranger', 'operator'] as const

export type Asker = (typeof askers)[number]

/** What an id in an address or a body names. */
export type GivenKind =
  | 'workspace'
  | 'key'
  | 'call'
  | 'campaign'
  | 'topup'
  | 'card'
  | 'transaction'
  | 'number'

export type AccessRow = {
  own: string
  foreign?: string
  /** What `:id` in the address, or `$id` in the body, names. */
  given?: GivenKind
  body?: unknown
  query?: string
}

const everybody = '200 200 200 200 200 200 200'
const webhook = { own: '401 401 401 401 401 401 401', body: {} }
const number = '+14155550100'
const email = 'payer@example.com'

//                                      nobody read write admin revoked stranger operator
const reading = { own: '401 200 200 200 401 200 403' }
const readingOne = { own: '401 200 200 200 401 404 403', foreign: '401 404 404 404 401 200 403' }
const writingOne = { own: '401 403 200 200 401 404 403', foreign: '401 403 404 404 401 200 403' }
const managing = { own: '401 403 403 200 401 200 403' }
const managingOne = { own: '401 403 403 200 401 404 403', foreign: '401 403 403 404 401 200 403' }

/** Pages, and forms, which come from a page of a session or not at all. A key opens neither; those of a session have tests of their own. */
const page = { own: '303 303 303 303 303 303 303' }
const form = { own: '403 403 403 403 403 403 403', body: {} }

const methods = {
  [`GET`]: reading,
  [`POST`]: { own: '401 403 403 201 401 201 403', body: { email } },
  [`POST /setup`]: { own: '401 403 403 201 401 201 403', body: { email } },
  [`DELETE /:id`]: { ...managingOne, given: 'card' },
  [`GET /:id/update`]: { ...managingOne, given: 'card' },
  [`POST /:id/default`]: { ...managingOne, given: 'card' },
} satisfies Record<string, AccessRow>

export const accessTable: Record<string, AccessRow> = {
  'GET /healthz': { own: everybody },
  'GET /readyz': { own: everybody },
  'GET /openapi.json': { own: everybody },
  'GET /docs': { own: everybody },
  'GET /docs/start.js': { own: everybody },
  'GET /docs/swagger-ui-bundle.js': { own: everybody },
  'GET /docs/swagger-ui.css': { own: everybody },
  'GET /docs/index.css': { own: everybody },
  'GET /docs/favicon-32x32.png': { own: everybody },
  'GET /v1/pricing': { own: everybody },

  // Nobody signs here, and no key is a signature.
  'POST /webhooks/paddle': webhook,
  'POST /v1/payments/webhooks/paddle': webhook,

  'GET /v1/wallet': reading,
  'GET /v1/wallet/balance': reading,
  'GET /v1/wallet/summary': reading,
  'GET /v1/wallet/can-afford': { ...reading, query: '?estimated_cost=1' },
  'GET /v1/wallet/transactions': reading,
  'GET /v1/wallet/transactions.csv': reading,
  'GET /v1/wallet/transactions/:id': { ...readingOne, given: 'transaction' },
  'GET /v1/wallet/analytics': reading,
  'GET /v1/wallet/usage-stats': reading,
  'GET /v1/wallet/pricing': reading,
  'GET /v1/wallet/estimate': reading,

  'POST /v1/calls': { own: '401 403 201 201 401 201 403', body: { to_number: number } },
  'GET /v1/calls/unbilled': reading,
  'GET /v1/calls/:call_id': { ...readingOne, given: 'call' },
  'POST /v1/calls/:call_id/extend': { ...writingOne, given: 'call', body: { duration_seconds: 1 } },
  'POST /v1/calls/:call_id/end': { ...writingOne, given: 'call', body: {} },
  'POST /v1/calls/:call_id/release': { ...writingOne, given: 'call', body: {} },

  'POST /v1/phone-numbers': { own: '401 403 201 200 401 201 403', body: { phone_number: number } },
  'GET /v1/phone-numbers': reading,
  'GET /v1/phone-numbers/:id': { ...readingOne, given: 'number' },
  'DELETE /v1/phone-numbers/:id': { ...writingOne, given: 'number' },

  'GET /v1/campaigns/:campaign_id': { ...readingOne, given: 'campaign' },
  'POST /v1/campaigns/:campaign_id/action': {
    ...writingOne,
    given: 'campaign',
    body: { action: 'pause' },
  },

  'POST /v1/usage': {
    own: '401 403 202 202 401 202 403',
    body: { events: [{ kind: 'message', messageId: 'msg_1', sentAt: '2026-01-01T00:00:00Z' }] },
  },

  'POST /v1/wallet/topup': {
    own: '401 403 403 202 401 404 403',
    foreign: '401 403 403 404 401 202 403',
    given: 'card',
    body: { amount_usd: 5, payment_method_id: '$id' },
  },
  'GET /v1/wallet/topups': reading,
  'GET /v1/wallet/topups/:id': { ...readingOne, given: 'topup' },
  'POST /v1/payments/checkout': { own: '401 403 403 201 401 201 403', body: { amount: 5, email } },
  'GET /v1/payments/history': reading,
  ...under('/v1/payments/methods', methods),
  ...under('/v1/payments/saved-cards', methods),
  'GET /v1/wallet/auto-recharge': reading,
  'PUT /v1/wallet/auto-recharge': {
    ...managingOne,
    given: 'card',
    body: { enabled: true, threshold_usd: 5, topup_usd: 5, payment_method_id: '$id' },
  },
  'POST /v1/wallet/auto-recharge/resume': managing,
  'GET /v1/payments/auto-charge': reading,
  'PUT /v1/payments/auto-charge': {
    ...managingOne,
    given: 'card',
    body: { enabled: true, threshold_usd: 5, charge_amount_usd: 5, payment_method_id: '$id' },
  },

  // The wallet page: nobody is let in by a key in a header.
  'GET /': page,
  'GET /wallet/sign-in': { own: everybody },
  'POST /wallet/sign-in': form,
  'GET /wallet/sign-in/link': { own: '410 410 410 410 410 410 410' },
  'POST /wallet/sign-in/link': form,
  'POST /wallet/sign-out': form,
  'POST /wallet/theme': form,
  'GET /wallet': page,
  'GET /wallet/events': { own: '401 401 401 401 401 401 401' },
  'GET /wallet/add-funds': page,
  'GET /wallet/add-funds/preview': page,
  'GET /wallet/add-funds/:id': { ...page, given: 'topup' },
  'POST /wallet/add-funds': form,
  'GET /wallet/auto-recharge': page,
  'POST /wallet/auto-recharge': form,
  'POST /wallet/auto-recharge/off': form,
  'POST /wallet/auto-recharge/resume': form,
  'POST /wallet/card': form,
  'POST /wallet/card/change': form,
  'POST /wallet/card/remove': form,
  'GET /wallet/transactions': page,
  'GET /wallet/transactions.csv': page,
  'GET /wallet/transactions/:id': { ...page, given: 'transaction' },
  'GET /wallet/spend': page,
  'GET /wallet/numbers': page,
  'GET /wallet/numbers/:id': page,
  'POST /wallet/numbers/:id/cancel': form,

  'GET /v1/keys': managing,
  'POST /v1/keys': { own: '401 403 403 201 401 201 403', body: {} },
  'DELETE /v1/keys/:key_id': { ...managingOne, given: 'key' },
  'GET /v1/audit-log': managing,

  'POST /v1/workspaces': { own: '401 403 403 403 401 403 201', body: {} },
  'POST /v1/workspaces/:workspace_id/keys': {
    own: '401 403 403 403 401 403 201',
    given: 'workspace',
    body: {},
  },
}

/** The same routes under an address: two names of one thing. */
function under(address: string, rows: Record<string, AccessRow>): Record<string, AccessRow> {
  return Object.fromEntries(
    Object.entries(rows).map(([name, row]) => {
      const [method = '', rest = ''] = name.split(' ')
      return [`${method} ${address}${rest}`, row]
    }),
  )
}
