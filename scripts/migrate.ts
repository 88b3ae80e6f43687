/** Brings the database to the newest schema. */
import { migrateToLatest } from '../db/migrate.ts'
import { runScript } from './command-line.ts'
import { withStack } from './stack.ts'

await runScript({
  name: 'migrate',
  usage: `usage: npm run -s migrate

Brings the database to the newest schema and gives a new one its first rate card. Running it again changes nothing.
Works on DATABASE_URL; without it on the embedded Postgres of this checkout, whose data is in .data/.

  --help  this text`,
  options: {},
  run: async () => {
    const databaseUrl = process.env['DATABASE_URL']
    const migrated = databaseUrl
      ? await migrateToLatest(databaseUrl)
      : await withStack({ log }, (stack) => migrateToLatest(stack.databaseUrl))
    for (const name of migrated) process.stdout.write(`migrated ${name}\n`)
    process.stdout.write('the schema is the newest\n')
  },
})

function log(message: string): void {
  process.stderr.write(`${message}\n`)
}
