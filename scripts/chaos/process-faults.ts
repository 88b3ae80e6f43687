/** What happens to processes of ours: they die, freeze, stand still, are replaced, and believe in another time. */
import {
  anyWorker,
  countPosted,
  during,
  pastTheLock,
  seen,
  sightingsFromNow,
  withJobsInHand,
  type Fault,
  type Scene,
} from './fault.ts'
import type { Member } from './stage.ts'

/** So many jobs in hand that each of the two workers has some. */
const someJobs = 8
const hourMs = 3_600_000
const endWithinMs = 30_000

export const processFaults: Fault[] = [
  {
    name: 'worker-killed',
    family: 'process',
    title: 'a worker is killed (-9) with jobs in hand',
    takesMs: 4_000,
    inject: async (scene) => {
      const worker = anyWorker(scene)
      const sighted = await sightingsFromNow(scene)
      await withJobsInHand(scene, someJobs, async (letGo) => {
        await letGo()
        await worker.end('SIGKILL')
      })
      const stalled = await seen(pastTheLock(scene.stage) * 3, sighted('stalled'))
      await worker.untilUp()
      return { stalled }
    },
  },
  {
    name: 'worker-frozen',
    family: 'process',
    title: 'a worker is frozen past its locks and thawed (SIGSTOP, SIGCONT)',
    takesMs: 6_000,
    inject: async (scene) => {
      const worker = anyWorker(scene)
      const sighted = await sightingsFromNow(scene)
      await withJobsInHand(scene, someJobs, async (letGo) => {
        worker.signal('SIGSTOP')
        await letGo()
        await during(scene, pastTheLock(scene.stage))
      }).finally(() => worker.signal('SIGCONT'))
      return await workDoneTwice(sighted)
    },
  },
  {
    name: 'worker-blocked',
    family: 'process',
    title: "a worker's event loop stands still for longer than its locks",
    takesMs: 6_000,
    inject: async (scene) => {
      const worker = anyWorker(scene)
      const sighted = await sightingsFromNow(scene)
      await withJobsInHand(scene, someJobs, async (letGo) => {
        worker.tell({ hook: 'block', durationMs: pastTheLock(scene.stage) })
        await during(scene, 100)
        await letGo()
        await during(scene, pastTheLock(scene.stage))
      })
      return await workDoneTwice(sighted)
    },
  },
  {
    name: 'rolling-restart',
    family: 'process',
    title: 'all processes are replaced, one after the other (SIGTERM)',
    takesMs: 6_000,
    inject: async (scene) => {
      const { workers, api } = scene.stage
      const postedBefore = await countPosted(scene.stage)
      let replaced = 0
      for (const member of [...workers, api]) replaced += await replace(scene, member)
      return { replaced, postedMeanwhile: (await countPosted(scene.stage)) - postedBefore }
    },
  },
  {
    name: 'api-killed',
    family: 'process',
    title: 'the API is killed (-9)',
    takesMs: 3_000,
    inject: async (scene) => {
      const { api } = scene.stage
      const failuresBefore = scene.driver.counts.httpFailures
      await api.end('SIGKILL')
      await api.untilUp()
      return { httpFailures: await seen(1_000, () => scene.driver.counts.httpFailures - failuresBefore) }
    },
  },
  {
    name: 'api-restarted',
    family: 'process',
    title: 'the API is stopped and started again (SIGTERM)',
    takesMs: 3_000,
    inject: async (scene) => {
      const failuresBefore = scene.driver.counts.httpFailures
      const replaced = await replace(scene, scene.stage.api)
      return {
        replaced,
        httpFailures: await seen(1_000, () => scene.driver.counts.httpFailures - failuresBefore),
      }
    },
  },
  {
    name: 'clock-back',
    family: 'clock',
    title: "a worker's clock jumps back by an hour",
    takesMs: 6_000,
    inject: async (scene) => {
      const worker = anyWorker(scene)
      const sighted = await sightingsFromNow(scene)
      // Locks are renewed by the clock: with jobs in hand, they are now lost.
      await withJobsInHand(scene, someJobs, async () => {
        worker.tell({ hook: 'clock', offsetMs: -hourMs })
        await during(scene, pastTheLock(scene.stage))
      }).finally(() => worker.tell({ hook: 'clock', offsetMs: 0 }))
      return { stalled: await seen(5_000, sighted('stalled')) }
    },
  },
  {
    name: 'clock-ahead',
    family: 'clock',
    title: "a worker's clock jumps ahead by an hour, and back again",
    takesMs: 4_000,
    inject: async (scene) => {
      const worker = anyWorker(scene)
      const sighted = await sightingsFromNow(scene)
      worker.tell({ hook: 'clock', offsetMs: hourMs })
      await during(scene, 2_000)
      const postedLate = await seen(5_000, sighted('lagging'))
      worker.tell({ hook: 'clock', offsetMs: 0 })
      return { postedLate }
    },
  },
]

/** Others took its jobs, and it did them as well when it came back. */
async function workDoneTwice(
  sighted: Awaited<ReturnType<typeof sightingsFromNow>>,
): Promise<{ stalled: number; duplicates: number }> {
  return {
    stalled: await seen(5_000, sighted('stalled')),
    duplicates: await seen(5_000, sighted('duplicates')),
  }
}

/** Shape: 1, when it ended as it should. */
async function replace({ violations }: Scene, member: Member): Promise<number> {
  const startedAt = performance.now()
  const cause = await member.end('SIGTERM')
  const tookMs = performance.now() - startedAt
  if (cause !== 0) violations.push(`${member.name} was asked to end and ended with ${cause}`)
  if (tookMs > endWithinMs) violations.push(`${member.name} took ${Math.round(tookMs)} ms to end`)
  await member.untilUp()
  return 1
}
