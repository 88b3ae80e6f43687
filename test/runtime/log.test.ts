// What stands in a log line when somebody logs what they should not have.
import { Writable } from 'node:stream'

import { describe, expect, test } from 'vitest'

import { BillingError } from '../../billing/billing-error.ts'
import { createLog, type Log } from '../../runtime/log.ts'

const canary = 'canary-7d3f'

describe('a log line', () => {
  const careless: [what: string, log: (log: Log) => void][] = [
    ['a configuration', (log) => log.info({ apiKey: canary, webhookSecrets: [canary], port: 8080 }, 'x')],
    ['a configuration within', (log) => log.info({ config: { paddle: { apiKey: canary } } }, 'x')],
    [
      'an environment',
      (log) => log.info({ env: { PADDLE_API_KEY: canary, PADDLE_WEBHOOK_SECRET: canary } }, 'x'),
    ],
    ['something deep', (log) => log.info({ a: { b: { c: { d: [{ secret: canary }] } } } }, 'x')],
    [
      'a secret with quotes',
      (log) => log.info({ secret: `"\\"${canary}"`, secrets: [`]"${canary}`, canary] }, 'x'),
    ],
    ['headers', (log) => log.info({ request: { headers: { authorization: canary, cookie: canary } } }, 'x')],
    ['a request of our own', (log) => log.info({ req: { headers: { authorization: canary } } }, 'x')],
    [
      'the error of an HTTP client',
      (log) =>
        log.error(
          { err: Object.assign(new Error('no'), { config: { headers: { Authorization: canary } } }) },
          'x',
        ),
    ],
    [
      'an error with its request',
      (log) =>
        log.error(
          { err: Object.assign(new Error('no'), { request: { path: canary }, options: { key: canary } }) },
          'x',
        ),
    ],
    [
      'the facts of an error',
      (log) => log.error({ err: new BillingError('no', 'no', { apiKey: canary }) }, 'x'),
    ],
    [
      'a connection',
      (log) => log.error({ err: Object.assign(new Error('no'), { client: { password: canary } }) }, 'x'),
    ],
    ['a body', (log) => log.info({ rawBody: canary, event: { rawBody: canary } }, 'x')],
    [
      'what a child always says',
      (log) => log.child({ apiKey: canary, paddle: { secret: canary } }).info('x'),
    ],
  ]

  test.for(careless)('has no secret in it although it was given %s', ([, write]) => {
    const line = lineOf(write)

    expect(line).not.toContain(canary)
    expect(line).toContain('[redacted]')
    expect(JSON.parse(line)).toMatchObject({ msg: 'x', process: 'test' })
  })

  const looks: [what: string, text: string, shown: string][] = [
    ['a live key', 'key pdl_live_apikey_01abc_XyZ123_AAA is wrong', 'key [redacted] is wrong'],
    ['a sandbox key', 'pdl_sdbx_apikey_01abc_XyZ123_AAA', '[redacted]'],
    ['the secret of a destination', 'PADDLE: pdl_ntfset_01abc_d/e+f=', 'PADDLE: [redacted]'],
    ['a bearer', 'authorization: Bearer abc.DEF-123', 'authorization: Bearer [redacted]'],
    ['a password in a URL', 'redis://:hunter2@localhost:6379', 'redis://:[redacted]@localhost:6379'],
    ['a password and a user', 'postgres://me:hunter2@h/db', 'postgres://me:[redacted]@h/db'],
  ]

  test.for(looks)('has no %s in its text, wherever that came from', ([, text, shown]) => {
    const line = lineOf((log) => log.error({ err: new Error(text), detail: { why: [text] } }, text))

    expect(JSON.parse(line)).toMatchObject({ msg: shown, err: { message: shown }, detail: { why: [shown] } })
    expect(line).not.toContain(text)
  })

  test('has everything else in it', () => {
    const fields = {
      workspaceId: 'ws_1',
      url: 'http://127.0.0.1:8080/webhooks/paddle',
      amountMicros: '4242424242424242',
      reason: 'wrong_signature',
      at: 1_770_000_000_000,
    }

    expect(JSON.parse(lineOf((log) => log.info(fields, 'x')))).toMatchObject(fields)
  })
})

function lineOf(write: (log: Log) => void): string {
  let text = ''
  const stream = new Writable({
    write: (chunk: Buffer, _encoding, done) => {
      text += chunk.toString()
      done()
    },
  })
  write(createLog('debug', 'test', stream))
  return text
}
