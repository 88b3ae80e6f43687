// The simulator as a process of its own: it says how to reach it, and ends when it is told to.
import { expect, onTestFinished, test } from 'vitest'

import { controlSimulator } from '../../../paddle/simulator/control.ts'
import { runScript, startScript, exitCodeOf } from '../../support/run-script.ts'
import { until } from '../../support/until.ts'

test('it prints what the wallet needs to find it, and ends at SIGTERM', async () => {
  const child = startScript('paddle-simulator', ['--port', '0'])
  onTestFinished(() => void child.kill('SIGKILL'))
  let printed = ''
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    printed += text
  })

  await until('it has said everything', () => printed.includes('PADDLE_SETUP_PRICE_ID='))
  const environment = Object.fromEntries(
    [...printed.matchAll(/^(PADDLE_\w+)=(.*)$/gm)].map(([, name = '', value = '']) => [name, value]),
  )
  const saved = await controlSimulator(environment['PADDLE_ENVIRONMENT'] ?? '').saveCard({
    workspaceId: 'ws_1',
  })
  child.kill('SIGTERM')

  expect(environment).toEqual({
    PADDLE_ENVIRONMENT: expect.stringMatching(/^http:\/\/127\.0\.0\.1:\d+$/),
    PADDLE_API_KEY: expect.stringMatching(/^pdl_sdbx_apikey_/),
    PADDLE_WEBHOOK_SECRET: expect.stringMatching(/^pdl_ntfset_/),
    PADDLE_PRODUCT_ID: expect.stringMatching(/^pro_[a-z\d]{26}$/),
    PADDLE_SETUP_PRICE_ID: expect.stringMatching(/^pri_[a-z\d]{26}$/),
  })
  expect(saved.subscriptionId).toMatch(/^sub_/)
  expect(await exitCodeOf(child)).toBe(0)
})

test.for([
  [['--port', 'high'], '--port: expected a whole number'],
  [['--webhook-url', 'ours'], '--webhook-url: expected an http or https URL'],
  [['now'], 'unexpected "now"'],
] as const)('%j is misuse', async ([args, said]) => {
  const { code, stderr } = await runScript('paddle-simulator', args)

  expect(code).toBe(2)
  expect(stderr).toContain(said)
})

test('--help says how to make things go wrong', async () => {
  const { code, stdout } = await runScript('paddle-simulator', ['--help'])

  expect(code).toBe(0)
  expect(stdout).toContain('/_sim/fault')
})
