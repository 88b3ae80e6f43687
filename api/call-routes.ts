/**
 * Calls: may one start, does it go on, has it ended. The platform dials; a call here is its id, its place, and what is held for
 * it. An answer of 201 means that the money for its first minute is set aside.
 */
import { z } from 'zod'

import type { CallToAdmit, NoPrice } from '../billing/admission.ts'
import { agentId, callId, campaignId } from '../billing/ids.ts'
import { longestCallSeconds } from '../billing/usage-event.ts'
import { findCall, findHold, listUnbilledCalls, type Hold } from '../db/hold.ts'
import { extendCall, noteHangUp, releaseCall } from '../db/live-call.ts'
import { createRateBookCache } from '../db/rate-book.ts'
import type { Db } from '../db/schema.ts'
import { takeInUsage } from '../db/take-in-usage.ts'
import { withLockedWallet } from '../db/wallet.ts'
import { usageArrival } from '../jobs/usage-arrival.ts'
import { callPayload } from '../jobs/usage-jobs.ts'
import { createAdmissionBatch, type AdmissionBatch, type DecidedAdmission } from './admission-batch.ts'
import { workspaceOf, type Api, type RouteContext } from './api.ts'
import { refusal } from './errors.ts'
import { digitsFor, idempotencyHeaders, reusedKey } from './idempotency.ts'
import { insufficientBalance, usdNumberUp, walletFrozen } from './insufficient-balance.ts'
import { usdNumber, usdText } from './money.ts'
import { noWallet } from './wallet-routes.ts'

export type AdmissionOptions = {
  /** Where calls are admitted: connections of their own, so that nothing else makes a call wait. */
  db: Db
  /** How long a call that nobody mentions keeps its hold. */
  silentAfterMs: number
}

const defaultSilentAfterMs = 900_000

type CallContext = RouteContext & { admissions: AdmissionBatch; silentAfterMs: number }

export function registerCallRoutes(
  api: Api,
  { db, log, admission }: RouteContext & { admission?: AdmissionOptions | undefined },
): void {
  const { silentAfterMs, ...own } = admission ?? { db, silentAfterMs: defaultSilentAfterMs }
  const admissions = createAdmissionBatch({ ...own, log, silentAfterMs })
  api.addHook('onClose', async () => await admissions.close())
  const context = { db, log, admissions, silentAfterMs }
  registerStart(api, context)
  registerReads(api, context)
  registerExtend(api, context)
  registerEnd(api, context)
  registerRelease(api, context)
}

const phoneNumber = callPayload.shape.to.unwrap().meta({ examples: ['+14155550100'] })
const durationSeconds = z
  .number()
  .min(0)
  .max(longestCallSeconds)
  .meta({ description: 'Talk time in seconds; fractions allowed.', examples: [61.5] })

const startBody = z
  .strictObject({
    to_number: phoneNumber.optional().meta({ description: 'The number called, E.164. Needed for outbound.' }),
    to: phoneNumber.optional().meta({ description: 'Another name of `to_number`.' }),
    from_number: phoneNumber
      .optional()
      .meta({ description: "The caller's number, E.164; of an inbound call, left out when it is withheld." }),
    direction: z.enum(['outbound', 'inbound', 'web']).default('outbound'),
    recorded: z
      .boolean()
      .default(false)
      .meta({ description: 'A recorded call costs more, and more is held.' }),
    agent_id: agentId.optional(),
    campaign_id: campaignId.optional(),
    call_id: callId.optional().meta({
      description:
        'Made for you when left out, out of the `Idempotency-Key` where there is one. Asking again with the same one is safe.',
    }),
    metadata: z
      .record(z.string(), z.unknown())
      .optional()
      .meta({ description: 'Taken for the sake of existing clients, and not kept.' }),
  })
  .superRefine((body, context) => {
    const issue = (field: string, message: string): void =>
      context.addIssue({ code: 'custom', path: [field], message })
    const { to_number: toNumber, to } = body
    if (toNumber !== undefined && to !== undefined && to !== toNumber) {
      issue('to_number', 'expected the same number as in `to`, or only one of the two')
    }
    if (body.direction === 'outbound' && toNumber === undefined && to === undefined) {
      issue('to_number', 'expected the number to call, such as +14155550100')
    }
  })

