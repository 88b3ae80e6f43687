// A taste of the deaths that npm run proof has in full: a worker dies with kill -9 around the booking of a call.
import { expect } from 'vitest'

import { findBreaks } from '../support/books.ts'
import { enqueuedCall } from '../support/crash-scenarios.ts'
import { dieEverywhere, openStage } from '../support/crash-run.ts'
import { test } from '../support/fixtures.ts'

test('a call is booked once, whether a worker dies before the commit, before it hears of it, or before it says that it is done', async ({
  ownPlace: place,
  ownDb: db,
  ownQueueNamed: queueNamed,
  redis,
}) => {
  const stage = await openStage({ place, db, redis, queueNamed })
  const only = ['before commit', 'after commit', 'after moveToFinished']
  try {
    const { died } = await dieEverywhere(stage, enqueuedCall, { only })

    expect(died).toEqual(only)
    expect(await findBreaks(place.databaseUrl)).toEqual([])
  } finally {
    await stage.close()
  }
})
