/**
 * The names of things we bill for and the schemas that let them in. A name of one kind cannot be passed where another
 * is meant: each is a branded string, and parsing is the only way to get one.
 */
import { z } from 'zod'

/** What is said of a text that is not `isStorable`. */
export const notStorable = 'expected well-formed text without NUL characters'

/** What our own ids look like: `<prefix>_<1..64 of [A-Za-z0-9_-]>`. */
export const idPatterns = {
  workspace: /^ws_[A-Za-z0-9_-]{1,64}$/,
  call: /^(?:call|demo|test|interp|bridge)_[A-Za-z0-9_-]{1,64}$/,
  message: /^msg_[A-Za-z0-9_-]{1,64}$/,
  chat: /^chat_[A-Za-z0-9_-]{1,64}$/,
  topUp: /^topup_[A-Za-z0-9_-]{1,64}$/,
  phoneNumber: /^num_[0-9a-f]{24}$/,
} as const

export const workspaceId = idLike(
  idPatterns.workspace,
  'a workspace id such as ws_1a2b',
).brand<'WorkspaceId'>()
export const callId = idLike(idPatterns.call, 'a call id such as call_1a2b').brand<'CallId'>()
export const messageId = idLike(idPatterns.message, 'a message id such as msg_1a2b').brand<'MessageId'>()
export const chatId = idLike(idPatterns.chat, 'a chat id such as chat_1a2b').brand<'ChatId'>()
export const topUpId = idLike(idPatterns.topUp, 'a top-up id such as topup_1a2b').brand<'TopUpId'>()
export const phoneNumberId = idLike(
  idPatterns.phoneNumber,
  'a number id such as num_0123456789abcdef01234567',
).brand<'PhoneNumberId'>()
export const agentId = opaqueId().brand<'AgentId'>()
export const campaignId = opaqueId().brand<'CampaignId'>()

export type WorkspaceId = z.infer<typeof workspaceId>
export type TopUpId = z.infer<typeof topUpId>
export type PhoneNumberId = z.infer<typeof phoneNumberId>
export type ChatId = z.infer<typeof chatId>
export type AgentId = z.infer<typeof agentId>
export type CampaignId = z.infer<typeof campaignId>

function idLike(pattern: RegExp, expected: string) {
  return z.string().regex(pattern, `expected ${expected}`)
}

/**
 * A name that belongs to the caller: any 1..128 characters that Postgres can hold. It cannot hold NUL, nor half of a
 * surrogate pair, and an id that fails only when it is written down would be set aside far from whoever sent it.
 */
function opaqueId() {
  return z.string().min(1).max(128).refine(isStorable, notStorable)
}

/** Whether Postgres can hold a text: it has neither NUL characters nor halves of a character. */
export function isStorable(text: string): boolean {
  return text.isWellFormed() && !text.includes('\0')
}
