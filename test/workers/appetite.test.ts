// What fills the memory of a process is how many events it has in hand, however a producer packs them into jobs.
import { describe, expect, test } from 'vitest'

import { createAppetite, type Appetite } from '../../workers/appetite.ts'

const most = 128

describe('an appetite', () => {
  test.for([
    { events: 1, jobs: 128 },
    { events: 2, jobs: 128 },
    { events: 3, jobs: 85 },
    { events: 50, jobs: 5 },
    { events: 500, jobs: 1 },
    { events: 100_000, jobs: 1 },
  ])('is for $jobs jobs a worker while they carry $events events each', async ({ events, jobs }) => {
    const { appetite, told } = givenAppetite()
    const held = [hold(appetite, events), hold(appetite, events)]

    expect(told.at(-1) ?? appetite.atFirst).toBe(jobs)
    for (const { end } of held) await end()
  })

  test('is small while nothing is in hand: what comes next may be full', async () => {
    const { appetite, told } = givenAppetite()

    await hold(appetite, 1).end()

    expect(appetite.atFirst).toBe(16)
    expect(told).toEqual([128, 16])
  })

  test('goes by all that is in hand, and says only what has changed', async () => {
    const { appetite, told } = givenAppetite()

    const full = hold(appetite, 500)
    const single = hold(appetite, 1)
    const other = hold(appetite, 499)
    await full.end()
    await other.end()
    await single.end()

    expect(told).toEqual([1, 128, 16])
  })

  test('comes back when the work fails', async () => {
    const { appetite, told } = givenAppetite()

    await expect(appetite.whileInHand(500, () => Promise.reject(new Error('away')))).rejects.toThrow('away')

    expect(told).toEqual([1, 16])
  })

  test('is never for more than there may be', () => {
    expect(createAppetite({ most: 3, tell: () => undefined }).atFirst).toBe(3)
  })
})

function givenAppetite(): { appetite: Appetite; told: number[] } {
  const told: number[] = []
  return { appetite: createAppetite({ most, tell: (jobs) => told.push(jobs) }), told }
}

/** A job that is in hand until `end`. */
function hold(appetite: Appetite, events: number): { end: () => Promise<void> } {
  const work = Promise.withResolvers<void>()
  const done = appetite.whileInHand(events, () => work.promise)
  return {
    end: async () => {
      work.resolve()
      await done
    },
  }
}
