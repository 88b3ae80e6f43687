/** The thread that recomputes the ledger: given a database's URL, it says what it found and ends. */
import { parentPort, workerData } from 'node:worker_threads'

import { z } from 'zod'

import { connect } from '../db/connect.ts'
import { verifyLedger } from '../db/verify.ts'

const db = connect(z.string().parse(workerData), { profile: 'auditor', name: 'verify', poolSize: 1 })
try {
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- that is for windows; this is a thread
  parentPort?.postMessage(await verifyLedger(db))
} finally {
  await db.destroy()
}
