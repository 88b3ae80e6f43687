// The quote script as it is used: the real process, its standard streams and its exit code.
import { spawn } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { flatRate, stepped } from '../billing/given.ts'
import { othersTake } from '../support/busy-machine.ts'

const script = fileURLToPath(new URL('../../scripts/quote.ts', import.meta.url))
const call =
  '{"kind":"call","id":"call_0a1b2c3d","startedAt":"2026-11-01T10:00:00Z","durationSeconds":61,"to":"+14155550100","recorded":true}'
const message = '{"kind":"message","id":"msg_1","sentAt":"2026-11-01T10:00:00Z"}'
const nowhere =
  '{"kind":"call","id":"call_9","startedAt":"2019-01-01T00:00:00+02:00","durationSeconds":1,"to":"+99999","recorded":false}'

describe('answers', () => {
  test('each usage event with its lines and their total, in order', async () => {
    const { stdout, stderr, code } = await quote([], `${call}\n${message}\n${nowhere}\n`)

    expect(stdout).toBe(
      '{"id":"call_0a1b2c3d","lines":[' +
        '{"meter":"voice","billedSeconds":61,"amount_usd":"0.101667"},' +
        '{"meter":"telephony","billedSeconds":61,"prefix":"1","amount_usd":"0.081333"},' +
        '{"meter":"recording","billedSeconds":61,"amount_usd":"0.020333"}],"total_usd":"0.203333"}\n' +
        '{"id":"msg_1","lines":[{"meter":"message","quantity":1,"amount_usd":"0.010000"}],"total_usd":"0.010000"}\n' +
        '{"id":"call_9","setAside":"unknown_destination"}\n',
    )
    expect({ stderr, code }).toEqual({ stderr: '', code: 0 })
  })

  test('the records of campaign and replay, which say by their ids what they are', async () => {
    const lines = [
      '{"callId":"call_7","workspaceId":"ws_1","startedAt":"2026-11-01T10:00:00Z","durationSeconds":60,"direction":"web"}',
      '{"messageId":"msg_7","workspaceId":"ws_1","sentAt":"2026-11-01T10:00:00Z"}',
    ]

    expect(await quoteJson([], lines.join('\n'))).toMatchObject([
      { id: 'call_7', total_usd: '0.100000' },
      { id: 'msg_7', total_usd: '0.010000' },
    ])
  })

  test('an unanswered call with nothing to pay', async () => {
    const { stdout } = await quote([], edit({ durationSeconds: 0, to: '+99999' }))

    expect(stdout).toBe('{"id":"call_0a1b2c3d","lines":[],"total_usd":"0.000000"}\n')
  })

  test('an inbound call by its caller and a web call without telephony', async () => {
    const lines = [
      edit({ direction: 'inbound', to: '+14155550100', from: '+442079460000' }),
      edit({ direction: 'inbound', to: '+14155550100' }),
      edit({ direction: 'web', to: undefined }),
    ]

    const answers = await quoteJson([], lines.join('\n'))

    expect(answers).toMatchObject([
      { lines: [{ meter: 'voice' }, { meter: 'telephony', prefix: '44' }, { meter: 'recording' }] },
      { lines: [{ meter: 'voice' }, { meter: 'telephony', amount_usd: '0.081333' }, { meter: 'recording' }] },
      { lines: [{ meter: 'voice' }, { meter: 'recording' }] },
    ])
  })

  test('what it cannot read with the field that is wrong, and goes on', async () => {
    const lines = [
      edit({ durationSeconds: '61' }),
      edit({ id: '' }),
      edit({ to: '4155550100' }),
      edit({ startedAt: 'yesterday' }),
      edit({ durationSeconds: -1 }),
      'not json',
      message,
    ]

    const answers = await quoteJson([], lines.join('\n'))

    expect(answers).toMatchObject([
      {
        id: 'call_0a1b2c3d',
        setAside: 'malformed_payload',
        detail: expect.stringMatching(/^durationSeconds: /),
      },
      { line: 2, setAside: 'malformed_payload', detail: expect.stringMatching(/^id: /) },
      { id: 'call_0a1b2c3d', setAside: 'malformed_payload', detail: expect.stringMatching(/^to: /) },
      { id: 'call_0a1b2c3d', setAside: 'malformed_payload', detail: expect.stringMatching(/^startedAt: /) },
      { id: 'call_0a1b2c3d', setAside: 'impossible_duration' },
      { line: 6, setAside: 'malformed_payload', detail: expect.stringMatching(/^this is not JSON: /) },
      { id: 'msg_1', total_usd: '0.010000' },
    ])
  })

  test('files from other systems: a byte order mark, carriage returns, blank lines, a line separator in a string', async () => {
    const answers = await quoteJson([], `\uFEFF${call}\r\n\r\n\n${edit({ id: 'a\u2028b' })}`)

    expect(answers).toMatchObject([
      { id: 'call_0a1b2c3d', total_usd: '0.203333' },
      { id: 'a\u2028b', total_usd: '0.203333' },
    ])
  })

  test('10,000 lines in under two seconds, start-up included, every one in its place', async () => {
    const lines = Array.from({ length: 10_000 }, (_, index) =>
      edit({ id: `call_${index}`, durationSeconds: index }),
    )

    const startedAt = performance.now()
    const answers = await quoteJson([], lines.join('\n'))

    expect(performance.now() - startedAt).toBeLessThan(2_000 * othersTake())
    expect(answers.map((answer) => answer.id)).toEqual(lines.map((_, index) => `call_${index}`))
  })

  test('nothing with nothing', async () => {
    expect(await quote([], '')).toEqual({ stdout: '', stderr: '', code: 0 })
  })

  test('a reader who has seen enough by stopping without a complaint', async () => {
    const child = spawn(process.execPath, [script], { stdio: ['pipe', 'pipe', 'pipe'] })
    const stderr = text(child.stderr)
    child.stdin.on('error', () => undefined)
    child.stdin.end(`${call}\n`.repeat(50_000))

    child.stdout.once('data', () => child.stdout.destroy())

    expect(await exitCode(child)).toBe(0)
    expect(await stderr).toBe('')
  })
})

