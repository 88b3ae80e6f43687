/** The heads of all wallets as a file, for keeping it where whoever may change the database may not: one JSON line for each. */
import { createWriteStream } from 'node:fs'
import { open } from 'node:fs/promises'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'

import { z } from 'zod'

import type { WalletHead } from '../db/verify-heads.ts'
import { Misuse } from './command-line.ts'

const pageSize = 5_000

const headLine = z.strictObject({
  workspaceId: z.string(),
  sequence: z
    .string()
    .regex(/^[1-9]\d{0,17}$/)
    .transform(BigInt),
  hash: z.string().regex(/^[\da-f]{64}$/),
})

export async function writeHeads(file: string, heads: readonly WalletHead[]): Promise<void> {
  const lines = heads.map((head) => `${JSON.stringify({ ...head, sequence: String(head.sequence) })}\n`)
  await pipeline(Readable.from(lines), createWriteStream(file))
}

/** Shape: pages, in the order of the file. Throws: Misuse for a file that is not there, and for a line that is no head. */
export async function* readHeads(file: string): AsyncGenerator<WalletHead[]> {
  let page: WalletHead[] = []
  let number = 0
  const handle = await open(file).catch((cause: unknown) => {
    throw new Misuse(`${file} cannot be read`, { cause })
  })
  for await (const line of handle.readLines()) {
    number += 1
    if (line === '') continue
    page.push(headIn(line, `${file}:${number}`))
    if (page.length < pageSize) continue
    yield page
    page = []
  }
  if (page.length > 0) yield page
}

function headIn(line: string, place: string): WalletHead {
  try {
    return headLine.parse(JSON.parse(line))
  } catch {
    throw new Misuse(`${place}: expected a line that "verify -- --heads" wrote, got ${line.slice(0, 60)}`)
  }
}
