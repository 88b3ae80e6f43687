import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { afterEach, beforeEach, expect, test } from 'vitest'

import { fillFolder } from '../../scripts/embedded/cached-folder.ts'

let cache = ''
beforeEach(async () => {
  cache = await mkdtemp(join(tmpdir(), 'voice-wallet-cache-'))
})
afterEach(() => rm(cache, { recursive: true, force: true }))

test('first starts at once all find the folder full, and leave nothing else behind', async () => {
  const folder = join(cache, 'program')

  const found = await Promise.all([1, 2, 3, 4, 5].map(() => fillFolder(folder, whole)))

  expect(found).toEqual(Array.from({ length: 5 }, () => ({ text: 'whole' })))
  expect(await readdir(cache)).toEqual(['program'])
})

test('a damaged folder is replaced, and a sound one is not', async () => {
  const folder = join(cache, 'program')
  await mkdir(folder)
  await writeFile(join(folder, 'text'), 'half')

  const repaired = await fillFolder(folder, whole)
  await writeFile(join(folder, 'mine'), '')
  const kept = await fillFolder(folder, whole)

  expect([repaired, kept]).toEqual([{ text: 'whole' }, { text: 'whole' }])
  expect(await readdir(folder)).toEqual(['mine', 'text'])
})

test('what does not prove itself is never put in place', async () => {
  const folder = join(cache, 'program')

  const found = await fillFolder(folder, { ...whole, fill: (root) => writeFile(join(root, 'text'), 'half') })

  expect(found).toBe('it says half')
  expect(await readdir(cache)).toEqual([])
})

test('what a killed start left is swept, and the draft of a living one is not', async () => {
  await mkdir(join(cache, 'program-fetching-999999999-abc'))
  await mkdir(join(cache, `program-fetching-${process.pid}-abc`))

  await fillFolder(join(cache, 'program'), whole)

  expect(await readdir(cache)).toEqual(['program', `program-fetching-${process.pid}-abc`])
})

const whole = {
  fill: (root: string) => writeFile(join(root, 'text'), 'whole'),
  prove: async (root: string) => {
    const text = await readFile(join(root, 'text'), 'utf8')
    return text === 'whole' ? { text } : `it says ${text}`
  },
}
