/**
 * Every night the whole ledger, from its rows. It is recomputed on a thread of its own: minutes of hashing would hold up whatever else
 * this process does, and a process that is to end need not wait for it.
 */
import { Worker } from 'node:worker_threads'

import type { RoundOutcome } from '../db/schedule.ts'
import type { Verification } from '../db/verify.ts'
import type { Log } from '../runtime/log.ts'

/** Throws: when the ledger could not be read to its end. A broken ledger is an outcome. */
export async function verifyNightly(
  databaseUrl: string,
  { log, signal }: { log: Log; signal: AbortSignal },
): Promise<RoundOutcome> {
  const { wallets, transactions, postings, breaks } = await verifyOnThread(databaseUrl, signal)
  const fields = { wallets, transactions, postings, breaks }
  if (breaks.length > 0) log.fatal(fields, "the ledger is broken: run 'npm run -s verify'")
  else log.info(fields, 'the ledger is right')
  return {
    did: { wallets, transactions, postings },
    found: breaks.map(({ workspaceId, where, what }) => `${workspaceId}  ${where}: ${what}`),
  }
}

function verifyOnThread(databaseUrl: string, signal: AbortSignal): Promise<Verification> {
  return new Promise((resolve, reject) => {
    const thread = new Worker(new URL('./verify-thread.ts', import.meta.url), { workerData: databaseUrl })
    const end = (): void => void thread.terminate()
    signal.addEventListener('abort', end, { once: true })
    thread.once('message', resolve)
    thread.once('error', reject)
    thread.once('exit', () => {
      signal.removeEventListener('abort', end)
      reject(new Error(signal.aborted ? 'the process was told to end' : 'the thread ended without a result'))
    })
  })
}
