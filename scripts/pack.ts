/**
 * What `npm pack` ships is one entry, `voice-wallet/jobs`, for services that enqueue usage. Node strips no types under
 * `node_modules`, so the entry and what it imports are compiled to JavaScript and declarations; and the manifest is cut
 * down to what that JavaScript imports. Uncut, it would bring its reader Postgres, and a `node` that takes the place of the
 * reader's own in npm scripts.
 */
import { execFile } from 'node:child_process'
import { copyFile, mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'

import { z } from 'zod'

import { Misuse, runScript } from './command-line.ts'

const checkout = resolve(import.meta.dirname, '..')
const manifestFile = join(checkout, 'package.json')
const output = join(checkout, 'dist')
/** Where the whole manifest waits while npm packs the cut one. */
const keptManifest = join(checkout, '.cache', 'package.json.whole')
/** What the compiled entry runs on; the project around it asks for more. */
const entryEngine = '>=22'

/** The fields that the cut manifest keeps. npm reads postpack from there once it has packed. */
const wholeManifest = z.object({
  name: z.string(),
  version: z.string(),
  description: z.string(),
  license: z.string(),
  type: z.string(),
  engines: z.object({ node: z.string() }),
  exports: z.unknown(),
  files: z.array(z.string()),
  scripts: z.object({ postpack: z.string() }),
  dependencies: z.record(z.string(), z.string()),
})

await runScript({
  name: 'pack',
  usage: `usage: npm pack

npm itself calls this before and after it packs (prepack, postpack). To publish, publish the file that npm pack made.

prepare  compiles jobs/producer.ts into dist/, and puts a package.json in place that asks for nothing else
restore  puts the whole package.json back; so does the next prepare, should npm have been killed in between

  --help  this text`,
  options: {},
  run: async (_options, [verb, ...rest]) => {
    if (rest.length > 0 || (verb !== 'prepare' && verb !== 'restore')) throw new Misuse('npm calls this')
    await restoreManifest()
    if (verb === 'restore') return
    await compileEntry()
    await cutManifest()
  },
})

/** A whole manifest that somebody has put back already is left alone, however old the kept one is. */
async function restoreManifest(): Promise<void> {
  const isCut = !(
    'devDependencies' in z.looseObject({}).parse(JSON.parse(await readFile(manifestFile, 'utf8')))
  )
  if (isCut) await copyFile(keptManifest, manifestFile)
  await rm(keptManifest, { force: true })
}

async function compileEntry(): Promise<void> {
  await rm(output, { recursive: true, force: true })
  const compiler = join(checkout, 'node_modules', 'typescript', 'bin', 'tsc')
  const run = promisify(execFile)
  await run(process.execPath, [compiler, '-p', join(checkout, 'tsconfig.jobs.json')]).catch(
    (error: Error & { stdout?: string }) => {
      throw new Error(`jobs/producer.ts does not compile:\n${error.stdout || error.message}`, {
        cause: error,
      })
    },
  )
}

/** Written beside its place and renamed into it: a package.json is never half there. */
async function cutManifest(): Promise<void> {
  const manifest = wholeManifest.parse(JSON.parse(await readFile(manifestFile, 'utf8')))
  const cut = {
    ...manifest,
    engines: { node: entryEngine },
    scripts: { postpack: manifest.scripts.postpack },
    dependencies: await importedDependencies(manifest.dependencies),
  }
  const draft = `${manifestFile}.${process.pid}`
  await writeFile(draft, `${JSON.stringify(cut, null, 2)}\n`)
  await mkdir(join(checkout, '.cache'), { recursive: true })
  await copyFile(manifestFile, keptManifest)
  await rename(draft, manifestFile)
}

/** The packages that the compiled entry imports, in our versions. Throws when it imports one that we do not list. */
async function importedDependencies(dependencies: Record<string, string>): Promise<Record<string, string>> {
  const files = await readdir(output, { recursive: true })
  const sources = await Promise.all(
    files.filter((file) => file.endsWith('.js')).map((file) => readFile(join(output, file), 'utf8')),
  )
  const imports = sources.flatMap((source) =>
    [...source.matchAll(/^(?:import|export) .*?from '([^.'][^']*)';$/gms)].map((match) => match[1] ?? ''),
  )
  const packages = [...new Set(imports)].filter((name) => !name.startsWith('node:')).toSorted()
  return Object.fromEntries(
    packages.map((name) => {
      const version = dependencies[name]
      if (version === undefined) throw new Error(`the compiled entry imports ${name}, which is no dependency`)
      return [name, version]
    }),
  )
}