const startHeaders = z.looseObject({
  'idempotency-key': idempotencyHeaders.shape['idempotency-key'].meta({
    description:
      'A name that you choose for this request. Without a `call_id` the id is made out of it: sent again while the call lives, it ' +
      'is the same call, and nothing more is held.',
    examples: ['8e03978e-40d5-43dd-bc93-6894a57f9324'],
  }),
})

const callShape = z.object({
  call_id: z.string(),
  status: z.enum(['pending', 'in_progress', 'ended', 'completed', 'failed']).meta({
    description:
      '`pending` until it is first heard of, `ended` when it was hung up or went silent, `completed` when its usage is posted, ' +
      '`failed` when it was released.',
  }),
  direction: z.enum(['outbound', 'inbound', 'web']),
  to_number: z.string().nullable(),
  from_number: z.string().nullable(),
  recorded: z.boolean(),
  agent_id: z.string().nullable(),
  campaign_id: z.string().nullable(),
  hold_state: z.enum(['open', 'settled', 'released', 'expired']),
  hold_usd: z
    .number()
    .meta({ description: 'What is, or was, set aside for it. Rounded up to the cent.', examples: [0.2] }),
  start_timestamp: z.int().meta({ description: 'When it was admitted, in unix milliseconds.' }),
  end_timestamp: z.int().nullable().meta({ description: 'When it was told to be over, or was given up.' }),
})

const availableUsd = z
  .number()
  .meta({ description: 'Balance less all holds, this one included. Rounded down to the cent.' })
const affordsSeconds = z.int().meta({
  description: 'How long this call may last in all on its hold and on everything that is available now.',
  examples: [3_333],
})

const callParams = z.object({ call_id: callId })

function registerStart(api: Api, { admissions }: CallContext): void {
  api.post(
    '/v1/calls',
    {
      config: { scope: 'write' },
      schema: {
        summary: 'Admit a call',
        tags: ['Calls'],
        description:
          "Decides on what is available, and sets the destination's first minute aside, at least $0.20. Below that: 402 with " +
          'what is there and what it takes, and with `Retry-After` while the card is being charged. 403 `wallet_frozen`, 409 ' +
          '`call_exists` or `campaign_stopped`, 422 `unknown_destination`. Calls that are not heard of for a while lose their ' +
          'hold: extend them.',
        headers: startHeaders,
        body: startBody,
        response: {
          201: callShape.extend({
            required_usd: z
              .number()
              .meta({ description: 'What had to be there. Rounded up to the cent.', examples: [0.2] }),
            available_usd: availableUsd,
            affords_seconds: affordsSeconds,
          }),
        },
      },
    },
    async (request, reply) => {
      const { body, headers } = request
      const workspaceId = workspaceOf(request)
      const call: CallToAdmit = {
        workspaceId,
        callId: body.call_id ?? `call_${digitsFor(workspaceId, headers['idempotency-key'])}`,
        direction: body.direction,
        to: body.to_number ?? body.to,
        from: body.from_number,
        recorded: body.recorded,
        agentId: body.agent_id,
        campaignId: body.campaign_id,
      }
      const admission = await admissions.admit(call)
      const isKeyReused = admission.outcome === 'known_call' && admission.state === 'open'
      if (body.call_id === undefined && isKeyReused) throw reusedKey()
      const admitted = admittedOrRefused(call, admission)
      void reply.code(201).header('location', `/v1/calls/${call.callId}`)
      return {
        call_id: call.callId,
        status: 'pending' as const,
        direction: call.direction,
        to_number: call.to ?? null,
        from_number: call.from ?? null,
        recorded: call.recorded,
        agent_id: call.agentId ?? null,
        campaign_id: call.campaignId ?? null,
        hold_state: 'open' as const,
        hold_usd: usdNumberUp(admitted.holdMicros),
        start_timestamp: admitted.startedAt.getTime(),
        end_timestamp: null,
        required_usd: usdNumberUp(admitted.holdMicros),
        available_usd: usdNumber(admitted.availableMicros),
        affords_seconds: admitted.affordsSeconds,
      }
    },
  )
}

