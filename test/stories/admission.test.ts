// Hundreds of calls start at once on little money, and the API is killed in the middle: never is more held than is there.
import { describe, expect } from 'vitest'

import type { WorkspaceId } from '../../billing/ids.ts'
import type { Db } from '../../db/schema.ts'
import { pause } from '../../runtime/repeat.ts'
import { test } from '../support/api-process.ts'
import { findBreaks } from '../support/books.ts'
import { eachOf } from '../support/each-of.ts'
import { newId } from '../support/given.ts'
import { givenWalletWith, givenWriteKey, moneyOf } from '../support/given-calls.ts'
import { httpClient, type HttpAnswer } from '../support/http-client.ts'
import { until } from '../support/until.ts'

describe('500 calls that start at once', () => {
  const cases: [balanceCents: number, admitted: number][] = [
    [20, 1],
    [2_000, 100],
  ]

  test.for(cases)(
    'on %d cents admit exactly %d',
    async ([balanceCents, admitted], { place, db, startApi }) => {
      const workspaceId = await givenWalletWith(db, balanceCents)
      const { url } = await startApi()
      const client = httpClient(url, await givenKeys(db, workspaceId))
      const watching = watchMoney(db, workspaceId)

      const answers = await Promise.all(someCalls().map((call) => decided(client, call)))
      const seen = await watching.stop()

      expect(countStatuses(answers)).toEqual({ 201: admitted, 402: 500 - admitted })
      expect(answers.filter((each) => each.status === 402).map(errorOf)).toEqual(
        Array.from({ length: 500 - admitted }, () => ({
          code: 'insufficient_balance',
          message: 'Wallet balance below minimum to start call',
          balance_usd: 0,
          required_usd: 0.2,
          request_id: expect.any(String),
        })),
      )
      expect(seen.neverTooMuch).toBe(true)
      expect(await moneyOf(db, workspaceId)).toEqual({
        balance: BigInt(balanceCents) * 10_000n,
        held: 200_000n * BigInt(admitted),
        openHolds: 200_000n * BigInt(admitted),
      })
      expect(await findBreaks(place.databaseUrl)).toEqual([])
    },
  )

  test('admit no more when the API is killed in the middle, and exactly as many once all have asked again', async ({
    place,
    db,
    startApi,
  }) => {
    const workspaceId = await givenWalletWith(db, 2_000)
    const keys = await givenKeys(db, workspaceId)
    const calls = someCalls()
    const watching = watchMoney(db, workspaceId)
    const first = await startApi()
    const doomed = httpClient(first.url, keys)

    let killed: Promise<void> | undefined
    let admitted = 0
    await eachOf(calls, 8, async (call) => {
      const answer = await doomed.post('/v1/calls', call).catch(() => null)
      if (answer?.status === 201) admitted += 1
      if (admitted === 20) killed ??= first.kill()
    })
    await killed
    const atKill = await moneyOf(db, workspaceId)
    const second = await startApi()
    const client = httpClient(second.url, keys)
    const answers = await Promise.all(calls.map((call) => decided(client, call)))
    const seen = await watching.stop()

    expect(atKill.held).toBeLessThan(20_000_000n)
    expect(atKill.held).toBe(atKill.openHolds)
    expect(countStatuses(answers)).toEqual({ 201: 100, 402: 400 })
    expect(seen.neverTooMuch).toBe(true)
    expect(await moneyOf(db, workspaceId)).toEqual({
      balance: 20_000_000n,
      held: 20_000_000n,
      openHolds: 20_000_000n,
    })
    expect(await findBreaks(place.databaseUrl)).toEqual([])
  })

  test('through two APIs at once admit exactly as many as through one', async ({ db, startApi }) => {
    const workspaceId = await givenWalletWith(db, 2_000)
    const keys = await givenKeys(db, workspaceId)
    const apis = await Promise.all([startApi(), startApi()])
    const clients = apis.map(({ url }) => httpClient(url, keys))

    const answers = await Promise.all(
      someCalls().flatMap((call, index) => {
        const client = clients[index % 2]
        return client === undefined ? [] : [decided(client, call)]
      }),
    )

    expect(countStatuses(answers)).toEqual({ 201: 100, 402: 400 })
    expect(await moneyOf(db, workspaceId)).toMatchObject({ held: 20_000_000n, openHolds: 20_000_000n })
  })
})

/** On a busy machine some are told that it could not be decided in time: they send the same again, as they are asked to. */
async function decided(
  client: ReturnType<typeof httpClient>,
  call: { call_id: string; to_number: string },
): Promise<HttpAnswer> {
  return await until('it is decided', async () => {
    const answer = await client.post('/v1/calls', call)
    return answer.status !== 503 && answer
  })
}

/** Outbound to the United States: $0.18 a minute, so each holds $0.20. */
function someCalls(): { call_id: string; to_number: string }[] {
  return Array.from({ length: 500 }, () => ({ call_id: newId('call'), to_number: '+14155550100' }))
}

async function givenKeys(db: Db, workspaceId: WorkspaceId): Promise<string[]> {
  return await Promise.all(Array.from({ length: 5 }, () => givenWriteKey(db, workspaceId)))
}

/** Looks again and again whether what is held is there, and is what the open holds are together. */
function watchMoney(db: Db, workspaceId: WorkspaceId): { stop: () => Promise<{ neverTooMuch: boolean }> } {
  const stopping = new AbortController()
  const watching = (async (): Promise<boolean> => {
    let neverTooMuch = true
    while (!stopping.signal.aborted) {
      const { balance, held, openHolds } = await moneyOf(db, workspaceId)
      neverTooMuch &&= held === openHolds && held <= balance
      await pause(5, stopping.signal)
    }
    return neverTooMuch
  })()
  return {
    stop: async () => {
      stopping.abort()
      return { neverTooMuch: await watching }
    },
  }
}

function countStatuses(answers: readonly HttpAnswer[]): Record<number, number> {
  const counts: Record<number, number> = {}
  for (const { status } of answers) counts[status] = (counts[status] ?? 0) + 1
  return counts
}

function errorOf({ body }: HttpAnswer): unknown {
  return Reflect.get(Object(body), 'error')
}
