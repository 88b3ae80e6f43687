/**
 * Reading Paddle's lists to their end. The SDK would turn a page's entities into objects, and one entity that it does not
 * expect would then hide the whole page: so pages are read as the wire has them, and each entity is understood by itself.
 */
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
 *         Paddle says of it, or after a page that is `enough`. A page that is refused refuses the whole list.
 */
export async function listAll(
  client: PaddleClient,
  operation: string,
  open: (paddle: Paddle) => Pages,
  { isEnough = () => false }: { isEnough?: (page: readonly unknown[]) => boolean } = {},
): Promise<Listed | PaddleRefusal> {
  let opened: Pages | undefined
  const items = new Map<string, unknown>()
  for (;;) {
    const answer = await client(operation, async (paddle) => {
      const pages = opened ?? Object.assign(open(paddle), { fromJson: (wire: unknown) => wire })
      return { pages, page: await pages.next() }
    })
    if (answer.outcome !== 'answered') return answer
    const { pages, page } = answer.answer
    const before = items.size
    for (const item of page) items.set(nameOf(item), item)
    if (!pages.hasMore || items.size === before || isEnough(page)) {
      return { outcome: 'listed', items: [...items.values()] }
    }
    opened = pages
  }
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
