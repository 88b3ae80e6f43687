/** Ending well: the first signal starts one orderly shutdown, further ones are ignored, and it never takes for ever. */
import type { Log } from './log.ts'

/**
 * On SIGTERM, SIGINT or the loss of the parent's channel: runs `close`, then exits with 0; with 1 when it failed or took
 * longer than `deadlineMs`. Being cut off is safe, only slower to recover: unfinished jobs are found stalled and run again.
 */
export function closeOnSignal(
  close: () => Promise<void>,
  { log, deadlineMs = 25_000 }: { log: Log; deadlineMs?: number },
): void {
  let closing = false
  const end = (cause: string): void => {
    if (closing) return
    closing = true
    log.info({ cause }, 'shutting down')
    setTimeout(() => {
      log.error({ deadlineMs }, 'shutdown took too long')
      process.exit(1)
    }, deadlineMs).unref()
    close().then(
      () => {
        log.info('shut down')
        process.exit(0)
      },
      (error: unknown) => {
        log.error({ err: error }, 'shutdown failed')
        process.exit(1)
      },
    )
  }
  process.on('SIGTERM', () => end('SIGTERM'))
  process.on('SIGINT', () => end('SIGINT'))
  process.on('disconnect', () => end('parent is gone'))
}
