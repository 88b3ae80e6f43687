/** CPU time of the servers. On a machine that does other work too, it says more than the clock does. Linux only. */
import { readdir, readFile } from 'node:fs/promises'

/** Linux counts CPU time in hundredths of a second. */
const tickMs = 10

/** What a process, its children and the children that ended have used, in milliseconds; null where nobody tells. */
export async function cpuTimeMs(pid: number | null): Promise<number | null> {
  if (pid === null || process.platform !== 'linux') return null
  const pids = (await readdir('/proc')).filter((entry) => /^\d+$/.test(entry)).map(Number)
  const times = await Promise.all(pids.map(readTimes))
  const own = times.find((each) => each?.pid === pid)
  if (own === undefined || own === null) return null
  const children = times.filter((each) => each?.parentPid === pid)
  const ticks = children.reduce((sum, child) => sum + (child?.ticks ?? 0), own.ticks + own.endedChildrenTicks)
  return ticks * tickMs
}

/** Fields 4 and 14 to 17 of /proc/<pid>/stat, counted after the name, which may itself hold spaces. */
async function readTimes(pid: number) {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => null)
  if (text === null) return null
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
  const field = (number: number): number => Number(fields[number - 3])
  return {
    pid,
    parentPid: field(4),
    ticks: field(14) + field(15),
    endedChildrenTicks: field(16) + field(17),
  }
}
