import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'

import { BillingError } from '../../billing/billing-error.ts'
import { jobOf, type JobContract } from '../../jobs/contract.ts'
import { heartbeat } from '../../jobs/schedules.ts'
import { usageArrival } from '../../jobs/usage-arrival.ts'
import { callEnded, messageSent, usageBatch, usageReceived } from '../../jobs/usage-jobs.ts'
import { workspaceCreated } from '../../jobs/workspace-jobs.ts'
import { anyCall, anyMessage } from '../support/any-usage.ts'

const call = {
  callId: 'call_0a1b2c3d',
  workspaceId: 'ws_acme',
  startedAt: '2026-11-01T10:00:00Z',
  durationSeconds: 61,
  to: '+14155550100',
  recorded: true,
}
const message = { messageId: 'msg_1', workspaceId: 'ws_acme', sentAt: '2026-11-01T10:00:00Z' }

describe('a job id', () => {
  test('names the fact and its content', () => {
    expect(jobOf(callEnded, call).jobId).toMatch(/^call-ended_call_0a1b2c3d_[0-9a-f]{24}$/)
    expect(jobOf(messageSent, message).jobId).toMatch(/^message-sent_msg_1_[0-9a-f]{24}$/)
    expect(jobOf(usageBatch, { events: [{ kind: 'call', ...call }] }).jobId).toMatch(
      /^usage-batch_[0-9a-f]{24}$/,
    )
    expect(jobOf(workspaceCreated, { workspaceId: 'ws_acme' }).jobId).toBe('workspace-created_ws_acme')
    expect([usageReceived, heartbeat].map((contract) => jobOf(contract, {}).jobId)).toEqual([
      'usage-received',
      'heartbeat',
    ])
  })

  test('is the same for the same content, however it is written down', () => {
    const retellings = [
      { ...call, startedAt: '2026-11-01T11:00:00+01:00' },
      { ...call, startedAt: new Date('2026-11-01T10:00:00Z') },
      { ...call, durationSeconds: 61.0, direction: 'outbound' as const, agentId: undefined },
      {
        recorded: true,
        to: call.to,
        durationSeconds: 61,
        startedAt: call.startedAt,
        workspaceId: 'ws_acme',
        callId: call.callId,
      },
    ]

    const ids = new Set([call, ...retellings].map((retelling) => jobOf(callEnded, retelling).jobId))

    expect(ids.size).toBe(1)
  })

  test('is another one for every content that is another', () => {
    const contradictions = [
      { ...call, durationSeconds: 61.5 },
      { ...call, recorded: false },
      { ...call, to: '+14155550101' },
      { ...call, startedAt: '2026-11-01T10:00:00.001Z' },
      { ...call, direction: 'web' as const },
      { ...call, agentId: 'agent_ada' },
      { ...call, workspaceId: 'ws_other' },
    ]

    const ids = new Set(
      [call, ...contradictions].map((contradiction) => jobOf(callEnded, contradiction).jobId),
    )

    expect(ids.size).toBe(contradictions.length + 1)
  })

  test('is one that BullMQ takes, whatever the content: short, and without a colon', () => {
    fc.assert(
      fc.property(anyCall, anyMessage, (anyOfCalls, anyOfMessages) => {
        const events = [
          { kind: 'call' as const, ...anyOfCalls },
          { kind: 'message' as const, ...anyOfMessages },
        ]
        const ids = [
          jobOf(callEnded, anyOfCalls).jobId,
          jobOf(messageSent, anyOfMessages).jobId,
          jobOf(usageBatch, { events }).jobId,
          jobOf(workspaceCreated, { workspaceId: anyOfCalls.workspaceId }).jobId,
        ]
        expect(ids.filter((id) => !/^[A-Za-z][A-Za-z0-9_-]{0,127}$/.test(id))).toEqual([])
        expect(jobOf(callEnded, { ...anyOfCalls }).jobId).toBe(ids[0])
      }),
      { numRuns: 300 },
    )
  })
})

