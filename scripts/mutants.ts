/**
 * Plants deliberate bugs, one at a time, and demands that the tests notice: each is the kind of mistake that loses money while
 * everything looks well. One that lives is a hole in the tests.
 */
import { writeFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import { styleText } from 'node:util'

import { Misuse, runScript, wholeNumber } from './command-line.ts'
import { sweepDeadRuns } from './embedded/dead-runs.ts'
import { readMutants, type Mutant, type Suite } from './mutants/patches.ts'
import { createScratch, scratchPrefix, type Scratch } from './mutants/scratch.ts'
import { judge, type Verdict } from './mutants/verdict.ts'

const longestRunMs = 180_000

const checkout = resolve(import.meta.dirname, '..')

await runScript({
  name: 'mutants',
  usage: `usage: npm run -s mutants -- [--only <numbers>] [--jobs <n>] [--json <file>] [--list]

Applies each patch of test/mutants to a scratch copy of this checkout, one at a time, and runs there the suites that its head names.
It is killed when a test fails by its own assertion. First those suites run without any bug, and must pass. Takes about five
minutes on two cores; needs git.

  --only <numbers>  only these, such as 07 or 07,12
  --jobs <n>        how many at a time, each with servers of its own (default 2)
  --json <file>     the verdicts, as JSON
  --list            says which there are, and runs nothing
  --help            this text

Exits 0 when every mutant was killed; 1 when one lived, or when a patch or a suite proves nothing.`,
  options: {
    only: { type: 'string' },
    jobs: { type: 'string', default: '2' },
    json: { type: 'string' },
    list: { type: 'boolean' },
  },
  run: async ({ only, jobs: howMany, json, list }, words) => {
    if (words.length > 0) throw new Misuse(`unexpected "${words.join(' ')}": choose with --only`)
    const jobs = wholeNumber('--jobs', howMany, { least: 1, most: 16 })
    const mutants = choose(await readMutants(resolve(checkout, 'test', 'mutants')), only)
    if (list === true) {
      for (const { name, breaks } of mutants) print(`${name.padEnd(44)}${breaks}`)
      return 0
    }
    const interrupted = new AbortController()
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => interrupted.abort())
    const results = await runAll(mutants, jobs, interrupted.signal)
    if (json !== undefined) await writeFile(json, `${JSON.stringify(results, null, 2)}\n`)
    printTable(results)
    return results.length === mutants.length && results.every(({ outcome }) => outcome === 'killed') ? 0 : 1
  },
})

type Result = Pick<Mutant, 'name' | 'breaks' | 'costs'> & Verdict & { seconds: number }

/** Throws: Misuse for a number that no mutant has. */
function choose(mutants: readonly Mutant[], only: string | undefined): Mutant[] {
  if (only === undefined) return [...mutants]
  return only.split(',').map((number) => {
    const chosen = mutants.find((mutant) => mutant.number === number.trim().padStart(2, '0'))
    if (chosen === undefined) throw new Misuse(`--only: there is no mutant ${number.trim()}`)
    return chosen
  })
}

async function runAll(mutants: readonly Mutant[], jobs: number, signal: AbortSignal): Promise<Result[]> {
  await sweepDeadRuns(scratchPrefix)
  const scratches = await Promise.all(
    Array.from({ length: Math.min(jobs, mutants.length) }, () => createScratch(checkout)),
  )
  const results = new Map<Mutant, Result>()
  try {
    await assertSuitesPass(scratches, mutants, signal)
    const waiting = [...mutants]
    await Promise.all(
      scratches.map(async (scratch) => {
        for (let mutant = waiting.shift(); mutant !== undefined; mutant = waiting.shift()) {
          if (signal.aborted) return
          const result = await tryMutant(scratch, mutant, signal)
          if (signal.aborted) return
          results.set(mutant, result)
          say(`${results.size} of ${mutants.length}  ${inWords(result)}`)
        }
      }),
    )
  } finally {
    await Promise.all(scratches.map((scratch) => scratch.remove()))
  }
  return mutants.flatMap((mutant) => results.get(mutant) ?? [])
}

