import { describe, expect, test } from 'vitest'
import {
  decideAcceptance,
  explainSetAside,
  occurredAt,
  setAsideReasons,
  usageKey,
} from '../../billing/usage-event.ts'
import { givenCall, givenMessage } from './given.ts'

const now = new Date('2026-11-01T12:00:00Z')
const minuteMs = 60_000
const dayMs = 86_400_000

test('the same call has the same key whatever else is told about it, and another key than a message', () => {
  expect(usageKey(givenCall({ id: 'call_1', durationSeconds: 5 }))).toBe('call/call_1')
  expect(usageKey(givenCall({ id: 'call_1', durationSeconds: 9 }))).toBe('call/call_1')
  expect(usageKey(givenMessage({ id: 'msg_1' }))).toBe('message/msg_1')
})

test('a call becomes billable when it ends, to the nearest millisecond, and a message when it is sent', () => {
  const startedAt = new Date('2026-11-01T10:00:00.000Z')

  expect(occurredAt(givenCall({ startedAt, durationSeconds: 61.3 }))).toEqual(
    new Date('2026-11-01T10:01:01.300Z'),
  )
  expect(occurredAt(givenMessage({ sentAt: startedAt }))).toEqual(startedAt)
})

describe('an event is accepted', () => {
  test.each([
    ['up to five minutes ahead of our clock', givenMessage({ sentAt: after(5 * minuteMs) })],
    ['up to 35 days later', givenMessage({ sentAt: after(-35 * dayMs) })],
    ['when a long call began before the 35 days and ended within', call(-35.5 * dayMs, 43_200)],
    ['when it lasted nothing', call(-minuteMs, 0)],
    ['when it lasted a whole day', call(-dayMs, 86_400)],
  ])('%s', (_case, event) => {
    expect(decideAcceptance(event, now)).toBeNull()
  })
})

describe('an event is set aside', () => {
  test.each([
    [
      'from_the_future',
      'a millisecond beyond five minutes',
      givenMessage({ sentAt: after(5 * minuteMs + 1) }),
    ],
    ['from_the_future', 'when it would end beyond five minutes', call(0, 301)],
    ['from_the_future', 'when it would start beyond five minutes', call(6 * minuteMs, 0)],
    ['too_old', 'a millisecond beyond 35 days', givenMessage({ sentAt: after(-35 * dayMs - 1) })],
    ['impossible_duration', 'when it lasted less than nothing', call(-minuteMs, -1)],
    ['impossible_duration', 'when it lasted more than a day', call(-2 * dayMs, 86_400.001)],
    ['impossible_duration', 'when its duration is not a number', call(-minuteMs, Number.NaN)],
    ['impossible_duration', 'when it never ended', call(-minuteMs, Number.POSITIVE_INFINITY)],
    ['malformed_payload', 'when its date is no date', givenMessage({ sentAt: new Date(Number.NaN) })],
    ['malformed_payload', 'when its start is no date', call(Number.NaN, 1)],
  ])('%s: %s', (reason, _case, event) => {
    expect(decideAcceptance(event, now)).toBe(reason)
  })
})

test.each(setAsideReasons)('a person who meets %s is told in one sentence what to do', (reason) => {
  expect(explainSetAside(reason)).toMatch(/^[A-Z][^.]+: [^.]+\.$/)
})

function call(startedAfterMs: number, durationSeconds: number) {
  return givenCall({ startedAt: after(startedAfterMs), durationSeconds })
}

function after(ms: number): Date {
  return new Date(now.getTime() + ms)
}
