// What fills the memory of a process is how many events it has in hand, however a producer packs them into jobs.
import { describe, expect, test } from 'vitest'

import { createAppetite, type Appetite } from '../../workers/appetite.ts'

const most = 128
const ignore = (): void => undefined

describe('an appetite', () => {
  test.for([
    { events: 1, jobs: 128 },
    { events: 5, jobs: 102 },
    { events: 50, jobs: 10 },
    { events: 500, jobs: 2 },
    { events: 100_000, jobs: 2 },
  ])('is for $jobs jobs a worker while they carry $events events each', ({ events, jobs }) => {
    const { appetite, told } = givenAppetite()

    hold(appetite, events)

    expect(told.at(-1) ?? appetite.atFirst).toBe(jobs)
  })

  test('is small while nothing is in hand: what comes next may be full', async () => {
    const { appetite, told } = givenAppetite()

    await hold(appetite, 1).end()

    expect(appetite.atFirst).toBe(4)
    expect(told).toEqual([128, 4])
  })

  test('grows while full jobs wait for little: a locked wallet stops only its own events', () => {
    const { appetite, told } = givenAppetite()

    const waiting = Array.from({ length: 40 }, () => hold(appetite, 100))
    const full = told.at(-1)
    for (const { decide } of waiting) decide(99)

    expect([full, told.at(-1)]).toEqual([5, 10])
  })

  test('grows no more once what is kept for them is too much', () => {
    const { appetite, told } = givenAppetite()

    for (const { decide } of Array.from({ length: 160 }, () => hold(appetite, 500))) decide(499)

    expect(told.at(-1)).toBe(160 / 8)
  })

  test('comes back when the work fails, whatever is decided afterwards', async () => {
    const { appetite, told } = givenAppetite()
    let late = ignore

    await expect(
      appetite.whileInHand(4_000, async (decided) => {
        late = decided
        throw new Error('away')
      }),
    ).rejects.toThrow('away')
    late()
    const next = hold(appetite, 4_096)

    expect(told).toEqual([2, 4, 2])
    await next.end()
  })

  test('is never for more than there may be, and for as many workers as there are', () => {
    expect(createAppetite({ workers: 8, most: 3, tell: ignore }).atFirst).toBe(3)
    expect(createAppetite({ workers: 8, most: 1, tell: ignore }).atFirst).toBe(1)
    expect(createAppetite({ workers: 64, most, tell: ignore }).atFirst).toBe(2)
    expect(createAppetite({ workers: 1, most, tell: ignore }).atFirst).toBe(32)
  })
})

function givenAppetite(): { appetite: Appetite; told: number[] } {
  const told: number[] = []
  return { appetite: createAppetite({ workers: 8, most, tell: (jobs) => told.push(jobs) }), told }
}

/** A job that is in hand until `end`, of which `decide` decides some events. */
function hold(
  appetite: Appetite,
  events: number,
): { decide: (events: number) => void; end: () => Promise<void> } {
  const work = Promise.withResolvers<void>()
  let decided = ignore
  const done = appetite.whileInHand(events, (one) => {
    decided = one
    return work.promise
  })
  return {
    decide: (count) => {
      for (let each = 0; each < count; each += 1) decided()
    },
    end: async () => {
      work.resolve()
      await done
    },
  }
}