function admittedOrRefused(call: CallToAdmit, admission: DecidedAdmission) {
  if (admission.outcome === 'admitted') return admission
  if (admission.outcome === 'insufficient_balance') throw insufficientBalance(admission)
  if (admission.outcome === 'frozen') throw walletFrozen()
  if (admission.outcome === 'no_price') throw noPrice(call, admission.reason)
  if (admission.outcome === 'unknown_workspace') throw noWallet()
  if (admission.outcome === 'known_call') {
    const isLive = admission.state === 'open'
    throw refusal({
      status: 409,
      code: 'call_exists',
      field: 'call_id',
      message: isLive
        ? 'A call with this id is live, and it is not this one: give every call an id of its own.'
        : 'A call with this id has ended: give every call an id of its own.',
    })
  }
  throw refusal({
    status: 409,
    code: 'campaign_stopped',
    field: 'campaign_id',
    message:
      admission.status === 'paused'
        ? 'The campaign is paused: resume it before its calls start.'
        : `The campaign is ${admission.status}: its calls do not start any more.`,
    more: { campaign_status: admission.status },
  })
}

function noPrice({ direction }: CallToAdmit, reason: NoPrice) {
  const field = direction === 'inbound' ? 'from_number' : 'to_number'
  if (reason === 'no_rate_card') {
    const message = 'There is no price for any call just now: tell whoever runs this service.'
    return refusal({ status: 503, code: reason, message })
  }
  const message =
    reason === 'no_inbound_rate'
      ? 'There is no price for calls whose number is withheld: send from_number, or do not take the call.'
      : 'There is no price for calls to or from this number, and so no call: check it, or ask for its country to be added.'
  return refusal({ status: 422, code: reason, field, message })
}

function registerReads(api: Api, { db }: CallContext): void {
  api.get(
    '/v1/calls/unbilled',
    {
      config: { scope: 'read' },
      schema: {
        summary: 'Calls that were never billed',
        tags: ['Calls'],
        description:
          'Calls that were admitted, went silent, and of which no usage came that could be billed. Tell how each ended, or ' +
          'release it. Newest first.',
        querystring: z.strictObject({
          limit: z.coerce.number().pipe(z.int().min(1).max(100)).default(50),
          offset: z.coerce.number().pipe(z.int().min(0).max(1_000_000)).default(0),
        }),
        response: {
          200: z.object({
            calls: z.array(callShape),
            total: z.int(),
            limit: z.int(),
            offset: z.int(),
          }),
        },
      },
    },
    async (request) => {
      const { limit, offset } = request.query
      const workspaceId = workspaceOf(request)
      const { calls, total } = await listUnbilledCalls(db, { workspaceId, limit, offset })
      return { calls: calls.map(callOf), total, limit, offset }
    },
  )

  api.get(
    '/v1/calls/:call_id',
    {
      config: { scope: 'read' },
      schema: {
        summary: 'A call',
        tags: ['Calls'],
        params: callParams,
        response: {
          200: callShape.extend({
            cost_usd: z
              .string()
              .nullable()
              .meta({ description: 'What it came to, exactly; null until then.', examples: ['0.183000'] }),
          }),
        },
      },
    },
    async (request) => {
      const name = { workspaceId: workspaceOf(request), callId: request.params.call_id }
      const call = await findCall(db, name)
      if (call === null) throw noSuchCall()
      return { ...callOf(call.hold), cost_usd: call.costMicros === null ? null : usdText(call.costMicros) }
    },
  )
}

