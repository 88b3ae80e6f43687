// A taste of the deaths that npm run proof has in full: a worker dies with kill -9 around the booking of a call.
import { expect } from 'vitest'

import { findBreaks } from '../support/books.ts'
import { enqueuedCall } from '../support/crash-scenarios.ts'
import { dieAt, openStage } from '../support/crash-run.ts'
import { test } from '../support/fixtures.ts'

test(
  'a call is booked once, whether a worker dies before the commit or before it hears of it',
  { timeout: 120_000 },
  async ({ ownPlace: place, ownDb: db, ownQueueNamed: queueNamed, redis }) => {
    const stage = await openStage({ place, db, redis, queueNamed })
    try {
      const { missed } = await dieAt(stage, enqueuedCall, ['before commit', 'after commit'])

      expect(missed).toEqual([])
      expect(await findBreaks(place.databaseUrl)).toEqual([])
    } finally {
      await stage.close()
    }
  },
)
