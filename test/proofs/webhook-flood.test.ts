// How long a genuine webhook waits while somebody pours garbage at the same address.
import { randomBytes } from 'node:crypto'

import { expect } from 'vitest'

import { test } from '../support/api-process.ts'
import { othersTake } from '../support/busy-machine.ts'
import { anEvent, sendWebhook, signatureOf } from '../support/paddle-sender.ts'

// A second on a machine of its own: what others do there meanwhile keeps everybody waiting, and the sender is one of them.
test(
  '200 pieces of garbage a second, 200 KB each, do not delay a genuine webhook by a second',
  { retry: 2 },
  async ({ startApi }) => {
    const { url } = await startApi()
    const noise = randomBytes(200_000)
    // The dearest kind: only when all of it is hashed is it known to be wrong.
    const signature = signatureOf(noise, { secrets: ['pdl_ntfset_a_secret_of_somebody_else'] })
    const { body } = anEvent()
    await sendWebhook(url, body)

    const mostPieces = 300
    const startedAt = performance.now()
    const flood: Promise<number>[] = []
    const took: number[] = []
    const genuine: Promise<void>[] = []
    const sendGenuine = async (): Promise<void> => {
      const sentAt = performance.now()
      const answer = await sendWebhook(url, anEvent().body)
      expect(answer.status).toBe(200)
      took.push(performance.now() - sentAt)
    }
    await new Promise<void>((resolve) => {
      const pouring = setInterval(() => {
        const due = Math.min(mostPieces, Math.floor((performance.now() - startedAt) / 5))
        while (flood.length < due) {
          flood.push(sendWebhook(url, noise, { signature }).then(({ status }) => status))
          if (flood.length % 20 === 0) genuine.push(sendGenuine())
        }
        if (due < mostPieces) return
        clearInterval(pouring)
        resolve()
      }, 5)
    })
    const answers = await Promise.all(flood)
    await Promise.all(genuine)

    expect(new Set(answers)).toEqual(new Set([401]))
    expect(took).toHaveLength(mostPieces / 20)
    expect(Math.max(...took)).toBeLessThan(1_000 * othersTake())
  },
)
