/** Are the workers alive? Asks for the age of the heartbeat that went through Redis and a worker into Postgres. */
import { connect } from '../db/connect.ts'
import { heartbeatAgeMs } from '../db/heartbeat.ts'
import { runScript, wholeNumber } from './command-line.ts'

await runScript({
  name: 'health',
  usage: `usage: npm run -s health -- [--within <seconds>]

Exits 0 when a heartbeat went through Redis and a worker into Postgres lately, 1 otherwise. For container health checks.
Needs DATABASE_URL.

  --within <seconds>  how old the last heartbeat may be (default 60)
  --help              this text`,
  options: { within: { type: 'string', default: '60' } },
  run: async ({ within }) => {
    const withinSeconds = wholeNumber('--within', within, { least: 1, most: 86_400 })
    const databaseUrl = process.env['DATABASE_URL']
    if (!databaseUrl) throw new Error('DATABASE_URL is missing')
    const db = connect(databaseUrl, { profile: 'auditor', name: 'health', poolSize: 1 })
    try {
      const ageMs = await heartbeatAgeMs(db)
      const age = ageMs === null ? 'never' : `${(ageMs / 1000).toFixed(1)} s ago`
      process.stdout.write(`last heartbeat: ${age}\n`)
      return ageMs !== null && ageMs <= withinSeconds * 1000 ? 0 : 1
    } finally {
      await db.destroy()
    }
  },
})
