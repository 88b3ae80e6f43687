// The mutants and what is said of them. That each is killed is the business of `npm run mutants`; that a patch still applies to
// the source as it is, and names suites that are there, is seen here, where a change to either is made.
import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'

import { describe, expect, test } from 'vitest'

import { readMutant, readMutants } from '../../scripts/mutants/patches.ts'
import { judge } from '../../scripts/mutants/verdict.ts'

const checkout = join(import.meta.dirname, '..', '..')
const mutants = await readMutants(join(checkout, 'test', 'mutants'))

test('there are more than twenty, numbered one after the other, each breaking something else', () => {
  expect(mutants.length).toBeGreaterThan(20)
  expect(mutants.map(({ number }) => Number(number))).toEqual(mutants.map((_, index) => index + 1))
  expect(new Set(mutants.map(({ breaks }) => breaks)).size).toBe(mutants.length)
})

test('each patch applies to the source as it is, and changes no test', async () => {
  const files = mutants.map(({ file }) => file)
  // All at once; one by one only to tell which.
  const all = await git('apply', '--check', ...files)
  const faults = all === null ? [] : await Promise.all(files.map((file) => git('apply', '--check', file)))
  const patches = await Promise.all(files.map((file) => readFile(file, 'utf8')))
  const changed = patches.map((text) =>
    [...text.matchAll(/^diff --git a\/(\S+) b\/\1$/gm)].map((match) => match[1]),
  )

  expect(faults.filter((fault) => fault !== null)).toEqual([])
  expect(changed.filter((paths) => paths.length === 0)).toEqual([])
  expect(changed.flat().filter((path) => path?.startsWith('test/'))).toEqual([])
})

test('each names suites that are there', async () => {
  const files = new Set(mutants.flatMap(({ suites }) => suites.map(({ file }) => file)))

  const read = await Promise.allSettled([...files].map(async (file) => await readFile(join(checkout, file))))

  expect([...files].filter((_, index) => read[index]?.status === 'rejected')).toEqual([])
})

test('a patch that does not say what it breaks, what that costs and who has to notice is refused', () => {
  const diff = 'diff --git a/x.ts b/x.ts\n'
  const said = 'Breaks: it\nCosts: money\nSuite: test/x.test.ts -t "is so"\n'

  expect(readMutant('/m/07-it.patch', said + diff)).toMatchObject({
    number: '07',
    name: '07-it',
    suites: [{ file: 'test/x.test.ts', only: 'is so' }],
  })
  expect(readMutant('/m/7-it.patch', said + diff)).toContain('7-it.patch')
  for (const field of ['Breaks', 'Costs', 'Suite']) {
    expect(readMutant('/m/07-it.patch', said.replace(`${field}:`, 'Nothing:') + diff)).toContain(
      'expected lines',
    )
  }
})

describe('a run of a suite', () => {
  const suites = [{ file: 'test/x.test.ts', only: 'is so' }]
  const passed = { fullName: 'it is so', status: 'passed' }
  const failed = (message: string) => ({ ...passed, status: 'failed', failureMessages: [message] })

  test.for([
    'AssertionError: expected 1n to be 2n',
    'Error: promise resolved "\'topup_1\'" instead of rejecting',
    'Error: Property failed after 3 tests',
    'Error: within 20000 ms it did not come true that it is so',
  ])('kills a mutant by its own assertion: %s', (message) => {
    expect(judge(reportOf([failed(message)]), suites)).toEqual({
      outcome: 'killed',
      by: { suite: 'test/x.test.ts', test: 'it is so' },
    })
  })

  test('in which nothing fails lets it live', () => {
    expect(judge(reportOf([passed]), suites)).toEqual({ outcome: 'lived' })
  })

  test.for([
    ['left no report', null],
    ['did not load its file', reportOf([], 'SyntaxError: Unexpected token')],
    ['did not run the test that it names', reportOf([{ fullName: 'another', status: 'passed' }])],
    ['left that test out', reportOf([{ ...passed, status: 'skipped' }])],
    ['broke by an error that no test asked about', reportOf([failed('TypeError: x is not a function')])],
    [
      'was of another file',
      { testResults: [{ name: '/tmp/test/y.test.ts', message: '', assertionResults: [] }] },
    ],
  ] as const)('proves nothing when it %s', ([, report]) => {
    expect(judge(report, suites)).toMatchObject({ outcome: 'void' })
  })
})

/** As much of vitest's report as a verdict looks at: one file and its tests. */
function reportOf(
  tests: { fullName: string; status: string; failureMessages?: string[] }[],
  message = '',
): unknown {
  const assertionResults = tests.map((each) => ({ failureMessages: [], ...each }))
  return { testResults: [{ name: '/tmp/scratch/test/x.test.ts', message, assertionResults }] }
}

/** Shape: null, or what it complains of. */
async function git(...args: string[]): Promise<string | null> {
  return await promisify(execFile)('git', args, { cwd: checkout }).then(
    () => null,
    (error: Error) => error.message,
  )
}
