/** Ids as Paddle makes them: a prefix and 26 lowercase characters that sort by the time they were made. */
import { randomBytes } from 'node:crypto'

type IdPrefix =
  | 'add'
  | 'adj'
  | 'adjitm'
  | 'cpls'
  | 'ctm'
  | 'evt'
  | 'inv'
  | 'ntf'
  | 'ntflog'
  | 'ntfset'
  | 'paymtd'
  | 'pri'
  | 'pro'
  | 'sub'
  | 'txn'
  | 'txnitm'

const alphabet = '0123456789abcdefghjkmnpqrstvwxyz'

export type IdMaker = (prefix: IdPrefix) => string

/** Ids made within one millisecond sort by a counter, as those of a monotonic ULID. */
export function createIdMaker(now: () => Date): IdMaker {
  let lastMs = 0
  let counter = 0
  return (prefix) => {
    const nowMs = now().getTime()
    counter = nowMs > lastMs ? 0 : counter + 1
    lastMs = Math.max(nowMs, lastMs)
    return `${prefix}_${encode(lastMs, 10)}${encode(counter, 6)}${randomCharacters(10)}`
  }
}

function encode(value: number, length: number): string {
  let text = ''
  for (let rest = value; text.length < length; rest = Math.floor(rest / 32)) {
    text = `${alphabet[rest % 32]}${text}`
  }
  return text
}

function randomCharacters(length: number): string {
  return Array.from(randomBytes(length), (byte) => alphabet[byte % 32]).join('')
}