/** A suite that fails without a bug says nothing about one. Throws when one does. */
async function assertSuitesPass(
  scratches: readonly Scratch[],
  mutants: readonly Mutant[],
  signal: AbortSignal,
): Promise<void> {
  const suites = new Map<string, Suite>()
  for (const suite of mutants.flatMap((mutant) => mutant.suites)) {
    suites.set(`${suite.file}\n${suite.only ?? ''}`, suite)
  }
  // By file, so that none is loaded twice; whole files apart from chosen tests, which a pattern chooses.
  const whole = [...suites.values()].filter(({ only }) => only === null)
  const some = [...suites.values()].filter(({ only }) => only !== null)
  say(`${suites.size} suites have to pass without a bug`)
  const startedAt = performance.now()
  const groups = [whole, some].filter((group) => group.length > 0)
  const failures: string[] = []
  await Promise.all(
    scratches.map(async (scratch) => {
      for (let group = groups.shift(); group !== undefined; group = groups.shift()) {
        const report = await scratch.run(group, signal)
        for (const suite of group) {
          const verdict = judge(report, [suite])
          if (verdict.outcome === 'killed') failures.push(`${suite.file}: "${verdict.by.test}" fails`)
          if (verdict.outcome === 'void') failures.push(verdict.why)
        }
      }
    }),
  )
  if (signal.aborted) return
  if (failures.length > 0) throw new Error(`without any bug the suites must pass:\n${failures.join('\n')}`)
  say(`they pass, ${secondsSince(startedAt).toFixed(0)} s`)
}

async function tryMutant(scratch: Scratch, mutant: Mutant, signal: AbortSignal): Promise<Result> {
  const { name, breaks, costs, suites, file } = mutant
  const startedAt = performance.now()
  const end = (verdict: Verdict): Result => ({
    name,
    breaks,
    costs,
    ...verdict,
    seconds: secondsSince(startedAt),
  })
  try {
    await scratch.apply(file)
  } catch (error) {
    return end({
      outcome: 'void',
      why: `the patch does not apply: ${error instanceof Error ? error.message : ''}`,
    })
  }
  // What a bug may make endless is ended, and proves nothing.
  const limit = AbortSignal.any([signal, AbortSignal.timeout(longestRunMs)])
  const verdict = judge(await scratch.run(suites, limit), suites)
  await scratch.revert(file)
  return end(verdict)
}

function secondsSince(startedAt: number): number {
  return (performance.now() - startedAt) / 1_000
}

function inWords(result: Result): string {
  const seconds = `${result.seconds.toFixed(0)} s`
  if (result.outcome === 'killed') return `${styleText('green', 'killed')}  ${result.name}, ${seconds}`
  const why = result.outcome === 'lived' ? 'no test noticed' : result.why
  return `${styleText('red', result.outcome.padEnd(6))}  ${result.name}, ${seconds}: ${why}`
}

function printTable(results: readonly Result[]): void {
  for (const result of results) {
    const outcome =
      result.outcome === 'killed' ? styleText('green', 'killed') : styleText('red', result.outcome)
    print(`\n${styleText('bold', result.name)}  ${outcome}  ${result.seconds.toFixed(1)} s`)
    print(`  breaks   ${result.breaks}`)
    print(`  costs    ${result.costs}`)
    if (result.outcome === 'killed') {
      print(`  noticed  ${result.by.suite}`)
      print(`           ${result.by.test}`)
    } else if (result.outcome === 'void') print(`  proves nothing: ${result.why}`)
  }
  const killed = results.filter(({ outcome }) => outcome === 'killed').length
  print(`\n${killed} of ${results.length} mutants were killed`)
}

function say(message: string): void {
  process.stderr.write(`${message}\n`)
}

function print(line: string): void {
  process.stdout.write(`${line}\n`)
}
