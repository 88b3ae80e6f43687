/** Writes a campaign's call records to a file, for `replay`. */
import { createWriteStream } from 'node:fs'
import { pipeline } from 'node:stream/promises'

import { idPatterns } from '../billing/ids.ts'
import { Misuse, runScript, wholeNumber } from './command-line.ts'
import { campaignRecords, type CallRecord } from './demo/campaign-records.ts'

const columns = [
  'callId',
  'workspaceId',
  'startedAt',
  'durationSeconds',
  'to',
  'recorded',
  'agentId',
  'campaignId',
] as const

await runScript({
  name: 'campaign',
  usage: `usage: npm run -s campaign -- [--records <n>] [--seed <n>] [--workspace <id>] [--campaign <id>]
                              [--ended-at <instant>] [--csv] [--out <file>]

Writes a campaign's call records: a third of the calls unanswered, some voicemails, log-normal talk times, several
countries, about one record in fifty reported twice. The same settings give the same records.

  --records <n>         how many (default 1000)
  --seed <n>            which campaign (default 1)
  --workspace <id>      whose (default ws_demo)
  --campaign <id>       its id (default campaign_<seed>)
  --ended-at <instant>  when it ended (default: midnight of today, UTC)
  --csv                 CSV instead of JSON lines; also when <file> ends in .csv
  --out <file>          where to (default: standard output)
  --help                this text`,
  options: {
    records: { type: 'string', default: '1000' },
    seed: { type: 'string', default: '1' },
    workspace: { type: 'string', default: 'ws_demo' },
    campaign: { type: 'string' },
    'ended-at': { type: 'string' },
    csv: { type: 'boolean' },
    out: { type: 'string' },
  },
  run: async ({ records, seed, workspace, campaign, 'ended-at': endedAt, csv, out }, words) => {
    if (words.length > 0) throw new Misuse(`unexpected "${words.join(' ')}"; name the file with --out`)
    if (!idPatterns.workspace.test(workspace)) throw new Misuse(`--workspace: expected an id such as ws_demo`)
    const settings = {
      records: wholeNumber('--records', records, { least: 1, most: 10_000_000 }),
      seed: wholeNumber('--seed', seed, { least: 0, most: 1_000_000_000 }),
      workspaceId: workspace,
      campaignId: campaign ?? `campaign_${seed}`,
      endedAt: instantOf(endedAt),
    }
    const write = csv === true || out?.endsWith('.csv') === true ? csvLines : jsonLines
    const lines = write(campaignRecords(settings))
    await (out === undefined
      ? pipeline(lines, process.stdout, { end: false })
      : pipeline(lines, createWriteStream(out)))
    if (out !== undefined) process.stderr.write(`${settings.records} records in ${out}\n`)
  },
})

function instantOf(text: string | undefined): Date {
  const instant =
    text === undefined ? new Date(Math.floor(Date.now() / 86_400_000) * 86_400_000) : new Date(text)
  if (Number.isNaN(instant.getTime()))
    throw new Misuse('--ended-at: expected an instant such as 2026-11-01T00:00:00Z')
  return instant
}

function* jsonLines(records: Iterable<CallRecord>): Generator<string> {
  for (const record of records) yield `${JSON.stringify(record)}\n`
}

/** No value of a record needs quoting. */
function* csvLines(records: Iterable<CallRecord>): Generator<string> {
  yield `${columns.join(',')}\n`
  for (const record of records) yield `${columns.map((column) => String(record[column] ?? '')).join(',')}\n`
}
