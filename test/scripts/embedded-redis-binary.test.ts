import { chmod, mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { afterEach, beforeEach, expect, test } from 'vitest'

import { getRedisBinary } from '../../scripts/embedded/redis-binary.ts'

/** Nothing listens on port 1. */
const unreachable = [
  { name: 'a mirror that is away', list: 'deb [trusted=yes] http://127.0.0.1:1/debian stable main\n' },
]

let home = ''
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'voice-wallet-redis-'))
  await mkdir(join(home, 'bin'))
})
afterEach(() => rm(home, { recursive: true, force: true }))

test('says what it tried and the ways out when there is no Redis to be had', async () => {
  const search = getRedisBinary({ ...emptyMachine(), packageSources: unreachable })

  const message = await search.then(String, String)
  expect(message).toContain('redis-server or valkey-server on PATH: none')
  expect(message).toContain(`the project's cache, ${join(home, '.cache', 'redis')}: empty`)
  expect(message).toContain('redis-tools from a mirror that is away: ')
  for (const wayOut of [
    'REDIS_URL',
    'apt-get install redis-server',
    'REDIS_SERVER_BIN',
    'docker compose up',
  ]) {
    expect(message).toContain(wayOut)
  }
  expect(await readdir(join(home, '.cache'))).toEqual([])
})

test('passes over a server that BullMQ would complain about and takes the next on PATH', async () => {
  await givenProgram('redis-server', 'Redis server v=5.0.7 sha=00000000:0 malloc=jemalloc-5.2.1 bits=64')
  const newer = await givenProgram(
    'valkey-server',
    'Valkey server v=8.0.1 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64',
  )

  const binary = await getRedisBinary({ ...emptyMachine(), packageSources: [] })

  expect(binary).toEqual({ path: newer, version: 'Valkey 8.0.1', libraryDirectories: [] })
})

test('holds to REDIS_SERVER_BIN and says so when it is of no use', async () => {
  await givenProgram('redis-server', 'Redis server v=7.0.15 sha=00000000:0')
  const machine = emptyMachine()
  const named = join(home, 'no-such-program')

  const search = getRedisBinary({
    ...machine,
    environment: { ...machine.environment, REDIS_SERVER_BIN: named },
  })

  await expect(search).rejects.toThrow(`REDIS_SERVER_BIN=${named}: not a usable server`)
})

test('does not believe a damaged cache', async () => {
  const programs = join(home, '.cache', 'redis', 'usr', 'bin')
  await mkdir(programs, { recursive: true })
  await writeFile(join(programs, 'redis-server'), 'half a program')
  await chmod(join(programs, 'redis-server'), 0o755)

  const search = getRedisBinary({ ...emptyMachine(), packageSources: unreachable })

  await expect(search).rejects.toThrow(
    `the project's cache, ${join(home, '.cache', 'redis')}: not a usable server`,
  )
})

function emptyMachine() {
  return {
    environment: { PATH: join(home, 'bin') },
    cacheDirectory: join(home, '.cache'),
    log: () => undefined,
  }
}

async function givenProgram(name: string, answer: string): Promise<string> {
  const path = join(home, 'bin', name)
  await writeFile(path, `#!/bin/sh\necho '${answer}'\n`, { mode: 0o755 })
  return path
}
