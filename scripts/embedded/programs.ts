// Programs that a machine may have already: those on PATH, and what one says when it is asked for its version.
import { execFile } from 'node:child_process'
import { access, constants } from 'node:fs/promises'
import { delimiter, join } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)

/** Paths of programs with one of these names, in the order of PATH. */
export async function listOnPath(searchPath: string, names: readonly string[]): Promise<string[]> {
  const candidates = searchPath
    .split(delimiter)
    .filter((folder) => folder !== '')
    .flatMap((folder) => names.map((name) => join(folder, name)))
  const usable = await Promise.all(candidates.map((path) => isThere(path, constants.X_OK)))
  return candidates.filter((_, index) => usable[index])
}

/** What it prints for `--version`; when it cannot, why. */
export async function versionOutput(path: string, environment: NodeJS.ProcessEnv): Promise<string> {
  return await run(path, ['--version'], { env: environment, timeout: 10_000 }).then(
    ({ stdout }) => stdout,
    (error: Error & { stderr?: string }) => error.stderr?.trim() || error.message,
  )
}

export function isThere(path: string, mode = constants.F_OK): Promise<boolean> {
  return access(path, mode).then(
    () => true,
    () => false,
  )
}
