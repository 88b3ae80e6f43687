/**
 * Loaded into a process of ours before its main, for faults that nobody can cause from outside: an event loop that stands still, and
 * a clock that jumps. Does nothing until it is told to over the process's channel.
 */

/** What may be told. */
export type Hook =
  /** Nothing else runs in that process for so long. */
  | { hook: 'block'; durationMs: number }
  /** What it thinks the time is, from now on; the clock that only goes forward is left alone. */
  | { hook: 'clock'; offsetMs: number }

let offsetMs = 0

process.on('message', (message: unknown) => {
  if (!isHook(message)) return
  if (message.hook === 'clock') setClock(message.offsetMs)
  else block(message.durationMs)
})

function block(durationMs: number): void {
  const until = performance.now() + durationMs
  while (performance.now() < until);
}

function setClock(to: number): void {
  offsetMs = to
  globalThis.Date = skewedDate
}

const realDate = Date
const realNow = Date.now.bind(Date)
const skewedNow = (): number => realNow() + offsetMs
const skewedDate = new Proxy(realDate, {
  construct: (target, given: unknown[], newTarget): Date =>
    Reflect.construct(target, given.length === 0 ? [skewedNow()] : given, newTarget),
  get: (target, name, receiver): unknown =>
    name === 'now' ? skewedNow : Reflect.get(target, name, receiver),
})

function isHook(message: unknown): message is Hook {
  return typeof message === 'object' && message !== null && 'hook' in message
}
