/** The stage of the money-in scripts: a simulator of the test's own that they find by the environment, and a narrow screen. */
import { expect, onTestFinished, vi } from 'vitest'

import { runCommand } from '../support/command.ts'
import type { ScriptEnd } from '../support/run-script.ts'
import type { Place } from '../support/fixtures.ts'
import { startTestPaddle, type TestPaddle } from '../support/paddle.ts'

/** A simulator. Every process that the test starts from now on finds it, until the next one; webhooks are lost unless told. */
export async function givenPaddle({
  webhooks = 'drop',
}: { webhooks?: 'drop' | 'deliver' } = {}): Promise<TestPaddle> {
  const paddle = await startTestPaddle()
  await paddle.control.webhooks({ mode: webhooks })
  await paddle.control.limits({ requestsPerMinute: null })
  pointTo(paddle.environment)
  onTestFinished(async () => {
    vi.unstubAllEnvs()
    await paddle.close()
  })
  return paddle
}

/** What the scripts find as Paddle. */
export function pointTo(environment: Record<string, string>): void {
  for (const [name, value] of Object.entries(environment)) vi.stubEnv(name, value)
}

/** Nothing is wider than a screen of 120 columns. */
export async function run(name: string, args: readonly string[], place?: Place): Promise<ScriptEnd> {
  const end = await runCommand(name, args, place)
  const wide = `${end.stdout}\n${end.stderr}`.split('\n').filter((line) => line.length > 120)
  expect(wide).toEqual([])
  return end
}

/** The first word of that kind in an output, such as `topup_...`. */
export function idIn(output: string, prefix: 'topup' | 'txn'): string {
  const found = new RegExp(`${prefix}_[A-Za-z0-9]+`).exec(output)?.[0]
  if (found === undefined) throw new Error(`there is no ${prefix}_ in:\n${output}`)
  return found
}