function registerExtend(api: Api, { db, silentAfterMs }: CallContext): void {
  const rateBookOf = createRateBookCache()
  api.post(
    '/v1/calls/:call_id/extend',
    {
      config: { scope: 'write' },
      schema: {
        summary: 'Go on with a call',
        tags: ['Calls'],
        description:
          'Says how long the call has lasted so far, about once a minute: all of that and a minute more is held from then on. ' +
          '402 with `should_end: true` when the wallet does not have it: the hold stays as it was, and `affords_seconds` says ' +
          'when to hang up. 409 `call_over` when it was hung up, released or given up.',
        params: callParams,
        body: z.strictObject({ duration_seconds: durationSeconds }),
        response: {
          200: callShape.extend({ available_usd: availableUsd, affords_seconds: affordsSeconds }),
        },
      },
    },
    async (request) => {
      const call = { callId: request.params.call_id, lastedSeconds: request.body.duration_seconds }
      const extension = await withLockedWallet(db, workspaceOf(request), (trx, wallet) =>
        extendCall(trx, wallet, call, rateBookOf, { silentAfterMs }),
      )
      if (extension === null || extension.outcome === 'unknown_call') throw noSuchCall()
      if (extension.outcome === 'over') throw callOver(extension.hold)
      if (extension.outcome === 'insufficient_balance') {
        throw insufficientBalance(extension, {
          message: 'Wallet balance below what the call needs to go on',
          should_end: true,
          affords_seconds: extension.affordsSeconds,
        })
      }
      return {
        ...callOf(extension.hold),
        available_usd: usdNumber(extension.availableMicros),
        affords_seconds: extension.affordsSeconds,
      }
    },
  )
}

const endBody = z
  .strictObject({
    duration_seconds: durationSeconds.optional(),
    started_at: z.iso
      .datetime({ offset: true })
      .optional()
      .meta({
        description: 'When talking began; the admission when left out.',
        examples: ['2026-11-01T10:00:00Z'],
      }),
    start_timestamp: z
      .int()
      .min(0)
      .max(4_102_444_800_000)
      .optional()
      .meta({ description: 'The same in unix milliseconds.' }),
    recorded: z.boolean().optional().meta({ description: 'As admitted when left out.' }),
  })
  .refine((body) => body.started_at === undefined || body.start_timestamp === undefined, {
    path: ['started_at'],
    error: 'expected either started_at or start_timestamp',
  })

function registerEnd(api: Api, { db, silentAfterMs }: CallContext): void {
  const ended = callShape.extend({
    usage: z.enum(['accepted', 'duplicate', 'awaited']).meta({
      description: '`duplicate`: it was told before. `awaited`: it is still to be told.',
    }),
  })
  api.post(
    '/v1/calls/:call_id/end',
    {
      config: { scope: 'write' },
      schema: {
        summary: 'End a call',
        tags: ['Calls'],
        description:
          'With `duration_seconds`, its usage is taken in as `POST /v1/usage` would: 202, stored, and posted within moments. ' +
          'Without it the end is noted, and the hold waits for the usage to come by another road: 200. Tell the usage of a call ' +
          'by one road only. A duration that contradicts the one that was told before: 409 `usage_contradicts`.',
        params: callParams,
        body: endBody.nullish(),
        response: { 200: ended, 202: ended },
      },
    },
    async (request, reply) => {
      const name = { workspaceId: workspaceOf(request), callId: request.params.call_id }
      const body = request.body ?? {}
      const { hold, taken } = await db.transaction().execute(async (trx) => {
        const before = await findHold(trx, name)
        if (before === null) throw noSuchCall()
        const told = body.duration_seconds === undefined ? [] : [usageOf(before, body)]
        const [taken = null] = await takeInUsage(trx, name.workspaceId, told)
        if (taken === 'contradicts') throw usageContradicts()
        return { taken, hold: (await noteHangUp(trx, name, { silentAfterMs })) ?? before }
      })
      void reply.code(taken === null ? 200 : 202)
      const usage = taken ?? (hold.state === 'settled' ? ('duplicate' as const) : ('awaited' as const))
      return { ...callOf(hold), usage }
    },
  )
}

