/** Bodies are JSON in UTF-8, not deep, without endless lists, and with no name in them that means something to JavaScript. */
import { isUtf8 } from 'node:buffer'

import type { FastifyInstance } from 'fastify'

import { refusal } from './errors.ts'

const deepest = 10
const longestList = 1_000

/** Shape: an empty body is no body. What is no JSON is a 400, another content type a 415. */
export function registerJsonBodies(server: FastifyInstance): void {
  server.removeAllContentTypeParsers()
  server.addContentTypeParser(
    'application/json',
    { parseAs: 'buffer' },
    async (_request: unknown, bytes: Buffer) => (bytes.length === 0 ? undefined : parseJsonBody(bytes)),
  )
}

/** Throws: a refusal that says what is wrong, and where. */
function parseJsonBody(bytes: Buffer): unknown {
  if (!isUtf8(bytes)) throw malformedJson('The body is not text in UTF-8: send JSON in UTF-8.')
  const body = parse(bytes.toString('utf8'))
  refuseTraps(body, [])
  return body
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw malformedJson('The body is not whole JSON: check its quotes, commas and brackets.')
  }
}

function refuseTraps(value: unknown, path: readonly string[]): void {
  if (typeof value !== 'object' || value === null) return
  if (path.length >= deepest) {
    throw malformedJson(`The body is nested deeper than ${deepest} levels: send it flatter.`)
  }
  if (Array.isArray(value) && value.length > longestList) {
    const message = `This list has more than ${longestList} elements: send it in parts.`
    throw malformedJson(message, path)
  }
  for (const [name, inner] of Object.entries(value)) {
    if (name === '__proto__' || (name === 'constructor' && hasPrototype(inner))) {
      throw malformedJson(`The body has the name ${name}, which no field has: leave it out.`, [...path, name])
    }
    refuseTraps(inner, [...path, name])
  }
}

function hasPrototype(value: unknown): boolean {
  return typeof value === 'object' && value !== null && Object.hasOwn(value, 'prototype')
}

function malformedJson(message: string, path: readonly string[] = []) {
  const field = path.length === 0 ? undefined : path.join('.')
  return refusal({ status: 400, code: 'malformed_json', message, field })
}
