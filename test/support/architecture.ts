/**
 * The rules of the house that no compiler knows: who may import whom, what may not be called what, and which words have
 * no place where. A rule that must give way somewhere gives way by name, with a reason.
 */
import { basename, dirname, join } from 'node:path/posix'

import { codeOf, importsOf, lineAt, type SourceFile } from './source-text.ts'

export type Violation = { path: string; line: number; what: string }

/** Where a word that has no place has one after all. */
export type Allowance = { path: string; code: string; because: string }

/** Who may import whom. Downwards only; siblings never meet; nobody but the processes knows the runtime. */
const layers: Record<string, readonly string[]> = {
  billing: ['billing'],
  jobs: ['jobs', 'billing'],
  db: ['db', 'jobs', 'billing'],
  paddle: ['paddle', 'jobs', 'billing'],
  dashboard: ['dashboard', 'jobs', 'billing'],
  runtime: ['runtime', 'jobs', 'billing'],
  workers: ['workers', 'db', 'paddle', 'dashboard', 'runtime', 'jobs', 'billing'],
  api: ['api', 'db', 'paddle', 'dashboard', 'runtime', 'jobs', 'billing'],
  scripts: ['scripts', 'workers', 'api', 'db', 'paddle', 'dashboard', 'runtime', 'jobs', 'billing'],
  test: ['test', 'scripts', 'workers', 'api', 'db', 'paddle', 'dashboard', 'runtime', 'jobs', 'billing'],
}

/** What of others' these may import: billing and dashboard do no I/O, and jobs is what an outside service installs. */
const packages: Record<string, readonly string[]> = {
  billing: ['zod', 'dinero.js/bigint', 'node:crypto'],
  jobs: ['zod', 'bullmq', 'ioredis', 'node:crypto'],
  dashboard: ['hono/html'],
}

/** Packages that one layer wraps for all others: what it guarantees holds only while nobody goes past it. */
const wrapped: Record<string, string> = {
  '@paddle/paddle-node-sdk': 'paddle',
  undici: 'paddle',
  hono: 'dashboard',
}

/** Made for trying things out. In production it would be a way to have money that nobody paid. */
const simulator = 'paddle/simulator/'

type WordRule = {
  pattern: RegExp
  /** Texts of strings, SQL among them, are looked at as well. */
  inStrings?: boolean
  /** Which files it is about. */
  where: (path: string) => boolean
  why: string
}

const productFolders = Object.keys(layers).filter((folder) => folder !== 'test')
const isProduct = (path: string): boolean => productFolders.includes(folderOf(path))

/** Where what is written down is dated, or decided by a date. */
const isDated = (path: string): boolean => ['billing', 'db', 'api', 'workers'].includes(folderOf(path))