describe('a payload', () => {
  test('is refused with the name of every field that is wrong', () => {
    const { code, message } = refusalFor(callEnded, {
      callId: 'call:1',
      workspaceId: 'acme',
      startedAt: 'yesterday',
      durationSeconds: -1,
      direction: 'sideways',
      to: '4155550100',
      from: 'anonymous',
      recorded: 'yes',
      agentId: '',
      campaignId: 'x'.repeat(129),
    })

    expect(code).toBe('invalid_payload')
    const fields = [...Object.keys(call), 'direction', 'from', 'agentId', 'campaignId']
    expect(fields.filter((field) => !message.includes(`${field}: `))).toEqual([])
  })

  test('is refused with the name of every field that is missing', () => {
    expect(refusalFor(callEnded, {}).message).toMatch(
      /^call-ended was not enqueued: callId: .*workspaceId: .*startedAt: .*durationSeconds: .*recorded: /,
    )
    expect(refusalFor(messageSent, {}).message).toMatch(/messageId: .*workspaceId: .*sentAt: /)
    expect(refusalFor(workspaceCreated, {}).message).toMatch(/workspaceId: /)
    expect(refusalFor(usageBatch, {}).message).toMatch(/events: /)
  })

  test('is refused with the name of a field that nobody knows: a typing error must not become a default', () => {
    expect(refusalFor(callEnded, { ...call, duration: 5 }).message).toContain('duration: unknown field')
    expect(refusalFor(messageSent, { ...message, text: 'hello' }).message).toContain('text: unknown field')
    expect(refusalFor(workspaceCreated, { workspaceId: 'ws_a', plan: 'pro' }).message).toContain(
      'plan: unknown field',
    )
    expect(refusalFor(usageBatch, { events: [{ kind: 'call', ...call, cost: 1 }] }).message).toContain(
      'events.0.cost: unknown field',
    )
  })

  test('with a field that nobody knows yet is read by the workers, which ignore it', () => {
    const newer = { ...call, codec: 'opus', transfers: [1, 2] }

    const arrival = usageArrival('call', newer, new Date())

    expect(arrival.refusal).toBeNull()
    expect(arrival.payloadHash).toBe(usageArrival('call', call, new Date()).payloadHash)
    expect(JSON.parse(arrival.payload)).toEqual(newer)
  })

  test.for([
    ['the duration', callEnded, { ...call, durationSeconds: Number.NaN }],
    ['the duration', callEnded, { ...call, durationSeconds: Number.POSITIVE_INFINITY }],
    ['the duration', callEnded, { ...call, durationSeconds: 86_400.1 }],
    ['the duration', callEnded, { ...call, durationSeconds: '61' }],
    ['the start', callEnded, { ...call, startedAt: '2026-02-30T10:00:00Z' }],
    ['the start', callEnded, { ...call, startedAt: '2026-11-01T10:00:00' }],
    ['the start', callEnded, { ...call, startedAt: 1_793_527_200 }],
    ['the start', callEnded, { ...call, startedAt: new Date(Number.NaN) }],
    ['the number', callEnded, { ...call, to: '+1 415 555 0100' }],
    ['the number', callEnded, { ...call, to: '+0123456789' }],
    ['the agent', callEnded, { ...call, agentId: 'a\0b' }],
    ['the agent', callEnded, { ...call, agentId: '\ud800' }],
    ['the length', usageBatch, { events: [] }],
    ['the length', usageBatch, { events: Array.from({ length: 501 }, () => ({ kind: 'call', ...call })) }],
    ['the kind', usageBatch, { events: [call] }],
    ['the kind', usageBatch, { events: [{ kind: 'fax', ...call }] }],
    ['the form', callEnded, null],
    ['the form', callEnded, []],
    ['the form', callEnded, 'call'],
  ] as const)('is refused for %s', ([, contract, payload]) => {
    expect(refusalFor(contract, payload).code).toBe('invalid_payload')
  })

  test('of 500 events is a batch', () => {
    const events = Array.from({ length: 500 }, (_, index) => ({
      kind: 'call' as const,
      ...call,
      callId: `call_${index}`,
    }))

    expect(jobOf(usageBatch, { events }).name).toBe('usage-batch')
  })

  test('says the same after its journey through JSON', () => {
    const { data } = jobOf(callEnded, { ...call, startedAt: new Date('2026-11-01T10:00:00Z') })

    const arrived = usageArrival('call', JSON.parse(JSON.stringify(data)), new Date())

    expect(arrived.payloadHash).toBe(usageArrival('call', call, new Date()).payloadHash)
  })
})

test('a usage job is tried eight times, disappears when it is done, and stays when it failed', () => {
  const options = [callEnded, messageSent, usageBatch].map((contract) => contract.options)

  for (const each of options) {
    expect(each).toMatchObject({ attempts: 8, removeOnComplete: true, removeOnFail: false })
    expect(each.backoff).toEqual({ type: 'exponential', delay: 500, jitter: 0.5 })
  }
})

/** What a producer in plain JavaScript is told: no type checker stands before it. */
function refusalFor(
  contract: JobContract<string, never> | object,
  payload: unknown,
): { code: string; message: string } {
  try {
    Reflect.apply(jobOf, undefined, [contract, payload])
  } catch (error) {
    if (error instanceof BillingError) return { code: error.code, message: error.message }
    throw error
  }
  throw new Error('it was taken')
}
