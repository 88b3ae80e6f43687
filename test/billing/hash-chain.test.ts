import { createHash } from 'node:crypto'
import { expect, test } from 'vitest'
import { chainHash, genesisHash, type ChainedPosting, type ChainedRow } from '../../billing/hash-chain.ts'
import { micros } from '../../billing/money.ts'

const posting: ChainedPosting = {
  line: 1,
  debitAccount: 'wallet',
  creditAccount: 'voice_revenue',
  amountMicros: micros(101_667n),
  quantity: 61,
  prefix: null,
}
const telephony: ChainedPosting = {
  line: 2,
  debitAccount: 'wallet',
  creditAccount: 'telephony_revenue',
  amountMicros: micros(81_333n),
  quantity: 61,
  prefix: '1',
}
const row: ChainedRow = {
  workspaceId: 'ws_1',
  walletSequence: 2n,
  kind: 'call',
  idempotencyKey: 'call/call_1',
  payloadHash: Buffer.alloc(32, 0xab),
  reference: 'call_1',
  agentId: 'agent "é"',
  campaignId: null,
  amountMicros: micros(-183_000n),
  balanceAfterMicros: micros(9_817_000n),
  rateCardId: 'default',
  reverses: null,
  occurredAt: new Date('2026-11-01T10:01:01.000Z'),
  postedAt: new Date('2026-11-01T10:01:02.345Z'),
  postings: [posting, telephony],
}

test('the hash is sha256 of the hash before and of the row as written here, today and for ever', () => {
  const text =
    '["ws_1","2","call","call/call_1","' +
    'ab'.repeat(32) +
    '","call_1","agent \\"é\\"",null,"-183000","9817000","default",null,' +
    '"2026-11-01T10:01:01.000Z","2026-11-01T10:01:02.345Z",' +
    '[[1,"wallet","voice_revenue","101667",61,null],[2,"wallet","telephony_revenue","81333",61,"1"]]]'

  const hash = chainHash(genesisHash, row)

  expect(hash).toEqual(createHash('sha256').update('00'.repeat(32)).update(text, 'utf8').digest())
  expect(hash.toString('hex')).toBe('548d514de754b611ddecec92f5a1779b8f82591322fbda8dc711a72402687046')
})

const changes: { readonly [Field in keyof ChainedRow]: ChainedRow[Field] } = {
  workspaceId: 'ws_2',
  walletSequence: 3n,
  kind: 'message',
  idempotencyKey: 'call/call_2',
  payloadHash: Buffer.alloc(32, 0xac),
  reference: 'call_2',
  agentId: null,
  campaignId: 'spring',
  amountMicros: micros(-183_001n),
  balanceAfterMicros: micros(9_817_001n),
  rateCardId: null,
  reverses: 'call/call_0',
  occurredAt: new Date('2026-11-01T10:01:01.001Z'),
  postedAt: new Date('2026-11-01T10:01:02.346Z'),
  postings: [posting],
}

test.each(Object.entries(changes))('a changed %s changes the hash', (field, value) => {
  expect(chainHash(genesisHash, { ...row, [field]: value })).not.toEqual(chainHash(genesisHash, row))
})

const postingChanges: { readonly [Field in keyof ChainedPosting]: ChainedPosting[Field] } = {
  line: 3,
  debitAccount: 'adjustments',
  creditAccount: 'message_revenue',
  amountMicros: micros(81_334n),
  quantity: null,
  prefix: '14',
}

test.each(Object.entries(postingChanges))('a changed %s of a posting changes the hash', (field, value) => {
  const changed = { ...row, postings: [posting, { ...telephony, [field]: value }] }

  expect(chainHash(genesisHash, changed)).not.toEqual(chainHash(genesisHash, row))
})

test('another row before it changes the hash', () => {
  expect(chainHash(chainHash(genesisHash, row), row)).not.toEqual(chainHash(genesisHash, row))
})

test('the order in which a query returns the postings does not change the hash', () => {
  expect(chainHash(genesisHash, { ...row, postings: [telephony, posting] })).toEqual(
    chainHash(genesisHash, row),
  )
})
