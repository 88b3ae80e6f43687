// Where a gateway may be pointed, and with which key.
import { describe, expect, test } from 'vitest'

import { paddleTargetOf } from '../../paddle/target.ts'

const liveKey = 'pdl_live_apikey_01gtgztp8f4kek3yd4g1wrksa3_canary'
const sandboxKey = 'pdl_sdbx_apikey_01gtgztp8f4kek3yd4g1wrksa3_canary'

describe('environments', () => {
  test.for([
    ['production', liveKey, 'https://api.paddle.com'],
    ['sandbox', sandboxKey, 'https://sandbox-api.paddle.com'],
    ['http://127.0.0.1:8081', sandboxKey, 'http://127.0.0.1:8081'],
    ['http://localhost:8081/', sandboxKey, 'http://localhost:8081'],
    ['http://[::1]:8081', sandboxKey, 'http://[::1]:8081'],
    ['production', 'a-key-of-the-older-kind', 'https://api.paddle.com'],
  ] as const)('%s with %s is %s', ([environment, key, origin]) => {
    expect(paddleTargetOf(environment, key)).toEqual({ origin })
  })

  test.for([
    '',
    'live',
    'constructor',
    'https://api.paddle.com',
    'https://127.0.0.1:8081',
    'http://169.254.169.254',
    'http://10.0.0.1:8081',
    'http://127.0.0.1.example.com:8081',
    'http://127.0.0.1:8081@example.com',
    'http://user:password@127.0.0.1:8081',
    'http://127.0.0.1:8081/v1',
    'http://127.0.0.1:8081?x=1',
    'file:///etc/passwd',
  ])('%j is refused', (environment) => {
    expect(() => paddleTargetOf(environment, sandboxKey)).toThrow(
      expect.objectContaining({ code: 'paddle_environment_refused' }),
    )
  })
})

describe('keys', () => {
  test.for([
    ['sandbox', liveKey, 'paddle_key_misplaced'],
    ['http://127.0.0.1:8081', liveKey, 'paddle_key_misplaced'],
    ['production', sandboxKey, 'paddle_key_misplaced'],
    ['sandbox', '', 'paddle_key_malformed'],
    ['sandbox', `${sandboxKey}\n`, 'paddle_key_malformed'],
    ['production', `pdl_live_${'canary'.repeat(50)}`, 'paddle_key_malformed'],
  ] as const)('in %s, %j is refused as %s without being repeated', ([environment, key, code]) => {
    const refusal = refusalOf(() => paddleTargetOf(environment, key))

    expect(refusal).toMatchObject({ code })
    expect(JSON.stringify([refusal, String(refusal)])).not.toContain('canary')
  })
})

function refusalOf(attempt: () => unknown): unknown {
  try {
    return attempt()
  } catch (error) {
    return error
  }
}