/** The words that telephony would use for it, so that the two tellings of one call are one. */
function usageOf(hold: Hold, body: z.output<typeof endBody>) {
  const startedAt = body.started_at ?? body.start_timestamp ?? hold.startedAt
  return usageArrival(
    'call',
    {
      callId: hold.callId,
      workspaceId: hold.workspaceId,
      startedAt: new Date(startedAt).toISOString(),
      durationSeconds: body.duration_seconds,
      direction: hold.direction,
      to: hold.to ?? undefined,
      from: hold.from ?? undefined,
      recorded: body.recorded ?? hold.recorded,
      agentId: hold.agentId ?? undefined,
      campaignId: hold.campaignId ?? undefined,
    },
    new Date(),
  )
}

function registerRelease(api: Api, { db }: CallContext): void {
  api.post(
    '/v1/calls/:call_id/release',
    {
      config: { scope: 'write' },
      schema: {
        summary: 'A call that never happened',
        tags: ['Calls'],
        description:
          'Frees what was held for it; nothing is billed. 409 `call_billed` when its usage has been posted.',
        params: callParams,
        body: z.strictObject({}).nullish(),
        response: { 200: callShape },
      },
    },
    async (request) => {
      const release = await withLockedWallet(db, workspaceOf(request), (trx, wallet) =>
        releaseCall(trx, wallet, request.params.call_id),
      )
      if (release === null || release.outcome === 'unknown_call') throw noSuchCall()
      if (release.outcome === 'billed') {
        throw refusal({
          status: 409,
          code: 'call_billed',
          message: 'The usage of this call has been posted: it happened, and is not released any more.',
        })
      }
      return callOf(release.hold)
    },
  )
}

function callOf(hold: Hold): z.output<typeof callShape> {
  const overAt = hold.hungUpAt ?? hold.endedAt
  return {
    call_id: hold.callId,
    status: statusOf(hold),
    direction: hold.direction,
    to_number: hold.to,
    from_number: hold.from,
    recorded: hold.recorded,
    agent_id: hold.agentId,
    campaign_id: hold.campaignId,
    hold_state: hold.state,
    hold_usd: usdNumberUp(hold.amountMicros),
    start_timestamp: hold.startedAt.getTime(),
    end_timestamp: overAt === null ? null : overAt.getTime(),
  }
}

function statusOf(hold: Hold): z.output<typeof callShape>['status'] {
  if (hold.state === 'settled') return 'completed'
  if (hold.state === 'released') return 'failed'
  if (hold.state === 'expired' || hold.hungUpAt !== null) return 'ended'
  return hold.heardAt > hold.startedAt ? 'in_progress' : 'pending'
}

function callOver(hold: Hold) {
  return refusal({
    status: 409,
    code: 'call_over',
    message:
      hold.state === 'expired'
        ? 'This call was not heard of for too long and its hold was given up: end it, and tell its duration.'
        : 'This call is over: nothing more is held for it.',
    more: { should_end: true },
  })
}

function usageContradicts() {
  return refusal({
    status: 409,
    code: 'usage_contradicts',
    field: 'duration_seconds',
    message:
      'The usage of this call was told before with other content, and that stands: find out which is true.',
  })
}

function noSuchCall() {
  return refusal({
    status: 404,
    code: 'not_found',
    message: 'There is no such call in this workspace: check the id.',
  })
}
