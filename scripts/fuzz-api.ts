/** Asks the API a hundred thousand things that nobody should ask, and fails when it breaks, leaks or says what it did not say. */
import { createLog } from '../runtime/log.ts'
import { createBenchDatabase } from './bench/bench-database.ts'
import { runScript, wholeNumber } from './command-line.ts'
import { fuzz, type FuzzReport } from './fuzz/fuzz.ts'
import { openFuzzStage } from './fuzz/fuzz-stage.ts'
import { withStack } from './stack.ts'

await runScript({
  name: 'fuzz-api',
  usage: `usage: npm run -s fuzz-api -- [--requests <n>] [--seed <n>] [--json] [--log]

Sends requests that come of the OpenAPI document, nearly right and plainly hostile, to every route of an API in this process, with
a Paddle simulator behind it. Fails on any 5xx, on a stack, SQL or a path in an answer, on an error of another shape, on a status
that the document does not say, on money that was taken as an amount and is none, and on books that no longer fit.
Postgres and Redis are those of DATABASE_URL and REDIS_URL, of a running npm start, or embedded; it makes a database of its own
there and drops it.

  --requests <n>  how many (default 100000)
  --seed <n>      decides what they are (default 1)
  --json          the report as one JSON object
  --log           what the API logs of it, from warnings up, on standard output
  --help          this text

Exits 0 when nothing was wrong, 1 otherwise.`,
  options: {
    requests: { type: 'string', default: '100000' },
    seed: { type: 'string', default: '1' },
    json: { type: 'boolean' },
    log: { type: 'boolean' },
  },
  run: async ({ requests: howMany, seed: from, json, log: isLogged }) => {
    const requests = wholeNumber('--requests', howMany, { least: 1, most: 100_000_000 })
    const seed = wholeNumber('--seed', from, { least: 0, most: 4_000_000 })
    const log = createLog(isLogged === true ? 'warn' : 'silent', 'fuzz-api')
    return await withStack({ log: say }, async (stack, signal) => {
      const database = await createBenchDatabase(stack.databaseUrl, [])
      try {
        const stage = await openFuzzStage({ databaseUrl: database.url, log })
        try {
          const onProgress = (done: number): void => {
            if (done % 10_000 === 0) say(`${done} of ${requests}`)
          }
          const report = await fuzz(stage.server, { ...stage, requests, seed, signal, onProgress })
          const breaks = await stage.checkBooks()
          process.stdout.write(
            json === true ? `${JSON.stringify({ ...report, breaks })}\n` : inWords(report, breaks),
          )
          return report.faults.length === 0 && breaks.length === 0 && !signal.aborted ? 0 : 1
        } finally {
          await stage.close()
        }
      } finally {
        await database.drop()
      }
    })
  },
})

function say(message: string): void {
  process.stderr.write(`${message}\n`)
}

function inWords(report: FuzzReport, breaks: readonly string[]): string {
  const { requests, operations, durationMs, statuses, neverSucceeded, faults } = report
  const seconds = durationMs / 1000
  const lines = [
    `${requests} requests over ${operations} operations in ${seconds.toFixed(1)} s, ${Math.round(requests / seconds)} a second`,
    `answers: ${Object.entries(statuses)
      .map(([status, times]) => `${times} x ${status}`)
      .join(', ')}`,
    neverSucceeded.length === 0 ? '' : `never succeeded: ${neverSucceeded.join(', ')}`,
    ...faults.map(({ what, times, request, answer }) =>
      [
        `\nFAULT ${what} (${times} times)`,
        `  request ${request.number}: ${request.method} ${request.url} ${JSON.stringify(request.headers)}`,
        `  ${request.payload.slice(0, 500)}`,
        `  answer: ${answer.status} ${answer.body.slice(0, 500)}`,
      ].join('\n'),
    ),
    ...breaks.map((each) => `\nBOOKS ${each}`),
    faults.length === 0 && breaks.length === 0
      ? 'nothing was wrong'
      : `\n${faults.length} faults, ${breaks.length} breaks`,
  ]
  return `${lines.filter((line) => line !== '').join('\n')}\n`
}
