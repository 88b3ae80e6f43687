import { describe, expect, test } from 'vitest'

import { again, createLane, type Lane } from '../../runtime/lane.ts'
import { until } from '../support/until.ts'

type Done = { item: string }

/** A lane whose batches begin when they like and end when the test says so. */
function givenLane({ most = 10 }: { most?: number } = {}) {
  const batches: {
    items: string[]
    end: (results?: (Done | typeof again)[]) => void
    fail: (error: Error) => void
  }[] = []
  const lane: Lane<string, Done> = createLane<string, Done>({
    most,
    run: (items) =>
      new Promise((resolve, reject) => {
        const end = (results?: (Done | typeof again)[]): void =>
          resolve(results ?? items.map((item) => ({ item })))
        batches.push({ items, end, fail: reject })
      }),
  })
  const batch = async (number: number) =>
    await until(`batch ${number} begins`, () => batches[number - 1], { everyMs: 0 })
  return { lane, batch, itemsOf: () => batches.map(({ items }) => items) }
}

describe('a lane', () => {
  test('takes what comes in the same breath in one batch, at once', async () => {
    const { lane, batch } = givenLane()

    const results = ['a', 'b', 'c'].map((item) => lane.submit(item))
    const { items, end } = await batch(1)
    end()

    expect(items).toEqual(['a', 'b', 'c'])
    expect(await Promise.all(results)).toEqual([{ item: 'a' }, { item: 'b' }, { item: 'c' }])
    expect(lane.size()).toBe(0)
  })

  test('has one batch under way, and gathers the next one meanwhile, in order', async () => {
    const { lane, batch, itemsOf } = givenLane()
    const first = lane.submit('a')
    const { end: endFirst } = await batch(1)

    const later = ['b', 'c', 'd'].map((item) => lane.submit(item))
    await new Promise((resolve) => {
      setImmediate(resolve)
    })
    const whileBusy = { batches: itemsOf(), size: lane.size() }
    endFirst()
    await first
    const { end: endSecond } = await batch(2)
    endSecond()
    await Promise.all(later)

    expect(whileBusy).toEqual({ batches: [['a']], size: 4 })
    expect(itemsOf()).toEqual([['a'], ['b', 'c', 'd']])
  })

  test('never puts more into a batch than it may', async () => {
    const { lane, batch, itemsOf } = givenLane({ most: 2 })

    const results = ['a', 'b', 'c', 'd', 'e'].map((item) => lane.submit(item))
    for (const number of [1, 2, 3]) (await batch(number)).end()
    await Promise.all(results)

    expect(itemsOf()).toEqual([['a', 'b'], ['c', 'd'], ['e']])
  })

  test('puts an item that must come again behind those that wait, so that nobody is held up by it', async () => {
    const { lane, batch, itemsOf } = givenLane({ most: 2 })
    const results = ['stuck', 'also stuck', 'a', 'b', 'c'].map((item) => lane.submit(item))

    const first = await batch(1)
    first.end([again, again])
    const second = await batch(2)
    second.end()
    await Promise.all([results[2], results[3]])
    const third = await batch(3)
    third.end()
    const fourth = await batch(4)
    fourth.end()

    expect(await Promise.all(results)).toHaveLength(5)
    expect(itemsOf()).toEqual([['stuck', 'also stuck'], ['a', 'b'], ['c', 'stuck'], ['also stuck']])
  })

  test('takes an item for undone when a batch gives it no result', async () => {
    const { lane, batch, itemsOf } = givenLane()
    const results = ['a', 'b'].map((item) => lane.submit(item))

    const first = await batch(1)
    first.end([{ item: 'a' }])
    const second = await batch(2)
    second.end()
    await Promise.all(results)

    expect(itemsOf()).toEqual([['a', 'b'], ['b']])
  })

  test('rejects the items of a batch that fails, and goes on with the next', async () => {
    const { lane, batch } = givenLane({ most: 2 })
    const ends = Promise.allSettled(['a', 'b', 'c'].map((item) => lane.submit(item)))

    const first = await batch(1)
    first.fail(new Error('no'))
    const second = await batch(2)
    second.end()

    expect(await ends).toMatchObject([
      { status: 'rejected', reason: { message: 'no' } },
      { status: 'rejected', reason: { message: 'no' } },
      { status: 'fulfilled', value: { item: 'c' } },
    ])
  })

  test('starts again after it has been idle', async () => {
    const { lane, batch, itemsOf } = givenLane()
    const first = lane.submit('a')
    const { end: endFirst } = await batch(1)
    endFirst()
    await first

    const second = lane.submit('b')
    const { end: endSecond } = await batch(2)
    endSecond()
    await second

    expect(itemsOf()).toEqual([['a'], ['b']])
  })
})

describe('closing a lane', () => {
  test('lets the batch under way end, gives up what waits, and takes nothing more', async () => {
    const { lane, batch, itemsOf } = givenLane()
    const underWay = Promise.allSettled([lane.submit('a'), lane.submit('b')])
    const { end } = await batch(1)
    const waits = lane.submit('c')

    let isClosed = false
    const closing = lane.close(new Error('closing')).finally(() => {
      isClosed = true
    })
    await expect(waits).rejects.toThrow('closing')
    await expect(lane.submit('d')).rejects.toThrow('closing')
    const closedTooEarly = isClosed
    end([{ item: 'a' }, again])
    const ends = await underWay
    await closing

    expect(closedTooEarly).toBe(false)
    expect(ends).toMatchObject([
      { status: 'fulfilled' },
      { status: 'rejected', reason: { message: 'closing' } },
    ])
    expect(itemsOf()).toEqual([['a', 'b']])
    expect(lane.size()).toBe(0)
  })

  test('that is idle is done at once', async () => {
    const { lane } = givenLane()

    await lane.close(new Error('closing'))

    expect(lane.size()).toBe(0)
  })

  test('gives up also what came in the same breath', async () => {
    const { lane, itemsOf } = givenLane()

    const result = lane.submit('a')
    const closing = lane.close(new Error('closing'))

    await expect(result).rejects.toThrow('closing')
    await closing
    expect(itemsOf()).toEqual([])
  })
})
