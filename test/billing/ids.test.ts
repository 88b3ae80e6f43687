import { expect, test } from 'vitest'
import { agentId, callId, campaignId, chatId, messageId, workspaceId } from '../../billing/ids.ts'

const schemas = { workspaceId, callId, messageId, chatId, agentId, campaignId }

test.each([
  ['workspaceId', 'ws_1'],
  ['callId', 'call_0a1b2c3d'],
  ['callId', 'demo_1'],
  ['callId', 'test_1'],
  ['callId', 'interp_1'],
  ['callId', 'bridge_A-b_9'],
  ['callId', `call_${'x'.repeat(64)}`],
  ['messageId', 'msg_1'],
  ['chatId', 'chat_1'],
  ['agentId', 'any name: at all / 😀'],
  ['campaignId', 'x'.repeat(128)],
] as const)('a %s may be %j', (kind, text) => {
  expect(schemas[kind].parse(text)).toBe(text)
})

test.each([
  ['workspaceId', 'call_1'],
  ['workspaceId', 'ws_'],
  ['callId', 'ws_1'],
  ['callId', 'call_1\n'],
  ['callId', ' call_1'],
  ['callId', 'call_a:b'],
  ['callId', `call_${'x'.repeat(65)}`],
  ['messageId', 'message_1'],
  ['chatId', 'chat-1'],
  ['agentId', ''],
  ['agentId', 'x'.repeat(129)],
  ['agentId', 'nul\0'],
  ['campaignId', 'half a pair \ud83d'],
] as const)('a %s is never %j', (kind, text) => {
  expect(schemas[kind].safeParse(text).success).toBe(false)
})