const words: WordRule[] = [
  {
    pattern: /\bnew\s+Date\s*\(\s*\)|(?<!new\s+)\bDate\s*\(\s*\)|\bDate\.now\b/g,
    where: isDated,
    why: "reads the machine's clock, not the one that the books are dated by",
  },
  {
    pattern:
      /\b(?:clock|statement|transaction)_timestamp\b|\bcurrent_(?:timestamp|date|time)\b|(?<![.\w])now\s*\(\s*\)/gi,
    inStrings: true,
    where: (path) => isDated(path) && !path.startsWith('db/migrations/'),
    why: 'asks Postgres for the real time, not for wallet_now()',
  },
  {
    pattern: /\b(?:parseFloat|Number)\s*\(|\.toFixed\b|\bNumber\.parseFloat\b/g,
    where: (path) => ['billing', 'db'].includes(folderOf(path)),
    why: 'makes a float where money may be',
  },
  {
    pattern: /\bprocess\s*(?:\.\s*env\b|\[)/g,
    where: (path) => isProduct(path) && folderOf(path) !== 'scripts' && path !== 'runtime/config.ts',
    why: 'reads the environment, which only runtime/config.ts does',
  },
  {
    pattern: /\bsql\s*\.\s*(?:raw|lit)\b/g,
    where: (path) => isProduct(path) && !path.startsWith('db/migrations/'),
    why: 'puts text into SQL unescaped, which only migrations may',
  },
  {
    pattern: /\bdeduplication\b/g,
    where: isProduct,
    why: 'lets BullMQ forget jobs: what is unique is unique in Postgres',
  },
  { pattern: /(?<![.\w])console\s*\./g, where: () => true, why: 'writes past the log' },
  {
    pattern: /\bexport\s+default\b|\bexport\s*\{[^}]*\bas\s+default\b/g,
    where: () => true,
    why: 'exports without a name',
  },
]

const drawers = ['utils', 'util', 'helpers', 'helper', 'common', 'services', 'lib', 'misc', 'shared']

/** Everything that breaks a rule, and every allowance that nothing needs any more. */
export function findViolations(
  files: readonly SourceFile[],
  allowances: readonly Allowance[] = [],
): Violation[] {
  const unused = new Set(allowances)
  const isAllowed = ({ path, line }: Violation, lines: readonly string[]): boolean => {
    const allowance = allowances.find((each) => each.path === path && lines[line - 1]?.includes(each.code))
    if (allowance !== undefined) unused.delete(allowance)
    return allowance !== undefined
  }
  const violations = files.flatMap((file) => {
    const lines = file.source.split('\n')
    return [...misplaced(file), ...forbiddenImports(file), ...forbiddenWords(file)].filter(
      (violation) => !isAllowed(violation, lines),
    )
  })
  const stale = [...unused].map(({ path, code }) => ({
    path,
    line: 0,
    what: `no longer needs leave for ${code}`,
  }))
  return [...violations, ...stale]
}

function misplaced({ path }: SourceFile): Violation[] {
  const folders = dirname(path).split('/')
  const name = basename(path).replace(/\.\w+$/, '')
  const found: string[] = []
  if (folderOf(path) !== '' && !(folderOf(path) in layers))
    found.push(`is in ${folderOf(path)}/, which no rule knows`)
  if (name === 'index') found.push('is a barrel')
  for (const drawer of drawers) {
    if (folders.includes(drawer) || name === drawer) found.push(`is in a drawer named ${drawer}`)
  }
  return found.map((what) => ({ path, line: 1, what }))
}

function forbiddenImports({ path, source }: SourceFile): Violation[] {
  const folder = folderOf(path)
  return importsOf(source).flatMap(({ specifier, line }) => {
    const what = judgeImport(path, folder, specifier)
    return what === null ? [] : [{ path, line, what }]
  })
}

function judgeImport(path: string, folder: string, specifier: string | null): string | null {
  if (specifier === null) return 'imports what it computes'
  if (!specifier.startsWith('.')) {
    if (/^(?:\/|file:|#|voice-wallet)/.test(specifier))
      return `imports ours as ${specifier}, not by a relative path`
    const wrapper = wrapped[packageOf(specifier)]
    if (wrapper !== undefined && ![wrapper, 'test'].includes(folder))
      return `imports ${specifier}, which only ${wrapper} may know`
    const allowed = packages[folder]
    return allowed === undefined || allowed.includes(specifier) ? null : `imports ${specifier}`
  }
  const target = join(dirname(path), specifier)
  if (target.startsWith('..')) return `imports ${specifier}, from outside`
  if (!/\.(?:ts|cjs|json)$/.test(target)) return `imports ${specifier}, without its ending`
  if (path.startsWith('db/migrations/'))
    return `imports ${target}: a migration is frozen, and what it imports is not`
  if (target.startsWith(simulator) && !path.startsWith(simulator) && !['scripts', 'test'].includes(folder))
    return `imports ${target}: only scripts and tests may know the simulator`
  const targetFolder = folderOf(target)
  const allowed = layers[folder] ?? []
  return allowed.includes(targetFolder)
    ? null
    : `imports ${target}: ${folder || 'the root'} may not know ${targetFolder || 'the root'}`
}

function forbiddenWords({ path, source }: SourceFile): Violation[] {
  const [code, withStrings] = [false, true].map((keepStrings) => codeOf(source, { keepStrings }))
  return words
    .filter((rule) => rule.where(path))
    .flatMap(({ pattern, inStrings = false, why }) => {
      const text = (inStrings ? withStrings : code) ?? ''
      return [...text.matchAll(pattern)].map((match) => ({
        path,
        line: lineAt(text, match.index),
        what: `${why}: ${match[0].trim()}`,
      }))
    })
}

/** The package that a specifier is of: `undici` of `undici/types`. */
function packageOf(specifier: string): string {
  return specifier.split('/', specifier.startsWith('@') ? 2 : 1).join('/')
}

/** The first folder; none for a file at the root. */
function folderOf(path: string): string {
  return path.includes('/') ? (path.split('/')[0] ?? '') : ''
}
