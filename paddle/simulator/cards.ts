/** Cards: which numbers do what, and what a card answers when it is charged. A full number is looked at and forgotten. */
import type { IPaymentCardResponse, PaymentCardType } from '@paddle/paddle-node-sdk'
import { randomUUID } from 'node:crypto'

import type { DeclineCode } from './control-commands.ts'
import { notFound } from './api-refusal.ts'
import type { CardBehaviour, PaymentMethod } from './entities.ts'
import type { Simulation } from './simulation.ts'

export type TestCard = { number: string; meaning: string }

/** The pick list of the checkout page. */
export const testCards: readonly TestCard[] = [
  { number: '4242424242424242', meaning: 'always pays' },
  { number: '5555555555554444', meaning: 'always pays (Mastercard)' },
  { number: '4000000000000002', meaning: 'is declined' },
  { number: '4000000000009995', meaning: 'has not enough balance' },
  { number: '4000000000000069', meaning: 'has expired' },
  { number: '4000002760003184', meaning: 'pays now, is declined when charged later' },
]

export const goodCard = '4242424242424242'

/** What a number says at the checkout, and what it will say when it is charged later. */
export type CardAnswers = { atCheckout: DeclineCode | null; later: CardBehaviour }

/** Throws: nothing; a number that can not be one is `invalid_payment_details`. */
export function answersOf(number: string): CardAnswers {
  switch (digitsOf(number)) {
    case '4000000000000002':
      return { atCheckout: 'declined', later: { decline: 'declined' } }
    case '4000000000009995':
      return { atCheckout: 'not_enough_balance', later: { decline: 'not_enough_balance' } }
    case '4000000000000069':
      return { atCheckout: 'expired_card', later: { decline: 'expired_card' } }
    case '4000002760003184':
      return { atCheckout: null, later: { decline: 'declined' } }
    default:
      return isCardNumber(digitsOf(number))
        ? { atCheckout: null, later: 'ok' }
        : { atCheckout: 'invalid_payment_details', later: { decline: 'invalid_payment_details' } }
  }
}

export function cardOf(
  number: string,
  {
    year,
    cardholder,
    expiry,
  }: { year: number; cardholder: string; expiry?: { month: number; year: number } },
): IPaymentCardResponse {
  const digits = digitsOf(number)
  return {
    type: brandOf(digits),
    last4: digits.slice(-4).padStart(4, '0'),
    expiry_month: expiry?.month ?? 12,
    expiry_year: expiry?.year ?? year + 4,
    cardholder_name: cardholder,
  }
}

export function addPaymentMethod(
  simulation: Simulation,
  fields: Pick<PaymentMethod, 'customerId' | 'addressId' | 'card' | 'behaviour' | 'consented'>,
): PaymentMethod {
  const stamp = simulation.clock.stamp()
  const method: PaymentMethod = {
    ...fields,
    id: simulation.newId('paymtd'),
    storedPaymentMethodId: randomUUID(),
    savedAt: stamp,
    updatedAt: stamp,
  }
  simulation.world.paymentMethods.set(method.id, method)
  return method
}

export function setCardBehaviour(simulation: Simulation, id: string, behaviour: CardBehaviour): void {
  const method = simulation.world.paymentMethods.get(id)
  if (method === undefined) throw notFound(id)
  simulation.world.paymentMethods.set(id, { ...method, behaviour })
  simulation.changed()
}

/** Asks the card for money: null when it pays, else why not. A decline that was limited is used up. */
export function askCard(simulation: Simulation, method: PaymentMethod): DeclineCode | null {
  const behaviour = simulation.world.paymentMethods.get(method.id)?.behaviour ?? method.behaviour
  if (behaviour === 'ok') return null
  const { decline, times } = behaviour
  if (times === undefined) return decline
  if (times > 0) setCardBehaviour(simulation, method.id, { decline, times: times - 1 })
  return times > 0 ? decline : null
}

function digitsOf(number: string): string {
  return number.replaceAll(/[\s-]/g, '')
}

function brandOf(digits: string): PaymentCardType {
  if (digits.startsWith('4')) return 'visa'
  if (/^(?:5[1-5]|2[2-7])/.test(digits)) return 'mastercard'
  if (/^3[47]/.test(digits)) return 'american_express'
  return 'unknown'
}

/** Luhn: what a typing mistake breaks. */
function isCardNumber(digits: string): boolean {
  if (!/^\d{12,19}$/.test(digits)) return false
  let sum = 0
  for (const [index, digit] of digits.split('').toReversed().entries()) {
    const value = (digit.codePointAt(0) ?? 0) - 48
    const doubled = index % 2 === 1 ? value * 2 : value
    sum += doubled > 9 ? doubled - 9 : doubled
  }
  return sum % 10 === 0
}
