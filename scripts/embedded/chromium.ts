// A headless Chromium as a child process, that can reach nothing but this machine. It ends with whoever started it, however
// that ends: it is spoken to through a pipe, and quits when the pipe breaks.
import { resolve } from 'node:path'

import { chromium, type Browser } from 'playwright-core'

import { getChromiumBinary } from './chromium-binary.ts'

const cacheDirectory = resolve(import.meta.dirname, '..', '..', '.cache')

/** Throws an error that lists what was tried and the ways out when this machine has no Chromium. */
export async function launchChromium({ log }: { log: (message: string) => void }): Promise<Browser> {
  const { path, environment } = await getChromiumBinary({ environment: process.env, cacheDirectory, log })
  return await chromium.launch({
    executablePath: path,
    env: environment,
    args: [
      // No name but this machine's means anything to it: what a page asks of another host never leaves.
      '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost',
      // The same shapes of letters on every machine, and no colours in them.
      '--font-render-hinting=none',
      '--disable-lcd-text',
    ],
  })
}
