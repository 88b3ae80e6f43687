// How a server is started so that it ends when we end, however we end, and, where it must not be root, without root's
// powers. Both are the work of `setpriv`, which every Debian and Ubuntu has; it replaces itself with the server, so the
// process id stays ours to stop.
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'

const run = promisify(execFile)

export type ServerUser = { uid: number; gid: number }
/** Debian's `nobody`: present everywhere, owns nothing. */
export const nobody: ServerUser = { uid: 65_534, gid: 65_534 }

/** Words to put before the command of a server that runs as ourselves; none where `setpriv` cannot do it (macOS, busybox). */
export async function findDeathSignalPrefix(signal: 'INT' | 'TERM'): Promise<string[]> {
  const prefix = ['setpriv', `--pdeathsig=${signal}`, '--']
  return (await failureOf([...prefix, 'true'])) === null ? prefix : []
}

/**
 * Words to put before the command of a server that refuses to be root. `proof` is a harmless command of that server, run
 * to see that the user can reach and execute it.
 *
 * A checkout under a home folder with mode 0700 is closed to every other user, so the first choice keeps one capability,
 * to pass through directories. `no_setuid_fixup` is essential there: without it access(2) ignores the capability.
 */
export async function getUserPrefix(user: ServerUser, proof: string[]): Promise<string[]> {
  const drop = [
    '--pdeathsig=INT',
    `--reuid=${user.uid}`,
    `--regid=${user.gid}`,
    '--clear-groups',
    '--no-new-privs',
  ]
  const keepPassage = [
    '--securebits=+no_setuid_fixup',
    ...['--inh-caps', '--ambient-caps', '--bounding-set'].map((set) => `${set}=-all,+dac_override`),
  ]
  const failures: string[] = []
  for (const prefix of [
    ['setpriv', ...drop, ...keepPassage, '--'],
    ['setpriv', ...drop, '--'],
  ]) {
    const failure = await failureOf([...prefix, ...proof])
    if (failure === null) return prefix
    failures.push(`  - ${failure}`)
  }
  throw new Error(
    [
      `Postgres refuses to run as root, and starting it as user ${user.uid} did not work:`,
      ...failures,
      'Ways out: run as an ordinary user; move the checkout out of a closed home folder; give the container the',
      'capabilities SETUID, SETGID, SETPCAP and DAC_OVERRIDE; or set DATABASE_URL to a Postgres 18 of your own.',
    ].join('\n'),
  )
}

async function failureOf([command = '', ...args]: string[]): Promise<string | null> {
  return run(command, args).then(
    () => null,
    (error: Error & { stderr?: string }) => (error.stderr?.trim() || error.message).replaceAll(/\s+/g, ' '),
  )
}
