/** The services of `npm start`: Paddle's simulator unless there is a real one, the API that its webhooks reach, and the workers. */
import { join, relative } from 'node:path'

import type { BusinessClock } from '../runtime/clock.ts'
import { configuredPaddle, sendWebhooksTo, startOwnSimulator, type PaddlePlace } from './paddle-place.ts'
import { watchLog } from './log-watch.ts'
import { startApiProcess, startWorkerProcess, type Stack } from './stack.ts'

export type Services = { paddle: PaddlePlace; apiUrl: string; stop: () => Promise<void> }

/**
 * All or none. What goes wrong in one of them is said with the place of its log.
 *
 * Shape: `clock` is what all of them run by, where it is not the real time.
 */
export async function startServices(
  stack: Stack,
  log: (message: string) => void,
  clock?: BusinessClock,
): Promise<Services> {
  const started: { stop: () => Promise<void> }[] = []
  const stop = async (): Promise<void> => {
    // The last first: the workers may still be asking Paddle something.
    for (const service of started.toReversed()) await service.stop()
  }
  const watch = async (name: string): Promise<void> => {
    const path = join(stack.logDirectory, `${name}.log`)
    const shown = relative(process.cwd(), path)
    started.push(
      await watchLog(path, (error) => log(`the ${name} logged an error, "${error}": see ${shown}`)),
    )
  }
  try {
    const configured = configuredPaddle()
    const own = configured === null ? await startOwnSimulator(stack, clock) : null
    if (own !== null) started.push(own)
    const paddle = own ?? configured
    if (paddle === null) throw new Error('there is neither a Paddle nor a simulator')
    const environment = {
      ...paddle.environment,
      ...(clock === undefined ? {} : { WALLET_CLOCK: clock.setting }),
    }
    await watch('api')
    const api = await startApiProcess(stack, log, environment)
    started.push(api)
    await sendWebhooksTo(paddle, api.url)
    await watch('workers')
    started.push(await startWorkerProcess(stack, log, environment))
    return { paddle, apiUrl: api.url, stop }
  } catch (error) {
    await stop()
    throw error
  }
}
