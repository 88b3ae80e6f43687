// A folder of the project's cache that is filled once and then believed only when it proves itself. It is filled and proven
// under another name and then renamed, so that first starts at once do not meet, and a killed one leaves nothing behind
// that looks finished.
import { mkdir, mkdtemp, readdir, rename, rm } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'

import { isAlive } from './process-table.ts'

/**
 * Fills `folder` anew, in place of a damaged one if need be.
 *
 * Shape: what `prove` finds in the folder, or in words why it cannot be used; the folder is then as it was.
 */
export async function fillFolder<Proven extends object>(
  folder: string,
  {
    fill,
    prove,
  }: {
    /** `workDirectory` holds what is needed only until it is full. */
    fill: (root: string, workDirectory: string) => Promise<void>
    prove: (root: string) => Promise<Proven | string>
  },
): Promise<Proven | string> {
  const draftPrefix = `${basename(folder)}-fetching-`
  await mkdir(dirname(folder), { recursive: true })
  await sweepDrafts(dirname(folder), draftPrefix)
  const workDirectory = await mkdtemp(join(dirname(folder), `${draftPrefix}${process.pid}-`))
  try {
    const root = join(workDirectory, 'root')
    await mkdir(root)
    await fill(root, workDirectory)
    const filled = await prove(root)
    if (typeof filled === 'string') return filled

    // A rename fails on a folder that is there already: somebody was faster, or it is the damaged one.
    await rename(root, folder).catch(async () => {
      if (typeof (await prove(folder)) !== 'string') return
      await rename(folder, join(workDirectory, 'unusable'))
      await rename(root, folder)
    })
    return await prove(folder)
  } finally {
    await rm(workDirectory, { recursive: true, force: true })
  }
}

/** A killed fetch leaves its folder, whose name carries the process id. */
async function sweepDrafts(parent: string, prefix: string): Promise<void> {
  for (const name of await readdir(parent)) {
    const pid = name.startsWith(prefix) ? Number.parseInt(name.slice(prefix.length), 10) : Number.NaN
    if (pid > 0 && !(await isAlive(pid))) await rm(join(parent, name), { recursive: true, force: true })
  }
}
