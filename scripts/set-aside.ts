/** Usage that could not be posted: what it is, why, and letting it try again. */
import { explainSetAside, setAsideReasons, type SetAsideReason } from '../billing/usage-event.ts'
import { connect } from '../db/connect.ts'
import type { Db } from '../db/schema.ts'
import { countSetAside, listSetAside, requeueSetAside, type SetAsideFilter } from '../db/set-aside.ts'
import { Misuse, runScript, wholeNumber } from './command-line.ts'
import { withStack } from './stack.ts'

await runScript({
  name: 'set-aside',
  usage: `usage: npm run -s set-aside -- [list | requeue] [--reason <reason>] [--workspace <id>] [--key <key>] [--all]
                               [--limit <n>] [--json]

list     (default) usage events that could not be posted, the newest first, and what to do about each reason
requeue  lets those that the options name try again; running workers take them up within seconds

  --reason <reason>  one of ${setAsideReasons.join(', ')}
  --workspace <id>   of one workspace
  --key <key>        one event, such as call/call_0a1b2c3d
  --all              requeue everything (instead of the three above)
  --limit <n>        how many to list (default 50)
  --json             JSON lines instead of a table
  --help             this text

A contradiction of an event that is posted (its key has a #) cannot be requeued: it could only be refused again.`,
  options: {
    reason: { type: 'string' },
    workspace: { type: 'string' },
    key: { type: 'string' },
    all: { type: 'boolean' },
    limit: { type: 'string', default: '50' },
    json: { type: 'boolean' },
  },
  run: async ({ reason, workspace, key, all, limit, json }, [verb = 'list', ...rest]) => {
    if ((verb !== 'list' && verb !== 'requeue') || rest.length > 0)
      throw new Misuse(`expected list or requeue`)
    const filter: SetAsideFilter = { reason: reasonNamed(reason), workspaceId: workspace, key }
    const filtered = Object.values(filter).some((value) => value !== undefined)
    if (verb === 'requeue' && filtered === (all === true)) {
      throw new Misuse('requeue what? Give --reason, --workspace or --key, or --all')
    }
    const most = wholeNumber('--limit', limit, { least: 1, most: 100_000 })
    await withStack({ log: (message) => process.stderr.write(`${message}\n`) }, async (stack) => {
      const db = connect(stack.databaseUrl, { profile: 'operator', name: 'set-aside', poolSize: 1 })
      try {
        if (verb === 'requeue') await requeue(db, filter)
        else await list(db, filter, { limit: most, json: json === true })
      } finally {
        await db.destroy()
      }
    })
  },
})

async function requeue(db: Db, filter: SetAsideFilter): Promise<void> {
  const requeued = await db.transaction().execute((trx) => requeueSetAside(trx, filter))
  process.stdout.write(`${requeued} requeued\n`)
}

async function list(
  db: Db,
  filter: SetAsideFilter,
  { limit, json }: { limit: number; json: boolean },
): Promise<void> {
  const events = await listSetAside(db, { ...filter, limit })
  for (const event of events) {
    process.stdout.write(
      json
        ? `${JSON.stringify({ ...event, payload: JSON.parse(event.payload) as unknown })}\n`
        : `${event.decidedAt.toISOString()}  ${event.workspaceId}  ${event.key}\n` +
            `    ${event.reason}${event.detail === null ? '' : `: ${event.detail}`}\n    ${shortened(event.payload)}\n`,
    )
  }
  if (json) return
  const counts = await countSetAside(db)
  if (counts.length === 0) process.stdout.write('Nothing is set aside.\n')
  for (const { reason, count } of counts) {
    process.stdout.write(`\n${count} x ${reason}\n    ${explainSetAside(reason)}\n`)
  }
}

function reasonNamed(text: string | undefined): SetAsideReason | undefined {
  if (text === undefined) return undefined
  const reason = setAsideReasons.find((each) => each === text)
  if (reason === undefined) throw new Misuse(`--reason: expected one of ${setAsideReasons.join(', ')}`)
  return reason
}

function shortened(payload: string): string {
  return payload.length <= 300
    ? payload
    : `${payload.slice(0, 300)}... (${payload.length} characters; --json shows all)`
}
