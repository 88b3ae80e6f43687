// The campaign that everybody tries first: the same for everybody, and like a real one.
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { jobOf } from '../../jobs/contract.ts'
import { usageBatch } from '../../jobs/usage-jobs.ts'
import {
  campaignRecords,
  type CallRecord,
  type CampaignSettings,
} from '../../scripts/demo/campaign-records.ts'
import { readRecords } from '../../scripts/demo/record-file.ts'
import { runCommand } from '../support/command.ts'
import { runScript } from '../support/run-script.ts'

const settings: CampaignSettings = {
  records: 10_000,
  seed: 1,
  workspaceId: 'ws_demo',
  campaignId: 'campaign_1',
  endedAt: new Date('2026-11-01T00:00:00Z'),
}

let directory = ''
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'campaign-'))
})
afterAll(async () => {
  await rm(directory, { recursive: true, force: true })
})

describe('a campaign', () => {
  test('is the same for the same settings, and another one for any other', () => {
    const records = recordsOf({})

    expect(recordsOf({})).toEqual(records)
    const others = [
      { seed: 2 },
      { workspaceId: 'ws_other' },
      { campaignId: 'campaign_2' },
      { endedAt: new Date(0) },
    ]
    for (const change of others) {
      const ids = new Set(recordsOf(change).map((record) => record.callId))
      expect(records.filter((record) => ids.has(record.callId))).toEqual([])
    }
  })

  test('has a third of its calls unanswered, one record in fifty repeated, and several countries', () => {
    const records = recordsOf({})

    const distinct = [...new Map(records.map((record) => [record.callId, record])).values()]
    const share = (count: number): number => count / distinct.length
    const talks = distinct.map((record) => record.durationSeconds).filter((seconds) => seconds > 0)
    const spoken = talks.filter((seconds) => seconds >= 30).toSorted((one, other) => one - other)

    expect(1 - distinct.length / records.length).toBeCloseTo(0.02, 2)
    expect(share(distinct.length - talks.length)).toBeCloseTo(0.34, 1)
    expect(share(talks.filter((seconds) => seconds >= 12 && seconds < 30).length)).toBeGreaterThan(0.14)
    expect(share(distinct.filter((record) => record.recorded).length)).toBeCloseTo(0.25, 1)
    expect(new Set(distinct.map((record) => record.to?.slice(0, 3))).size).toBeGreaterThanOrEqual(7)
    expect(share(distinct.filter((record) => record.to?.startsWith('+1')).length)).toBeCloseTo(0.62, 1)
    // Log-normal: most talks are short, a few are very long.
    expect(spoken[Math.floor(spoken.length / 2)]).toBeLessThan(120)
    expect(spoken.at(-1)).toBeGreaterThan(900)
  })

  test('repeats a record word for word, and only one that was reported before', () => {
    const seen = new Map<string, CallRecord>()

    for (const record of recordsOf({})) {
      expect(seen.get(record.callId) ?? record).toEqual(record)
      seen.set(record.callId, record)
    }
  })

  test('lies before its end, and every record is one that the producer takes', () => {
    const records = recordsOf({ records: 500 })

    expect(() => jobOf(usageBatch, { events: records })).not.toThrow()
    const latest = Math.max(
      ...records.map((record) => new Date(record.startedAt).getTime() + record.durationSeconds * 1_000),
    )
    expect(latest).toBeLessThan(settings.endedAt.getTime())
  })
})

describe('the script', () => {
  test('writes the same file twice, as JSON lines and as CSV', async () => {
    const options = ['--records', '300', '--seed', '7', '--ended-at', '2026-11-01T00:00:00Z']
    const files = ['first.jsonl', 'second.jsonl', 'third.csv'].map((name) => join(directory, name))

    const ends = await Promise.all(files.map((file) => runCommand('campaign', [...options, '--out', file])))
    const toOutput = await runScript('campaign', options)

    expect(ends.map(({ code, stdout, stderr }) => [code, stdout, stderr])).toEqual(
      files.map((file) => [0, '', `300 records in ${file}\n`]),
    )
    const [first = '', second = '', third = ''] = files
    const lines = await readFile(first, 'utf8')
    expect(await readFile(second, 'utf8')).toBe(lines)
    expect(toOutput.stdout).toBe(lines)
    expect(await hashesIn(third)).toEqual(await hashesIn(first))
  })

  test('writes nothing twice the same for two seeds', async () => {
    const [one, other] = await Promise.all(
      ['1', '2'].map((seed) => runCommand('campaign', ['--records', '50', '--seed', seed])),
    )

    const linesOfOther = new Set(other?.stdout.split('\n').filter(Boolean))
    expect(linesOfOther.size).toBeGreaterThan(40)
    expect(one?.stdout.split('\n').filter((line) => linesOfOther.has(line))).toEqual([])
  })
})

function recordsOf(changes: Partial<CampaignSettings>): CallRecord[] {
  return [...campaignRecords({ ...settings, ...changes })]
}

/** What the file says, whichever way it is written down. */
async function hashesIn(file: string): Promise<string[]> {
  const hashes: string[] = []
  for await (const record of readRecords(file)) {
    hashes.push(record.outcome === 'read' ? record.arrival.payloadHash : record.reason)
  }
  return hashes
}
