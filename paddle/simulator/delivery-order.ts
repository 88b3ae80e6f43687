/** In which order what happened together is told: as it happened, backwards, or mixed in a way that repeats. */
import type { WebhookPolicy } from './control-commands.ts'

/** Shape: `turn` tells one batch from the next, so that a seed does not mix them all alike. */
export function inOrder<Item>(batch: readonly Item[], policy: WebhookPolicy, turn: number): Item[] {
  if (policy.order === 'reversed') return batch.toReversed()
  if (policy.order !== 'shuffled') return [...batch]
  const random = randomFrom((policy.seed ?? 1) + turn)
  const shuffled = [...batch]
  for (let at = shuffled.length - 1; at > 0; at -= 1) {
    const other = Math.floor(random() * (at + 1))
    const [one, two] = [shuffled[at], shuffled[other]]
    if (one !== undefined && two !== undefined) [shuffled[at], shuffled[other]] = [two, one]
  }
  return shuffled
}

/** Small and repeatable (mulberry32): the same seed shuffles the same way. */
function randomFrom(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}
