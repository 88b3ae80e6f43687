// A taste of what `npm run -s fuzz-api` does for longer: whatever is asked, nothing breaks and nothing leaks.
import { describe, expect } from 'vitest'

import { fuzz } from '../../scripts/fuzz/fuzz.ts'
import { openFuzzStage } from '../../scripts/fuzz/fuzz-stage.ts'
import { faultsOf, type FuzzAnswer } from '../../scripts/fuzz/judge.ts'
import type { FuzzRequest } from '../../scripts/fuzz/requests.ts'
import { captureLog } from '../support/captured-log.ts'
import { test } from '../support/fixtures.ts'

test('2,500 requests that nobody should send: no 5xx, no leak, one shape of error, and the books fit', async ({
  ownPlace,
}) => {
  const { log, lines } = captureLog()
  const stage = await openFuzzStage({ databaseUrl: ownPlace.databaseUrl, log })

  const report = await fuzz(stage.server, { ...stage, requests: 2_500, seed: 1, atATime: 1 })
  const breaks = await stage.checkBooks()
  await stage.close()

  expect(report.faults.map(({ what, request, answer }) => ({ what, request, answer }))).toEqual([])
  expect(breaks).toEqual([])
  expect(lines.filter(({ level }) => level === 'error' || level === 'fatal')).toEqual([])
  // It has to get somewhere, or it proves nothing.
  expect(report.requests).toBe(2_500)
  expect(report.statuses['200']).toBeGreaterThan(400)
  expect(report.statuses['400']).toBeGreaterThan(400)
})

describe('the judge', () => {
  const request: FuzzRequest = {
    name: 'POST /v1/things',
    method: 'POST',
    url: '/v1/things',
    headers: {},
    payload: '{"name":"select a from b"}',
    mustRefuse: null,
    operation: { operationId: 'postV1Things', 'x-scope': 'admin', responses: { 201: {} } },
  }
  const error = { code: 'not_found', message: 'There is no such thing.', request_id: 'req_1' }
  const wrong: [what: string, status: number, body: unknown, fault: RegExp][] = [
    ['a 500', 500, { error }, /answers 500/],
    ['a place in the source', 400, { error: { ...error, message: 'failed at run (x.ts:1:2)' } }, /innards/],
    [
      'a statement',
      400,
      { error: { ...error, message: 'in: insert into wallet (x) values (1)' } },
      /innards/,
    ],
    ['a path', 400, { error: { ...error, message: 'cannot read /home/me/secret now' } }, /innards/],
    ['another id', 400, { error: { ...error, request_id: 'req_2' } }, /another shape/],
    ['no error', 400, { message: 'no' }, /another shape/],
    ['more than an error', 400, { error, stack: [] }, /another shape/],
    ['no JSON', 400, '<h1>no</h1>', /another shape/],
    ['a status that nobody said', 409, { error }, /answers 409, which the document does not say/],
  ]

  test.for(wrong)('sees %s', ([, status, body, fault]) => {
    expect(faultsOf(request, answer(status, body)).join()).toMatch(fault)
  })

  test('sees money that was taken as an amount and is none', () => {
    const paid = { ...request, mustRefuse: 'amount_usd: "-0"' }

    expect(faultsOf(paid, answer(201, {}))).toEqual(['answers 201 to amount_usd: "-0"'])
    expect(faultsOf(paid, answer(400, { error }))).toEqual([])
  })

  test('has nothing against a right answer, nor against what was sent being told back', () => {
    expect(faultsOf(request, answer(201, {}))).toEqual([])
    expect(faultsOf(request, answer(404, { error: { ...error, field: 'select a from b' } }))).toEqual([])
  })
})

function answer(status: number, body: unknown): FuzzAnswer {
  return {
    status,
    headers: { 'content-type': 'application/json; charset=utf-8', 'x-request-id': 'req_1' },
    body: typeof body === 'string' ? body : JSON.stringify(body),
    durationMs: 1,
  }
}
