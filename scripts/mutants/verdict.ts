/**
 * What a run of a suite proves. A mutant is killed by a test that looked and found something else than it had to find; a suite
 * that could not be loaded, a test that was not there, or an error that no test asked about proves nothing.
 */
import { z } from 'zod'

import type { Suite } from './patches.ts'

/** As much of vitest's JSON report as a verdict depends on. */
const runReport = z.object({
  testResults: z.array(
    z.object({
      name: z.string(),
      message: z.string(),
      assertionResults: z.array(
        z.object({ fullName: z.string(), status: z.string(), failureMessages: z.array(z.string()) }),
      ),
    }),
  ),
})

export type Verdict =
  /** `by`: the suite and the first test that noticed. */
  | { outcome: 'killed'; by: { suite: string; test: string } }
  | { outcome: 'lived' }
  | { outcome: 'void'; why: string }

/**
 * Shape:  `report` is what vitest wrote, or null when it wrote nothing.
 */
export function judge(report: unknown, suites: readonly Suite[]): Verdict {
  const parsed = runReport.safeParse(report)
  if (!parsed.success) return { outcome: 'void', why: 'the suite left no report: it did not run to its end' }
  const chosen = suites.map((suite) => chooseTests(parsed.data.testResults, suite))
  const missing = chosen.find((each) => typeof each === 'string')
  if (missing !== undefined) return { outcome: 'void', why: missing }
  const ran = chosen.filter((each) => typeof each !== 'string')
  const failed = ran.flatMap(({ suite, tests }) =>
    tests.filter((test) => test.status === 'failed').map((test) => ({ suite: suite.file, ...test })),
  )
  const noticed = failed.find((test) => test.failureMessages.some((message) => assertion.test(message)))
  if (noticed !== undefined) {
    return { outcome: 'killed', by: { suite: noticed.suite, test: noticed.fullName } }
  }
  const [first] = failed
  if (first !== undefined) {
    return {
      outcome: 'void',
      why: `no assertion failed, but "${first.fullName}" broke: ${firstLine(first.failureMessages[0])}`,
    }
  }
  return { outcome: 'lived' }
}

type FileReport = z.infer<typeof runReport>['testResults'][number]
type TestReport = FileReport['assertionResults'][number]

/** The tests of a suite that ran; or in words why it proves nothing. */
function chooseTests(
  files: readonly FileReport[],
  suite: Suite,
): { suite: Suite; tests: readonly TestReport[] } | string {
  const file = files.find(({ name }) => name.endsWith(`/${suite.file}`))
  if (file === undefined) return `${suite.file} did not run`
  if (file.assertionResults.length === 0) return `${suite.file} did not load: ${firstLine(file.message)}`
  const tests = file.assertionResults.filter(
    ({ fullName, status }) =>
      status !== 'skipped' &&
      status !== 'pending' &&
      (suite.only === null || new RegExp(suite.only).test(fullName)),
  )
  return tests.length === 0
    ? `${suite.file} has no test called ${suite.only ?? 'anything'}`
    : { suite, tests }
}

/** Of vitest, of a property that fast-check broke, or of `until`, which waited for a fact in vain. */
const assertion =
  /^(?:AssertionError|Error: promise (?:resolved|rejected) |Error: Property failed after |Error: within \d+ ms it did not )/

function firstLine(text: string | undefined): string {
  return (text ?? '').split('\n', 1)[0]?.slice(0, 200) ?? ''
}
