// Every cent is explained: what is booked follows from what was told and from the rate card it names.
import { expect } from 'vitest'

import { postUsage } from '../../db/post-usage.ts'
import { createRateBookCache, publishRateCard } from '../../db/rate-book.ts'
import { verifyLedger } from '../../db/verify.ts'
import { test } from '../support/fixtures.ts'
import { aCall, aMessage, callArrival, givenWorkspace, messageArrival } from '../support/given.ts'

const dear = { intervals: [{ from_second: 0, per_minute_usd: '9', increment_seconds: 60 }] }

test('a transaction is explained by the card that priced it, also after another card was dated before it', async ({
  ownDb: db,
}) => {
  const workspaceId = await givenWorkspace(db)
  const arrivals = [callArrival(aCall(workspaceId)), messageArrival(aMessage(workspaceId))]
  await db.transaction().execute((trx) => postUsage(trx, arrivals, createRateBookCache()))

  await db.transaction().execute((trx) =>
    publishRateCard(trx, {
      rateCardId: 'dear',
      effectiveFrom: new Date(Date.now() - 86_400_000),
      card: { voice: dear, recording: dear, telephony: { '1': dear }, message_usd: '9' },
    }),
  )
  const { breaks } = await verifyLedger(db)

  expect(breaks).toEqual([])
})

test('a transaction that was priced by another rule than rating is found, though its hash and its sums fit', async ({
  ownDb: db,
}) => {
  const workspaceId = await givenWorkspace(db)
  const call = callArrival(aCall(workspaceId))
  const honest = createRateBookCache()
  await db.transaction().execute((trx) =>
    postUsage(trx, [call], async (...read) => {
      const book = await honest(...read)
      const card = book.cardFor(workspaceId, new Date())
      return { ...book, cardFor: () => (card === null ? null : { ...card, voice: card.recording }) }
    }),
  )

  const { breaks } = await verifyLedger(db)

  expect(breaks).toMatchObject([{ workspaceId, what: expect.stringContaining('rated again they are') }])
})
