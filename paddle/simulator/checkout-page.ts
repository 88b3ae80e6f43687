/** The hosted checkout, which a customer reads and fills in. */
import type { Simulation } from './simulation.ts'

export type PageRequest = { method: string; url: URL; body: string }

export type PageAnswer = { status: number; headers: Record<string, string>; html: string }

/** Null for an address that is not one of the pages. */
export function answerCheckout(_simulation: Simulation, { url }: PageRequest): PageAnswer | null {
  return url.pathname.startsWith('/checkout/') ? { status: 501, headers: {}, html: '' } : null
}
