import { describe, expect, test } from 'vitest'

import { pause, repeat } from '../../runtime/repeat.ts'
import { captureLog } from '../support/captured-log.ts'
import { until } from '../support/until.ts'

const longMs = 60_000

describe('repeated work', () => {
  test('runs at once, and again and again, but never twice at a time', async () => {
    const { log } = captureLog()
    let underWay = 0
    let most = 0
    let turns = 0

    const repeating = repeat('work', {
      everyMs: 1,
      log,
      run: async () => {
        underWay += 1
        most = Math.max(most, underWay)
        await pause(2)
        underWay -= 1
        turns += 1
      },
    })
    await until('it has run five times', () => turns >= 5)
    await repeating.stop()

    expect(most).toBe(1)
  })

  test('goes on right away when there is more to do', async () => {
    const { log } = captureLog()
    let turns = 0

    const repeating = repeat('work', {
      everyMs: longMs,
      log,
      run: async () => {
        turns += 1
        return turns < 3
      },
    })
    await until('it has run three times', () => turns === 3)
    await repeating.stop()

    expect(turns).toBe(3)
  })

  test('warns of the first failure of a row, tries again, and says when it goes on', async () => {
    const { log, lines } = captureLog()
    let turns = 0

    const repeating = repeat('work', {
      everyMs: 1,
      log,
      run: async () => {
        turns += 1
        if (turns <= 3) throw new Error('no')
      },
    })
    await until('it has succeeded', () => turns >= 5)
    await repeating.stop()

    expect(lines.map(({ level, msg }) => [level, msg])).toEqual([
      ['warn', 'repeated work failed and will be tried again'],
      ['debug', 'repeated work failed again'],
      ['debug', 'repeated work failed again'],
      ['info', 'repeated work goes on'],
    ])
  })

  test('waits for the next turn after a failure, even when it said there was more', async () => {
    const { log } = captureLog()
    let turns = 0

    const repeating = repeat('work', {
      everyMs: longMs,
      log,
      run: async () => {
        turns += 1
        if (turns === 2) throw new Error('no')
        return true
      },
    })
    await until('it has failed', () => turns === 2)
    await repeating.stop()

    expect(turns).toBe(2)
  })

  test('is stopped in the middle of a wait at once, and in the middle of a turn when the turn is over', async () => {
    const { log } = captureLog()
    let ended = false
    const waiting = repeat('wait', { everyMs: longMs, log, run: async () => undefined })
    const turning = repeat('turn', {
      everyMs: 1,
      log,
      run: async () => {
        await pause(20)
        ended = true
      },
    })

    const startedAt = performance.now()
    await waiting.stop()
    await turning.stop()

    expect(ended).toBe(true)
    expect(performance.now() - startedAt).toBeLessThan(longMs / 10)
  })
})

describe('a pause', () => {
  test('ends early, and without an error, when it is aborted', async () => {
    const stopping = new AbortController()

    const pausing = pause(longMs, stopping.signal)
    stopping.abort()
    await pausing
    await pause(longMs, stopping.signal)

    expect(stopping.signal.aborted).toBe(true)
  })
})
