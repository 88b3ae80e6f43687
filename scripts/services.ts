/** The services of `npm start`: Paddle's simulator unless there is a real one, the API that its webhooks reach, and the workers. */
import { configuredPaddle, startOwnSimulator, type PaddlePlace } from './paddle-place.ts'
import { startApiProcess, startWorkerProcess, type Stack } from './stack.ts'

export type Services = { paddle: PaddlePlace; apiUrl: string; stop: () => Promise<void> }

/** All or none. */
export async function startServices(stack: Stack, log: (message: string) => void): Promise<Services> {
  const started: { stop: () => Promise<void> }[] = []
  const stop = async (): Promise<void> => {
    // The last first: the workers may still be asking Paddle something.
    for (const service of started.toReversed()) await service.stop()
  }
  try {
    const configured = configuredPaddle()
    const simulator = configured === null ? await startOwnSimulator() : null
    if (simulator !== null) started.push(simulator)
    const paddle = simulator ?? configured
    if (paddle === null) throw new Error('there is neither a Paddle nor a simulator')
    const api = await startApiProcess(stack, log, paddle.environment)
    started.push(api)
    await simulator?.setWebhookUrl(`${api.url}/webhooks/paddle`)
    started.push(await startWorkerProcess(stack, log, paddle.environment))
    return { paddle, apiUrl: api.url, stop }
  } catch (error) {
    await stop()
    throw error
  }
}
