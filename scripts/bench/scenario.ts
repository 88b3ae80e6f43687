/** What is measured: who works (the contestant), on how many wallets, and how the events come. */

/** How a worker process does its work; see `contestant.ts`. */
export type Contestant = 'noop' | 'single' | 'batch' | 'admission_batch' | 'admission_single' | 'wallet_read'

export type ScenarioName =
  | 'noop'
  | 'batch_many'
  | 'batch_hot'
  | 'batch_bad'
  | 'usage_batch'
  | 'single_many'
  | 'single_hot'
  | 'batch_at_500'
  | 'single_at_500'
  | 'batch_at_2000'
  | 'single_at_2000'
  | 'admission'
  | 'admission_single'
  | 'admission_hot'
  | 'admission_single_hot'
  | 'wallet_read'

export type Scenario = {
  name: ScenarioName
  title: string
  contestant: Contestant
  wallets: 'many' | 'hot'
  /** The queue is filled before the clock starts. */
  events: number
  /** Above 1, jobs are `usage-batch`. */
  eventsPerJob: number
  /** One event in so many is one that must be set aside; 0 for none. */
  badOneIn: number
  /** Open loop: events come at this rate whatever the workers do, and each is timed from enqueue to commit. */
  perSecond?: number
  /** Closed loop, without a queue: so many requests are under way at once, and each is followed by the next. */
  inFlight?: number
}

export type Size = {
  wallets: number
  /** Jobs for a worker that only takes them, and events for the posting batch. */
  events: number
  batchedEvents: number
  singleManyEvents: number
  singleHotEvents: number
  openLoopSeconds: number
  admissions: number
  singleAdmissions: number
  reads: number
  /** Before anything is measured: the first thousand jobs of a process are slow, its code is not compiled yet. */
  warmUpEvents: Record<Contestant, number>
}

export const fullSize: Size = {
  wallets: 10_000,
  events: 20_000,
  batchedEvents: 60_000,
  singleManyEvents: 3_000,
  singleHotEvents: 1_500,
  openLoopSeconds: 4,
  admissions: 20_000,
  singleAdmissions: 3_000,
  reads: 10_000,
  warmUpEvents: {
    noop: 2_000,
    single: 500,
    batch: 2_000,
    admission_batch: 2_000,
    admission_single: 500,
    wallet_read: 2_000,
  },
}

/** Enough to see that everything works; too little to believe the figures. */
export const quickSize: Size = {
  wallets: 500,
  events: 2_000,
  batchedEvents: 5_000,
  singleManyEvents: 300,
  singleHotEvents: 200,
  openLoopSeconds: 1,
  admissions: 1_000,
  singleAdmissions: 200,
  reads: 300,
  warmUpEvents: {
    noop: 200,
    single: 50,
    batch: 200,
    admission_batch: 200,
    admission_single: 50,
    wallet_read: 100,
  },
}

const admissionsInFlight = 64
const readsInFlight = 8

/** Whose work comes from a queue. */
export function isOfQueue({ inFlight }: Pick<Scenario, 'inFlight'>): boolean {
  return inFlight === undefined
}

/** In the order in which a round runs them: neighbours are the ones that are compared. */
export function scenariosOf(size: Size): Scenario[] {
  const many = { wallets: 'many', events: size.events, eventsPerJob: 1, badOneIn: 0 } as const
  const openLoop = (perSecond: number) =>
    ({ ...many, events: perSecond * size.openLoopSeconds, perSecond }) as const
  const batch = { ...many, contestant: 'batch' } as const
  const single = { ...many, contestant: 'single' } as const
  const admission = {
    ...many,
    contestant: 'admission_batch',
    events: size.admissions,
    inFlight: admissionsInFlight,
  } as const
  const singleAdmission = {
    ...admission,
    contestant: 'admission_single',
    events: size.singleAdmissions,
  } as const
  return [
    { ...single, name: 'single_many', title: 'one transaction per job', events: size.singleManyEvents },
    {
      ...single,
      name: 'single_hot',
      title: 'one transaction per job, one wallet',
      wallets: 'hot',
      events: size.singleHotEvents,
    },
    { ...batch, name: 'batch_hot', title: 'posting batch, one wallet', wallets: 'hot' },
    { ...many, name: 'noop', title: 'no-op worker', contestant: 'noop' },
    { ...batch, name: 'batch_many', title: 'posting batch' },
    { ...batch, name: 'batch_bad', title: 'posting batch, 1 in 1,000 bad', badOneIn: 1_000 },
    {
      ...batch,
      name: 'usage_batch',
      title: 'posting batch, 50 events a job',
      events: size.batchedEvents,
      eventsPerJob: 50,
    },
    { ...batch, ...openLoop(500), name: 'batch_at_500', title: 'posting batch at 500/s' },
    { ...single, ...openLoop(500), name: 'single_at_500', title: 'one transaction per job at 500/s' },
    { ...batch, ...openLoop(2_000), name: 'batch_at_2000', title: 'posting batch at 2,000/s' },
    { ...single, ...openLoop(2_000), name: 'single_at_2000', title: 'one transaction per job at 2,000/s' },
    { ...singleAdmission, name: 'admission_single', title: 'admission, one transaction each' },
    { ...admission, name: 'admission', title: 'admission batch' },
    { ...admission, name: 'admission_hot', title: 'admission batch, one wallet', wallets: 'hot' },
    {
      ...singleAdmission,
      name: 'admission_single_hot',
      title: 'admission, one transaction, one wallet',
      wallets: 'hot',
    },
    {
      ...many,
      name: 'wallet_read',
      title: 'GET /v1/wallet over HTTP',
      contestant: 'wallet_read',
      events: size.reads,
      inFlight: readsInFlight,
    },
  ]
}
