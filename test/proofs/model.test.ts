// What the wallet promises, said by a model, against Postgres: thousands of commands in any order, a year's worth of time among them.
import { expect } from 'vitest'

import { findBreaks } from '../support/books.ts'
import { test } from '../support/fixtures.ts'
import { holdToModel } from '../support/model/run.ts'

/** What must have been seen at least once, or the run proves nothing about it. */
const mustSee = [
  'Post posted',
  'Post free',
  'Post set_aside',
  'Replay duplicate',
  'ReplayMutated set_aside',
  'Hold admitted',
  'Hold insufficient_balance',
  'Hold known_call',
  'Hold frozen',
  'Capture posted',
  'LateCapture posted',
  'Release released',
  'ExpireHold expired',
  'Threshold 0 above_threshold',
  'Threshold 1 recharge',
  'SetPolicy not_enabled',
  'Charge ok',
  'Charge decline',
  'Charge hard',
  'Charge unknown',
  'Charge lateOk',
  'Charge not_processed',
  'Charge silentOk',
  'Charge found',
  'Charge not claimed, canceled',
  'Charge not claimed, failed',
  'LateAnswer accepted',
  'Search found',
  'Search suspected',
  'Search missing, ready',
  'Search missing, needs_review',
  'Webhook credited',
  'Webhook already_credited',
  'Webhook noted',
  'Refund applied',
  'Refund waiting',
  'Refund review',
  'Chargeback applied',
  'Reverse applied',
  'Reverse waiting',
  'Unfreeze unfrozen',
  'decided charge_under_way',
  'decided needs_review',
  'decided cooling_down',
  'decided suspended',
  'decided daily_limit',
  'decided monthly_cap',
  'decided frozen',
  'Rent rented',
  'Rent insufficient_balance',
  'RentalTick billed 1 owed 0 released 0',
  'RentalTick billed 2 owed 0 released 0',
  'RentalTick billed 0 owed 1 released 0',
  'RentalTick billed 0 owed 0 released 1',
]

test(
  'the wallet and its model say the same after every one of some ten thousand commands',
  { timeout: 600_000 },
  async ({ ownPlace, ownDb }) => {
    const seen = await holdToModel(ownPlace.databaseUrl, ownDb, { runs: 150, mostCommands: 120, seed: 1 })

    expect(mustSee.filter((outcome) => !seen.has(outcome))).toEqual([])
    expect(await findBreaks(ownPlace.databaseUrl)).toEqual([])
  },
)
