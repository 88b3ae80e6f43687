// Connections as processes of ours open them: what each of them asks of Postgres before anything else.
import { sql } from 'kysely'
import { expect } from 'vitest'

import { connect } from '../../db/connect.ts'
import { test } from '../support/fixtures.ts'

test.for(['posting', 'worker', 'operator'] as const)(
  'a connection of the profile %s answers a commit only when it is on disk, whatever the server’s own setting is',
  async (profile, { place, db: owner }) => {
    await sql`do $$ begin
      execute format('alter database %I set synchronous_commit = off', current_database());
    end $$`.execute(owner)
    const db = connect(place.databaseUrl, { profile, name: 'test', poolSize: 1 })

    const { rows } = await sql<{ commit: string }>`
      select current_setting('synchronous_commit') as commit`.execute(db)
    await db.destroy()

    expect(rows).toEqual([{ commit: 'on' }])
  },
)
