/** What happens to Postgres: it dies in two ways, its connections are cut, an answer is lost on its way, a lock is kept. */
import { join } from 'node:path'

import { sql } from 'kysely'

import { listProcessesIn } from '../embedded/process-table.ts'
import { countPosted, during, seen, sightingsFromNow, type Fault, type Scene } from './fault.ts'
import { workspaceAt } from './load.ts'
import { holds, lookAgain, ownConnectionName, type Stage } from './stage.ts'

const downMs = 1_000
const lockedMs = 10_000
const lostAnswers = 5
/** What the worker's transaction sends that books events out of the queue: a commit of bookkeeping would prove nothing. */
const firstPosting = 'insert-usage'
const startWithinMs = 60_000

export const postgresFaults: Fault[] = [
  {
    name: 'postgres-stopped',
    family: 'postgres',
    title: 'Postgres is stopped at once (immediate: no checkpoint)',
    takesMs: 4_000,
    inject: (scene) =>
      crash(scene, async ({ servers }) => {
        const { pid } = servers.postgres
        if (pid === null) throw new Error('Postgres does not run')
        process.kill(pid, 'SIGQUIT')
        await holds(10_000, () => servers.postgres.pid === null, 20)
      }),
  },
  {
    name: 'postgres-killed',
    family: 'postgres',
    title: 'Postgres is killed (-9), all of its processes at once',
    takesMs: 4_000,
    inject: (scene) =>
      crash(scene, async ({ servers, directory }) => {
        const { pid } = servers.postgres
        const data = join(directory, 'postgres')
        const all = await listProcessesIn(data, { names: ['postgres'], knownPids: pid === null ? [] : [pid] })
        for (const each of all) killIfThere(each)
        await servers.postgres.kill()
      }),
  },
  {
    name: 'connections-cut',
    family: 'postgres',
    title: 'every connection to Postgres is terminated, three times over',
    takesMs: 2_500,
    inject: async (scene) => {
      const sighted = await sightingsFromNow(scene)
      let terminated = 0
      for (let round = 0; round < 3; round += 1) {
        terminated += await terminateAll(scene.stage)
        await during(scene, 400)
      }
      return { terminated, noticed: await seen(3_000, sighted('postgresLost')) }
    },
  },
  {
    name: 'answers-lost',
    family: 'postgres',
    title: 'Postgres commits, and the answer never arrives',
    takesMs: 5_000,
    inject: async (scene) => {
      const { proxy } = scene.stage
      const sighted = await sightingsFromNow(scene)
      const duplicates = sighted('duplicates')
      let lost = 0
      for (let cut = 0; cut < lostAnswers && !scene.signal.aborted; cut += 1) {
        if (await within(5_000, proxy.dropAnswerTo('commit', { having: firstPosting }))) lost += 1
        await during(scene, 100)
      }
      return { lost, duplicates: await seen(5_000, duplicates) }
    },
  },
  {
    name: 'wallet-locked',
    family: 'postgres',
    title: 'somebody keeps the lock of the busiest wallet for 10 seconds',
    takesMs: 11_000,
    inject: async (scene) => {
      const { stage } = scene
      const busiest = workspaceAt(0)
      const before = await countPosted(stage)
      const trx = await lookAgain(() => stage.db.startTransaction().execute())
      let othersPosted = 0
      try {
        await sql`select from wallet where workspace_id = ${busiest} for no key update`.execute(trx)
        const locked = await sequenceOf(stage, busiest)
        await during(scene, lockedMs)
        othersPosted = (await countPosted(stage)) - before
        if ((await sequenceOf(stage, busiest)) !== locked)
          scene.violations.push('a wallet moved while its lock was held')
      } finally {
        await trx.rollback().execute()
      }
      const held = await sequenceOf(stage, busiest)
      return {
        othersPosted,
        postedAfterwards: await seen(5_000, async () => Number((await sequenceOf(stage, busiest)) - held)),
      }
    },
  },
]

async function crash(scene: Scene, end: (stage: Stage) => Promise<void>): Promise<Record<string, number>> {
  const { servers } = scene.stage
  const sighted = await sightingsFromNow(scene)
  await end(scene.stage)
  await during(scene, downMs)
  // Its children may need a moment to go, and it does not start beside them.
  const isUp = async (): Promise<boolean> => {
    await servers.postgres.start()
    return true
  }
  if (!(await holds(startWithinMs, isUp, 200))) throw new Error('Postgres did not start again')
  return { noticed: await seen(5_000, sighted('postgresLost')) }
}

/** Our own connections are spared: a retry of theirs would hide what we look for. */
async function terminateAll({ db }: Stage): Promise<number> {
  const { rows } = await lookAgain(() =>
    sql`
      select pg_terminate_backend(pid) from pg_stat_activity
      where backend_type = 'client backend' and pid <> pg_backend_pid()
        and application_name not like ${`%${ownConnectionName}%`}`.execute(db),
  )
  return rows.length
}

async function sequenceOf({ db }: Stage, workspaceId: string): Promise<bigint> {
  const { rows } = await lookAgain(() =>
    sql<{ sequence: bigint }>`
      select sequence from wallet where workspace_id = ${workspaceId}`.execute(db),
  )
  return rows[0]?.sequence ?? 0n
}

/** Shape: whether it came in time. */
async function within(patienceMs: number, promise: Promise<void>): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<false>((resolve) => {
    timer = setTimeout(() => resolve(false), patienceMs)
  })
  const inTime = await Promise.race([promise.then(() => true), late])
  clearTimeout(timer)
  return inTime
}

function killIfThere(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // It has gone with the others.
  }
}