describe('with --rates', () => {
  let directory: string
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'quote-'))
  })
  afterAll(() => rm(directory, { recursive: true }))

  test('a 60/60 rate makes 61 seconds two minutes', async () => {
    const minutes = flatRate('0.10', 60)
    const file = await ratesFile({
      voice: minutes,
      recording: minutes,
      telephony: { '1': minutes },
      message_usd: '0.01',
    })

    const answers = await quoteJson(['--rates', file], call)

    expect(answers).toMatchObject([
      { lines: [{ billedSeconds: 120, amount_usd: '0.200000' }, {}, {}], total_usd: '0.600000' },
    ])
  })

  test('the longest prefix and the steps of the file count', async () => {
    const file = await ratesFile({
      voice: stepped('0.10', 60, 6),
      recording: flatRate('0'),
      telephony: { '1': flatRate('0.08'), '1415': stepped('0.06', 30, 6) },
      message_usd: '0.005',
    })

    const answers = await quoteJson(['--rates', file], `${call}\n${message}`)

    expect(answers).toMatchObject([
      {
        lines: [
          { meter: 'voice', billedSeconds: 66, amount_usd: '0.110000' },
          { meter: 'telephony', billedSeconds: 66, prefix: '1415', amount_usd: '0.066000' },
          { meter: 'recording', billedSeconds: 61, amount_usd: '0.000000' },
        ],
        total_usd: '0.176000',
      },
      { total_usd: '0.005000' },
    ])
  })

  test.each([
    ['a field that is wrong', '{"voice":{"intervals":[]}}', 'voice.intervals'],
    ['text that is not JSON', '{', 'this is not JSON'],
  ])('a file with %s is refused by name before anything is read', async (_case, content, named) => {
    const file = await ratesFile(content)

    const { stdout, stderr, code } = await quote(['--rates', file], call)

    expect({ stdout, code }).toEqual({ stdout: '', code: 1 })
    expect(stderr).toContain(named)
    expect(stderr).toContain(file)
  })

  test('a file that is not there is named', async () => {
    const { stderr, code } = await quote(['--rates', join(directory, 'none.json')], call)

    expect(code).toBe(1)
    expect(stderr).toContain('none.json')
  })

  async function ratesFile(content: object | string): Promise<string> {
    const file = join(directory, `${Math.random().toString(36).slice(2)}.json`)
    await writeFile(file, typeof content === 'string' ? content : JSON.stringify(content))
    return file
  }
})

test('--help explains itself on stdout', async () => {
  const { stdout, code } = await quote(['--help'], '')

  expect(stdout).toMatch(/^usage: /)
  expect(code).toBe(0)
})

test.each([['--rate', 'x'], ['rates.json'], ['--rates']])('%s is refused with a hint', async (...args) => {
  const { stdout, stderr, code } = await quote(args, call)

  expect({ stdout, code }).toEqual({ stdout: '', code: 2 })
  expect(stderr).toContain('--help')
})

function edit(changes: object): string {
  return JSON.stringify({ ...JSON.parse(call), ...changes })
}

async function quoteJson(args: readonly string[], input: string): Promise<{ id?: string }[]> {
  const { stdout } = await quote(args, input)
  return stdout
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line))
}

async function quote(
  args: readonly string[],
  input: string,
): Promise<{ stdout: string; stderr: string; code: number | null }> {
  const child = spawn(process.execPath, [script, ...args], { stdio: ['pipe', 'pipe', 'pipe'] })
  // A child that refuses its arguments may be gone before it has read a word.
  child.stdin.on('error', () => undefined)
  child.stdin.end(input)
  const [stdout, stderr, code] = await Promise.all([text(child.stdout), text(child.stderr), exitCode(child)])
  return { stdout, stderr, code }
}

function exitCode(child: ReturnType<typeof spawn>): Promise<number | null> {
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code) => {
      resolve(code)
    })
  })
}
