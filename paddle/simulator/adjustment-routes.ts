/** `/adjustments`: refunds asked for through the API wait for approval. */
import { addAdjustment, getAdjustment, leftOf, takeFrom, type AdjustedItem } from './adjustments.ts'
import { invalidField } from './api-refusal.ts'
import { instantKey } from './clock.ts'
import type { Adjustment, Transaction } from './entities.ts'
import type { ListRules } from './lists.ts'
import { parseBody } from './parse-body.ts'
import { newAdjustment } from './request-shapes.ts'
import { answerList, param, type Answer, type ApiRequest, type Routes } from './routing.ts'
import type { Simulation } from './simulation.ts'
import { netOf, rateFromText } from './tax.ts'
import { getTransaction } from './transaction-store.ts'

export const adjustmentRoutes: Routes = {
  'GET /adjustments': (simulation, request) =>
    answerList(simulation, request, { all: simulation.world.adjustments.values(), rules }),
  'POST /adjustments': createAdjustment,
  'GET /adjustments/{id}/credit-note': (simulation, request) => ({
    status: 200,
    data: {
      url: `${simulation.url}/credit-notes/${getAdjustment(simulation, param(request, 'id')).id}.pdf`,
    },
  }),
}

const rules: ListRules<Adjustment> = {
  idOf: ({ id }) => id,
  fields: {
    id: ({ id }) => id,
    action: ({ action }) => action,
    status: ({ status }) => status,
    customer_id: ({ customer_id: customerId }) => customerId,
    subscription_id: ({ subscription_id: subscriptionId }) => subscriptionId,
    transaction_id: ({ transaction_id: transactionId }) => transactionId,
  },
  instants: {
    created_at: ({ created_at: at }) => at,
    updated_at: ({ updated_at: at }) => at,
  },
  orders: {
    created_at: ({ created_at: at }) => instantKey(at),
    updated_at: ({ updated_at: at }) => instantKey(at),
  },
  perPage: 10,
  mostPerPage: 50,
}

function createAdjustment(simulation: Simulation, request: ApiRequest): Answer {
  const body = parseBody(newAdjustment, request.body)
  const transaction = getTransaction(simulation, body.transaction_id)
  const items =
    body.items === undefined
      ? takeFrom(leftOf(simulation, transaction), null)
      : body.items.flatMap((item, index) =>
          chosenPart(simulation, transaction, { ...item, index, isExternal: body.tax_mode === 'external' }),
        )
  const adjustment = addAdjustment(simulation, {
    transaction,
    action: body.action,
    status: body.action === 'refund' ? 'pending_approval' : 'approved',
    items,
    reason: body.reason,
  })
  return { status: 201, data: adjustment }
}

/** An amount includes the tax unless the request says that taxes are external. */
function chosenPart(
  simulation: Simulation,
  transaction: Transaction,
  {
    item_id: itemId,
    type,
    amount = null,
    index,
    isExternal,
  }: {
    item_id: string
    type: 'full' | 'partial'
    amount?: string | null | undefined
    index: number
    isExternal: boolean
  },
): AdjustedItem[] {
  const left = leftOf(simulation, transaction).filter(({ line }) => line.id === itemId)
  const [item] = left
  if (item === undefined) throw invalidField(`items[${index}].item_id`, 'is not an item of this transaction')
  if (type === 'full') return takeFrom(left, null)
  if (amount === null) throw invalidField(`items[${index}].amount`, 'is required for a partial adjustment')
  const net = isExternal ? BigInt(amount) : netOf(BigInt(amount), rateFromText(item.line.tax_rate))
  return takeFrom(left, net)
}
