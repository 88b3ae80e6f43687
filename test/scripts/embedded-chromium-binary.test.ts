import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { afterEach, beforeEach, expect, test } from 'vitest'

import { getChromiumBinary } from '../../scripts/embedded/chromium-binary.ts'

let home = ''
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'voice-wallet-chromium-'))
  await mkdir(join(home, 'bin'))
})
afterEach(() => rm(home, { recursive: true, force: true }))

test('says what it tried and the ways out when there is no Chromium to be had', async () => {
  await givenProgram('google-chrome', 'Google Chrome 79.0.3945.130')

  const message = await getChromiumBinary(barePlatform('darwin arm64')).then(String, String)

  expect(message).toContain(`${join(home, 'bin', 'google-chrome')}: version 79.0.3945.130 is older than 130`)
  expect(message).toContain('the package @sparticuz/chromium: it is for linux x64, and this is darwin arm64')
  for (const wayOut of ['npm ci', 'apt-get install chromium', 'CHROMIUM_PATH']) {
    expect(message).toContain(wayOut)
  }
})

test('takes a Chromium on PATH where the package has none, under whatever name', async () => {
  await givenProgram('chromium', 'cannot open shared object file')
  const chrome = await givenProgram('google-chrome', 'Google Chrome 151.0.7900.12 unknown')

  const binary = await getChromiumBinary(barePlatform('darwin arm64'))

  expect(binary).toMatchObject({ path: chrome, version: '151.0.7900.12' })
})

test('holds to CHROMIUM_PATH and says so when it is of no use', async () => {
  await givenProgram('chromium', 'Chromium 153.0.8010.0')
  const machine = barePlatform('linux x64')
  const named = join(home, 'no-such-program')

  const search = getChromiumBinary({
    ...machine,
    environment: { ...machine.environment, CHROMIUM_PATH: named },
  })

  await expect(search).rejects.toThrow(`CHROMIUM_PATH=${named}: not a usable Chromium`)
})

function barePlatform(platform: string) {
  return {
    environment: { PATH: join(home, 'bin') },
    cacheDirectory: join(home, '.cache'),
    log: () => undefined,
    platform,
  }
}

async function givenProgram(name: string, answer: string): Promise<string> {
  const path = join(home, 'bin', name)
  await writeFile(path, `#!/bin/sh\necho '${answer}'\n`, { mode: 0o755 })
  return path
}
