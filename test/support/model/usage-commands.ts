/** Commands of the model test about usage and what is held for calls. */
import { expect } from 'vitest'

import { admitCalls } from '../../../db/admission.ts'
import { expireSilentHolds } from '../../../db/hold.ts'
import { releaseCall } from '../../../db/live-call.ts'
import { postUsage } from '../../../db/post-usage.ts'
import type { Tx } from '../../../db/schema.ts'
import { usageArrival } from '../../../jobs/usage-arrival.ts'
import { quarterHour, rateBookOf } from '../given-calls.ts'
import * as model from './wallet-model.ts'
import type { Call } from './wallet-model.ts'
import { type Command, type Scene, pick } from './scene.ts'

type Told = { wallet: number; id: number; seconds: number; ago: number; recorded: boolean }

const idOf = (scene: Scene, id: number): string => `call_${scene.payer.workspaceId.slice(3)}_${id}`

export function post({ id, seconds, ago, recorded }: Told): Command['run'] {
  return (scene) => {
    const startedAt = scene.m.now - ago * 1_000 - seconds * 1_000
    return tell(scene, { id: idOf(scene, id), startedAt, seconds, recorded })
  }
}

async function tell(scene: Scene, call: Call): Promise<string> {
  const outcome = await scene.transact((trx) => tellIn(trx, scene, call))
  expect(outcome).toBe(model.postCall(scene.m, scene.w, call))
  return outcome
}

export async function tellIn(trx: Tx, { payer, now }: Scene, call: Call): Promise<string> {
  const arrival = usageArrival(
    'call',
    {
      callId: call.id,
      workspaceId: payer.workspaceId,
      startedAt: new Date(call.startedAt).toISOString(),
      durationSeconds: call.seconds,
      to: '+14155550100',
      recorded: call.recorded,
    },
    now,
  )
  const [posted] = await postUsage(trx, [arrival], rateBookOf)
  return posted?.outcome ?? 'nothing'
}

export function replay({ which }: { wallet: number; which: number }): Command['run'] {
  return async (scene) => {
    const known = pick([...scene.w.usage.values()], which)
    return known === undefined ? 'nothing' : await tell(scene, known.call)
  }
}

export function replayMutated({ which }: { wallet: number; which: number }): Command['run'] {
  return async (scene) => {
    const known = pick([...scene.w.usage.values()], which)
    if (known === undefined) return 'nothing'
    return await tell(scene, { ...known.call, seconds: known.call.seconds + 1 })
  }
}

export function hold({ id }: { wallet: number; id: number }): Command['run'] {
  return async (scene) => {
    const outcome = await scene.transact((trx) => holdIn(trx, scene, id))
    expect(outcome).toBe(model.admitCall(scene.m, scene.w, idOf(scene, id)))
    return outcome
  }
}

export async function holdIn(trx: Tx, scene: Scene, id: number): Promise<string> {
  const call = { workspaceId: scene.payer.workspaceId, callId: idOf(scene, id), recorded: false }
  const asked = [{ ...call, direction: 'outbound' as const, to: '+14155550100' }]
  const [admitted] = await admitCalls(trx, asked, rateBookOf, quarterHour)
  return admitted?.outcome ?? 'nothing'
}

/** The usage of a call that is held for, while it is. */
export function capture({ id, seconds }: { wallet: number; id: number; seconds: number }): Command['run'] {
  return async (scene) => {
    const held = scene.w.holds.get(idOf(scene, id))
    if (held?.state !== 'open') return 'nothing'
    const startedAt = scene.m.now - seconds * 1_000
    return await tell(scene, { id: idOf(scene, id), startedAt, seconds, recorded: false })
  }
}

/** The usage of a call that nobody had heard of for so long that its hold is gone. */
export function lateCapture({ id }: { wallet: number; id: number }): Command['run'] {
  return async (scene) => {
    const held = scene.w.holds.get(idOf(scene, id))
    if (held === undefined || held.state === 'open') return 'nothing'
    return await tell(scene, {
      id: idOf(scene, id),
      startedAt: scene.m.now - 900_000,
      seconds: 600,
      recorded: true,
    })
  }
}

export function releaseTheHold({ id }: { wallet: number; id: number }): Command['run'] {
  return async (scene) => {
    const { outcome } = await scene.underLock((trx, wallet) => releaseCall(trx, wallet, idOf(scene, id)))
    expect(outcome).toBe(model.releaseHold(scene.w, idOf(scene, id)))
    return outcome
  }
}

export function expireHold(): Command['run'] {
  return async ({ m, transact }) => {
    const { expired } = await transact((trx) => expireSilentHolds(trx, 500))
    model.expireHolds(m)
    return expired > 0 ? 'expired' : 'nothing'
  }
}
