/**
 * Usage over HTTP: for a service that wants a promise. An event that is accepted is in Postgres before the answer, and from
 * there on it is posted exactly once, whatever Redis does. A bad event stops no other.
 */
import { z } from 'zod'

import { describeIssues } from '../billing/parse-issues.ts'
import { takeInUsage, type TakenIn } from '../db/take-in-usage.ts'
import { kindOf, usageArrival, type UsageArrival } from '../jobs/usage-arrival.ts'
import { callEnded, messageSent } from '../jobs/usage-jobs.ts'
import { workspaceOf, type Api, type RouteContext } from './api.ts'
import { refusal } from './errors.ts'

const mostEvents = 500
const mostBytes = 1_048_576

const resultShape = z.object({
  result: z.enum(['accepted', 'duplicate', 'refused']),
  kind: z.enum(['call', 'message', 'unknown']),
  id: z.string().nullable().meta({ description: 'The call id or message id as it was sent.' }),
  reason: z
    .enum(['malformed', 'other_workspace', 'contradicts'])
    .optional()
    .meta({ description: '`contradicts`: the same id was told before with other content, and that stands.' }),
  field: z.string().optional(),
  message: z.string().optional(),
})

type Result = z.output<typeof resultShape>

const eventMeta = {
  description:
    'An event as a `usage-batch` job carries it, spelt the same (camelCase), so that both roads tell the same fact. ' +
    '`workspaceId` may be left out. A call: callId, startedAt, durationSeconds, recorded, and direction (outbound), to, from, ' +
    'agentId, campaignId. A message: messageId, sentAt, and chatId, agentId, campaignId. Unknown fields are refused.',
  examples: [
    {
      kind: 'call',
      callId: 'call_0a1b2c3d',
      startedAt: '2026-11-01T10:00:00Z',
      durationSeconds: 61,
      to: '+14155550100',
      recorded: false,
    },
    { kind: 'message', messageId: 'msg_7f3a', sentAt: '2026-11-01T10:02:00Z', chatId: 'chat_9' },
  ],
}

export function registerUsageRoutes(api: Api, { db }: RouteContext): void {
  api.post(
    '/v1/usage',
    {
      config: { scope: 'write' },
      bodyLimit: mostBytes,
      schema: {
        summary: 'Tell usage',
        tags: ['Usage'],
        description:
          'Up to 500 calls that ended and messages that were sent. 202 means that what was accepted is stored and will be posted ' +
          'exactly once; telling it again is harmless (`duplicate`). Events that are refused are not kept: mend them and send ' +
          'them again. When every event is refused the answer is 400, or 409 when all of them contradict what was told before, ' +
          'with the same `results` in the error. What is well formed and cannot be priced is accepted, and set aside for review.',
        body: z.strictObject({
          events: z.array(z.unknown().meta(eventMeta)).min(1).max(mostEvents),
        }),
        response: {
          202: z.object({
            accepted: z.int(),
            duplicate: z.int(),
            refused: z.int(),
            results: z.array(resultShape).meta({ description: 'One for each event, in their order.' }),
          }),
        },
      },
    },
    async (request, reply) => {
      const workspaceId = workspaceOf(request)
      const read = request.body.events.map((event) => readEvent(event, workspaceId, new Date()))
      const arrivals = read.filter((each) => each.arrival !== null).map((each) => each.arrival)
      const taken = await db.transaction().execute((trx) => takeInUsage(trx, workspaceId, arrivals))
      let next = 0
      const results = read.map((each): Result => {
        if (each.arrival === null) return each.refused
        next += 1
        return resultOf(each.arrival, taken[next - 1])
      })
      const count = (name: Result['result']): number => results.filter((each) => each.result === name).length
      if (count('refused') === results.length) throw allRefused(results)
      void reply.code(202)
      return {
        accepted: count('accepted'),
        duplicate: count('duplicate'),
        refused: count('refused'),
        results,
      }
    },
  )
}

type ReadEvent = { arrival: UsageArrival; refused: null } | { arrival: null; refused: Result }

function readEvent(event: unknown, workspaceId: string, receivedAt: Date): ReadEvent {
  const kind = kindOf(event)
  const id = idOf(event)
  const refused = (problem: Pick<Result, 'reason' | 'field' | 'message'>): ReadEvent => ({
    arrival: null,
    refused: { result: 'refused', kind, id, ...problem },
  })
  if (typeof event !== 'object' || event === null || kind === 'unknown') {
    return refused({ reason: 'malformed', field: 'kind', message: 'kind: expected call or message' })
  }
  const { kind: _kind, ...fields } = { workspaceId, ...event } as Record<string, unknown>
  if (fields['workspaceId'] !== workspaceId) {
    const message = 'workspaceId: expected none, or the one whose key was used'
    return refused({ reason: 'other_workspace', field: 'workspaceId', message })
  }
  const parsed = (kind === 'call' ? callEnded : messageSent).schema.safeParse(fields)
  if (!parsed.success) {
    const [issue] = parsed.error.issues
    const field = issue?.code === 'unrecognized_keys' ? issue.keys[0] : issue?.path.map(String).join('.')
    return refused({ reason: 'malformed', field: field ?? '', message: describeIssues(parsed.error) })
  }
  return { arrival: usageArrival(kind, { kind, ...fields }, receivedAt), refused: null }
}

function resultOf(arrival: UsageArrival, taken: TakenIn | undefined): Result {
  const { kind } = arrival
  const id = arrival.event?.id ?? null
  if (taken === 'accepted' || taken === 'duplicate') return { result: taken, kind, id }
  return {
    result: 'refused',
    kind,
    id,
    reason: 'contradicts',
    field: kind === 'call' ? 'callId' : 'messageId',
    message: 'The same id was told before with other content, and that stands: find out which is true.',
  }
}

function allRefused(results: readonly Result[]) {
  const [first] = results
  const areContradictions = results.every((each) => each.reason === 'contradicts')
  return refusal({
    status: areContradictions ? 409 : 400,
    code: areContradictions ? 'usage_contradicts' : 'invalid_request',
    field: `events.0.${first?.field ?? ''}`,
    message: `None of the events was accepted. The first: ${first?.message ?? 'malformed'}.`.replace(
      /\.\.$/,
      '.',
    ),
    more: { results },
  })
}

function idOf(event: unknown): string | null {
  if (typeof event !== 'object' || event === null) return null
  const id: unknown = Reflect.get(event, 'callId') ?? Reflect.get(event, 'messageId')
  return typeof id === 'string' ? id.slice(0, 128) : null
}
