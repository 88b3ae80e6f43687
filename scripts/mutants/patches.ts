/**
 * The mutants: deliberate bugs, each a patch of the source with a head that says what it breaks, what that would cost, and
 * which suite has to notice. This only reads them.
 */
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'

export type Mutant = {
  /** As in `07`. */
  number: string
  /** As in `07-hold-outside-the-lock`. */
  name: string
  /** Where its patch is. */
  file: string
  breaks: string
  costs: string
  suites: readonly Suite[]
}

/** A test file, and which of its tests: `only` is a pattern of their full names, null for all of them. */
export type Suite = { file: string; only: string | null }

const fileName = /^(\d\d)-[a-z\d-]+\.patch$/
const suiteLine = /^(test\/[\w/.-]+\.test\.ts)(?: -t "([^"]+)")?$/

/** In the order of their numbers. Throws: an Error that names every head that cannot be read. */
export async function readMutants(directory: string): Promise<Mutant[]> {
  const names = (await readdir(directory)).filter((name) => name.endsWith('.patch')).toSorted()
  const read = await Promise.all(
    names.map(async (name) =>
      readMutant(join(directory, name), await readFile(join(directory, name), 'utf8')),
    ),
  )
  const faults = read.filter((each) => typeof each === 'string')
  if (faults.length > 0) throw new Error(faults.join('\n'))
  return read.filter((each) => typeof each !== 'string')
}

/** Shape: in words what is wrong, where the head does not say all that it has to. */
export function readMutant(file: string, text: string): Mutant | string {
  const base = file.slice(file.lastIndexOf('/') + 1)
  const number = fileName.exec(base)?.[1]
  if (number === undefined) return `${base}: expected a name such as 07-hold-outside-the-lock.patch`
  const head = text.slice(0, Math.max(0, text.indexOf('diff --git '))).split('\n')
  const said = (field: string): string[] =>
    head.filter((line) => line.startsWith(`${field}: `)).map((line) => line.slice(field.length + 2).trim())
  const [breaks] = said('Breaks')
  const [costs] = said('Costs')
  const suites = said('Suite').map((line) => suiteLine.exec(line))
  if (breaks === undefined || costs === undefined || suites.length === 0 || suites.includes(null)) {
    return `${base}: expected lines "Breaks: ...", "Costs: ..." and 'Suite: test/....test.ts -t "..."' before the diff`
  }
  return {
    number,
    name: base.replace(/\.patch$/, ''),
    file,
    breaks,
    costs,
    suites: suites.map((match) => ({ file: match?.[1] ?? '', only: match?.[2] ?? null })),
  }
}
