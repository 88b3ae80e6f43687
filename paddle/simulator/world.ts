/** Everything that the simulated Paddle knows, and how it becomes a snapshot and is read back from one. */
import { defaultNotificationSettingId, setupPriceId, walletProductId } from './simulator-defaults.ts'
import type {
  Address,
  Adjustment,
  Capture,
  Customer,
  NotificationSetting,
  PaymentMethod,
  Price,
  Product,
  SimulatedEvent,
  Subscription,
  Transaction,
} from './entities.ts'

export type World = {
  readonly products: Map<string, Product>
  readonly prices: Map<string, Price>
  readonly customers: Map<string, Customer>
  readonly addresses: Map<string, Address>
  readonly transactions: Map<string, Transaction>
  readonly subscriptions: Map<string, Subscription>
  readonly paymentMethods: Map<string, PaymentMethod>
  readonly adjustments: Map<string, Adjustment>
  readonly notificationSettings: Map<string, NotificationSetting>
  /** Which card a subscription is charged to. */
  readonly subscriptionCards: Map<string, string>
  /** Transactions of a subscription, oldest first: the search after an unknown charge must stay quick. */
  readonly subscriptionTransactions: Map<string, string[]>
  /** Until when (ms since 1970) a list does not show a transaction. */
  readonly hiddenUntilMs: Map<string, number>
  /** When (ms since 1970) a subscription was charged at once: what Paddle's limits count. */
  readonly chargeTimesMs: Map<string, number[]>
  /** Minor units that Paddle owes a customer, by `customer/currency`; the next transactions use it up. */
  readonly creditBalances: Map<string, string>
  readonly events: SimulatedEvent[]
  readonly captures: Capture[]
}

export type Snapshot = { version: 1 } & {
  [Name in keyof World]: World[Name] extends Map<string, infer Value> ? [string, Value][] : World[Name]
}

/** A snapshot keeps no more events than these: it is written after every change. */
const keptEvents = 1_000

const catalogStamp = '2024-01-01T00:00:00.000Z'

export function createWorld({ webhookUrl, webhookSecret }: InboxSettings): World {
  return {
    products: new Map([[walletProductId, walletProduct]]),
    prices: new Map([[setupPriceId, setupPrice]]),
    customers: new Map(),
    addresses: new Map(),
    transactions: new Map(),
    subscriptions: new Map(),
    paymentMethods: new Map(),
    adjustments: new Map(),
    notificationSettings: new Map([[defaultNotificationSettingId, inbox({ webhookUrl, webhookSecret })]]),
    subscriptionCards: new Map(),
    subscriptionTransactions: new Map(),
    hiddenUntilMs: new Map(),
    chargeTimesMs: new Map(),
    creditBalances: new Map(),
    events: [],
    captures: [],
  }
}

type InboxSettings = { webhookUrl: string | null; webhookSecret: string }

/** The webhook destination of the simulator's own settings; without a URL it is not active. */
export function inbox({ webhookUrl, webhookSecret }: InboxSettings): NotificationSetting {
  return {
    id: defaultNotificationSettingId,
    description: 'Given at the start of the simulator',
    type: 'url',
    destination: webhookUrl ?? '',
    active: webhookUrl !== null,
    api_version: 1,
    include_sensitive_fields: false,
    traffic_source: 'all',
    subscribed_events: [],
    endpoint_secret_key: webhookSecret,
  }
}

export function snapshotOf(world: World): Snapshot {
  return {
    version: 1,
    products: [...world.products],
    prices: [...world.prices],
    customers: [...world.customers],
    addresses: [...world.addresses],
    transactions: [...world.transactions],
    subscriptions: [...world.subscriptions],
    paymentMethods: [...world.paymentMethods],
    adjustments: [...world.adjustments],
    notificationSettings: [...world.notificationSettings],
    subscriptionCards: [...world.subscriptionCards],
    subscriptionTransactions: [...world.subscriptionTransactions],
    hiddenUntilMs: [...world.hiddenUntilMs],
    chargeTimesMs: [...world.chargeTimesMs],
    creditBalances: [...world.creditBalances],
    events: world.events.slice(-keptEvents),
    captures: world.captures,
  }
}

export function restoreWorld(snapshot: Snapshot): World {
  return {
    products: new Map(snapshot.products),
    prices: new Map(snapshot.prices),
    customers: new Map(snapshot.customers),
    addresses: new Map(snapshot.addresses),
    transactions: new Map(snapshot.transactions),
    subscriptions: new Map(snapshot.subscriptions),
    paymentMethods: new Map(snapshot.paymentMethods),
    adjustments: new Map(snapshot.adjustments),
    notificationSettings: new Map(snapshot.notificationSettings),
    subscriptionCards: new Map(snapshot.subscriptionCards),
    subscriptionTransactions: new Map(snapshot.subscriptionTransactions),
    hiddenUntilMs: new Map(snapshot.hiddenUntilMs),
    chargeTimesMs: new Map(snapshot.chargeTimesMs),
    creditBalances: new Map(snapshot.creditBalances),
    events: [...snapshot.events],
    captures: [...snapshot.captures],
  }
}

const walletProduct: Product = {
  id: walletProductId,
  name: 'Wallet credit',
  type: 'standard',
  description: 'Prepaid credit for voice, telephony and messages',
  tax_category: 'standard',
  image_url: null,
  custom_data: null,
  status: 'active',
  created_at: catalogStamp,
  updated_at: catalogStamp,
  import_meta: null,
}

const setupPrice: Price = {
  id: setupPriceId,
  product_id: walletProductId,
  description: 'Keeps a card for auto-recharge; costs nothing',
  type: 'standard',
  name: 'Auto-recharge',
  billing_cycle: { interval: 'year', frequency: 1 },
  trial_period: null,
  tax_mode: 'external',
  unit_price: { amount: '0', currency_code: 'USD' },
  unit_price_overrides: [],
  quantity: { minimum: 1, maximum: 1 },
  status: 'active',
  custom_data: null,
  created_at: catalogStamp,
  updated_at: catalogStamp,
  import_meta: null,
}
