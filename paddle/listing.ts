/**
 * Reading Paddle's lists to their end. The SDK would turn a page's entities into objects, and one entity that it does not
 * expect would then hide the whole page: so pages are read as the wire has them, and each entity is understood by itself.
 */
import { setTimeout } from 'node:timers/promises'

import type { Paddle } from '@paddle/paddle-node-sdk'
import { z } from 'zod'

import type { PaddleClient } from './client.ts'
import type { Reading, Unreadable } from './facts.ts'
import type { PaddleRefusal } from './outcome.ts'

/** The SDK's collections, as far as they are used here. */
type Pages = { readonly hasMore: boolean; readonly next: () => Promise<unknown[]> }

export type Listed = { readonly outcome: 'listed'; readonly items: readonly unknown[] }

const named = z.union([
  z.object({ id: z.string() }).transform(({ id }) => id),
  z.object({ event_id: z.string() }).transform(({ event_id }) => event_id),
])

/**
 * Every entity of a list, as the wire has it, in the list's order.
 *
 * Shape:  each page is a call of its own. The list ends where Paddle says so, at a page that brings nothing new, whatever
 *         Paddle says of it, or after a page that is `enough`. A page that is refused refuses the whole list; only a
 *         `patient` reader, who has the whole history to read, waits when Paddle says that it asks too much.
 */
export async function listAll(
  client: PaddleClient,
  operation: string,
  open: (paddle: Paddle) => Pages,
  {
    isEnough = () => false,
    patient = false,
  }: { isEnough?: (page: readonly unknown[]) => boolean; patient?: boolean } = {},
): Promise<Listed | PaddleRefusal> {
  let opened: Pages | undefined
  const items = new Map<string, unknown>()
  let waits = 0
  for (;;) {
    const answer = await client(operation, async (paddle) => {
      const pages = opened ?? Object.assign(open(paddle), { fromJson: (wire: unknown) => wire })
      return { pages, page: await pages.next() }
    })
    if (patient && isTooMuch(answer) && waits < mostWaits) {
      waits += 1
      await setTimeout(answer.retryAfterMs ?? waitMs)
      continue
    }
    if (answer.outcome !== 'answered') return answer
    waits = 0
    const { pages, page } = answer.answer
    const before = items.size
    for (const item of page) items.set(nameOf(item), item)
    if (!pages.hasMore || items.size === before || isEnough(page)) {
      return { outcome: 'listed', items: [...items.values()] }
    }
    opened = pages
  }
}

/** In a row, for one page. */
const mostWaits = 12
/** Where Paddle does not say how long. */
const waitMs = 10_000

function isTooMuch(answer: {
  readonly outcome: string
  readonly code?: string
}): answer is Extract<PaddleRefusal, { outcome: 'not_processed' }> {
  return answer.outcome === 'not_processed' && answer.code === 'too_many_requests'
}

/** What could be understood of a list, and what could not. */
export function understood<Fact>(
  items: readonly unknown[],
  read: (wire: unknown) => Reading<Fact>,
): { readonly facts: readonly Fact[]; readonly unreadable: readonly Unreadable[] } {
  const facts: Fact[] = []
  const unreadable: Unreadable[] = []
  for (const reading of items.map(read)) {
    if (reading.outcome === 'read') facts.push(reading.fact)
    else unreadable.push(reading)
  }
  return { facts, unreadable }
}

function nameOf(item: unknown): string {
  const name = named.safeParse(item)
  return name.success ? name.data : JSON.stringify(item)
}
