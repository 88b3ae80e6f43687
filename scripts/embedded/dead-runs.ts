/** What killed runs left in the temporary directory: folders that are named after their process, and servers that work in them. */
import { readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { stopOrphanedServers } from './embedded-servers.ts'
import { isAlive } from './process-table.ts'

/** Removes every folder `<prefix><process id>-...` whose process is gone. */
export async function sweepDeadRuns(prefix: string): Promise<void> {
  for (const name of await readdir(tmpdir())) {
    const pid = name.startsWith(prefix) ? Number.parseInt(name.slice(prefix.length), 10) : Number.NaN
    if (!(pid > 0) || (await isAlive(pid))) continue
    const directory = join(tmpdir(), name)
    await stopOrphanedServers(directory)
    // Another user's leftovers stay where they are.
    await rm(directory, { recursive: true, force: true }).catch(() => undefined)
  }
}
