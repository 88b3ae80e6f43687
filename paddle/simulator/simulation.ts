/** One running simulator: what it knows, what it was told to do wrong, and what it has seen. */
import type { Fault, Limits, Switches } from './control-commands.ts'
import { createClock, type BaseClock, type Clock } from './clock.ts'
import { createIdMaker, type IdMaker } from './paddle-ids.ts'
import { createWorld, type World } from './world.ts'
import { createWebhookSender, type WebhookSender } from './webhook-sender.ts'

export type Simulation = {
  readonly apiKey: string
  readonly webhookSecret: string
  readonly log: (message: string) => void
  readonly clock: Clock
  readonly newId: IdMaker
  readonly webhooks: WebhookSender
  /** Called after whatever should outlive a restart. */
  changed: () => void
  /** Known once the server listens. */
  url: string
  world: World
  switches: Switches
  limits: Limits
  faults: Fault[]
  traffic: Traffic
}

type Traffic = {
  /** How often each route was asked, by "METHOD /route/{id}". */
  readonly requests: Map<string, number>
  rateLimited: number
  /** When (ms since 1970) the requests of the last minute came. */
  recentMs: number[]
  /** Subscriptions with a charge under way, and how many. */
  readonly charging: Map<string, number>
}

const defaultSwitches: Switches = {
  declinedTransaction: 'canceled',
  parallelCharges: 'both',
  customDataPropagation: true,
  captureAfterMs: 0,
  completeAfterMs: 0,
  refundApprovalMs: null,
}

/** Paddle's own. */
const defaultLimits: Limits = { requestsPerMinute: 240, chargesPerHour: 20, chargesPerDay: 100 }

export function createSimulation({
  apiKey,
  webhookSecret,
  webhookUrl,
  world,
  baseClock,
  log,
}: {
  apiKey: string
  webhookSecret: string
  webhookUrl: string | null
  world: World | null
  baseClock: BaseClock
  log: (message: string) => void
}): Simulation {
  const clock = createClock(baseClock)
  const newId = createIdMaker(clock.now)
  const simulation: Simulation = {
    apiKey,
    webhookSecret,
    log,
    clock,
    newId,
    webhooks: createWebhookSender({
      clock,
      newId,
      log,
      settings: () => [...simulation.world.notificationSettings.values()],
    }),
    changed: () => undefined,
    url: '',
    world: world ?? createWorld({ webhookUrl, webhookSecret }),
    switches: defaultSwitches,
    limits: defaultLimits,
    faults: [],
    traffic: noTraffic(),
  }
  return simulation
}

/** As if just started, with nothing known but the catalog; the webhooks go where they went before. */
export function resetSimulation(simulation: Simulation, webhookUrl: string | null): void {
  simulation.clock.clear()
  simulation.clock.setOffset(0)
  simulation.webhooks.reset()
  simulation.world = createWorld({ webhookUrl, webhookSecret: simulation.webhookSecret })
  simulation.switches = defaultSwitches
  simulation.limits = defaultLimits
  simulation.faults = []
  simulation.traffic = noTraffic()
}

function noTraffic(): Traffic {
  return { requests: new Map(), rateLimited: 0, recentMs: [], charging: new Map() }
}
