/**
 * The way to Paddle of a process that may have none: its SDK is a third of all that such a process would read, so it is read only
 * when the way is opened.
 */
import type { PaddleGateway, PaddleGatewayOptions } from './gateway.ts'

/**
 * Shape:  once in a process at a time; `close` it with the process.
 * Throws: as `createPaddleGateway`.
 */
export async function openPaddleGateway(
  options: PaddleGatewayOptions,
): Promise<{ gateway: PaddleGateway; close: () => Promise<void> }> {
  const [{ createPaddleGateway }, { installPaddleTransport }] = await Promise.all([
    import('./gateway.ts'),
    import('./transport.ts'),
  ])
  const { close } = installPaddleTransport()
  return { gateway: createPaddleGateway(options), close }
}
