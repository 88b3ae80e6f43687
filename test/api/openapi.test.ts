// The document says what the routes do: the same set, who may call them, and examples that hold.
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'

import { describe, expect } from 'vitest'
import { z } from 'zod'

import { apiVersion, documentOf } from '../../api/openapi.ts'
import type { JsonSchema, OpenApiDocument, Operation } from '../../api/openapi-document.ts'
import { unknownInBesides } from '../../api/openapi-refusals.ts'
import { test } from '../support/api-server.ts'
import { seeRoutes } from '../support/routes.ts'

/** Pages and their files, which are for people and not for programs. */
const pages = [
  '/docs',
  '/docs/start.js',
  '/docs/swagger-ui-bundle.js',
  '/docs/swagger-ui.css',
  '/docs/index.css',
  '/docs/favicon-32x32.png',
]

/** The page of a person who is signed in, and of nobody with a key. */
function isWalletPage(url: string): boolean {
  return url === '/' || url === '/wallet' || url.startsWith('/wallet/')
}

describe('the OpenAPI document', () => {
  test('has the routes that are there, and no other', async ({ startTestApi, place: { databaseUrl } }) => {
    const { made: api, routes: all } = await seeRoutes(() => startTestApi({ databaseUrl }))
    const routes = all.filter(({ url }) => !isWalletPage(url))

    const document = documentOf(api.server)

    const described = operationsOf(document).map(({ name }) => name)
    const registered = routes
      .filter(({ url }) => !pages.includes(url))
      .map(({ method, url }) => `${method} ${url.replaceAll(/:(\w+)/g, '{$1}')}`)
    expect(described.toSorted()).toEqual([...new Set(registered)].toSorted())
    expect(
      routes
        .filter(({ url }) => pages.includes(url))
        .map(({ url }) => url)
        .toSorted(),
    ).toEqual(pages.toSorted())
  })

  test('says of each who may call it, as the route does, and what it is for', async ({
    startTestApi,
    place: { databaseUrl },
  }) => {
    const { made: api, routes } = await seeRoutes(() => startTestApi({ databaseUrl }))
    const document = documentOf(api.server)
    const tags = new Set(tagNames(document))

    const faults = operationsOf(document).flatMap(({ name, operation }) => {
      const route = routes.find(
        ({ method, url }) => `${method} ${url.replaceAll(/:(\w+)/g, '{$1}')}` === name,
      )
      const scope = route?.config?.scope
      return [
        operation.summary === undefined || operation.summary.length < 3 ? `${name} has no summary` : null,
        operation.tags?.length !== 1 || !operation.tags.every((tag) => tags.has(tag))
          ? `${name} has no tag of the list`
          : null,
        operation['x-scope'] !== scope ? `${name} is of another scope` : null,
        (operation.security?.length === 0) !== (scope === 'public') ? `${name} asks for a key wrongly` : null,
        scope !== 'public' && operation.responses['401'] === undefined ? `${name} does not say 401` : null,
        operation.responses['default'] === undefined ? `${name} does not say what else may be` : null,
      ].filter((fault) => fault !== null)
    })

    expect(faults).toEqual([])
    const ids = operationsOf(document).map(({ operation }) => operation.operationId)
    expect(new Set(ids).size).toBe(ids.length)
  })

  test('describes a refusal once, and points at it', async ({ api }) => {
    const document = documentOf(api.server)
    const described = new Set(Object.keys(document.components.responses ?? {}))

    const pointed = JSON.stringify(document.paths).matchAll(/"#\/components\/responses\/(\w+)"/g)

    expect(new Set([...pointed].map(([, name]) => name))).toEqual(described)
    expect(unknownInBesides(document)).toEqual([])
  })

  test('has no example that its own schema refuses', async ({ api }) => {
    const document = documentOf(api.server)
    const examples = examplesIn(document.paths, '')

    const wrong = examples.filter(({ schema, example }) => !checkerOf(schema).safeParse(example).success)

    expect(examples.length).toBeGreaterThan(40)
    expect(wrong.map(({ where, example }) => ({ where, example }))).toEqual([])
  })

  test('shows for every field that must be sent what it looks like', async ({ api }) => {
    const unshown = operationsOf(documentOf(api.server)).flatMap(({ name, operation }) =>
      Object.values(operation.requestBody?.content ?? {}).flatMap(({ schema }) =>
        unshownIn(schema).map((field) => `${name}: ${field}`),
      ),
    )

    expect(unshown).toEqual([])
  })

  test('refers to nothing that is not in it', async ({ api }) => {
    const document = documentOf(api.server)

    const references = [...JSON.stringify(document).matchAll(/"\$ref":"#\/([^"]+)"/g)].map(
      ([, to]) => to ?? '',
    )

    expect(references.length).toBeGreaterThan(20)
    expect(references.filter((to) => lookUp(document, to.split('/')) === undefined)).toEqual([])
  })

  test('is of the version that the package is', async () => {
    const { version }: { version: string } = JSON.parse(
      await readFile(join(import.meta.dirname, '../../package.json'), 'utf8'),
    )

    expect(apiVersion).toBe(version)
  })

  test('is given to anybody, and may be kept for a while', async ({ api }) => {
    const answer = await api.get('/openapi.json', { key: null })

    expect(answer.status).toBe(200)
    expect(answer.headers['cache-control']).toBe('public, max-age=60')
    expect(answer.body).toEqual(documentOf(api.server))
  })
})

describe('/docs', () => {
  test('is a page whose every file comes from here', async ({ api }) => {
    const page = await api.get('/docs', { key: null })

    const text = String(page.body)
    const files = [...text.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, file]) => file ?? '')
    expect(page.status).toBe(200)
    expect(files.toSorted()).toEqual(pages.filter((path) => path !== '/docs').toSorted())
    for (const file of files) expect((await api.get(file, { key: null })).status).toBe(200)
    const start = String((await api.get('/docs/start.js', { key: null })).body)
    expect(start).toContain("'/openapi.json'")
    expect(text + start).not.toMatch(/https?:\/\//)
  })

  test('has a policy of its own that runs nothing but these files', async ({ api }) => {
    for (const path of pages) {
      const { headers } = await api.get(path, { key: null })
      const policy = String(headers['content-security-policy'])
      expect(policy).toMatch(/^default-src 'none'; script-src 'self'; style-src 'self';/)
      expect(policy).not.toMatch(/unsafe|https?:|\*/)
      expect(headers['x-content-type-options']).toBe('nosniff')
    }
    const { body } = await api.get('/docs', { key: null })
    // No script, style or handler that stands in the page itself: the policy would not run it.
    expect(String(body)).not.toMatch(/<script>|<style|\son\w+=|style=/)
  })
})

function operationsOf(document: OpenApiDocument): { name: string; operation: Operation }[] {
  return Object.entries(document.paths).flatMap(([path, operations]) =>
    Object.entries(operations).map(([method, operation]) => ({
      name: `${method.toUpperCase()} ${path}`,
      operation,
    })),
  )
}

function tagNames(document: OpenApiDocument & { tags?: { name: string }[] }): string[] {
  return document.tags?.map(({ name }) => name) ?? []
}

type Example = { where: string; schema: JsonSchema; example: unknown }

/** Every example in a part of the document, with the schema that it stands in, or stands beside. */
function examplesIn(node: unknown, where: string): Example[] {
  if (typeof node !== 'object' || node === null) return []
  const inner = Object.entries(node).flatMap(([name, value]) => examplesIn(value, `${where}/${name}`))
  const examples: unknown = Reflect.get(node, 'examples')
  const example: unknown = Reflect.get(node, 'example')
  const schema: unknown = Reflect.get(node, 'schema')
  const beside = isSchema(schema) ? schema : node
  return [
    ...(Array.isArray(examples) && isSchema(node)
      ? examples.map((each: unknown) => ({ where, schema: node, example: each }))
      : []),
    ...(example !== undefined && isSchema(beside) ? [{ where, schema: beside, example }] : []),
    ...inner,
  ]
}

function isSchema(value: unknown): value is JsonSchema {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function checkerOf(schema: JsonSchema): z.ZodType {
  return z.fromJSONSchema(schema)
}

/** The fields of a body that must be sent and of which neither an example nor their kind says what they look like. */
function unshownIn(schema: JsonSchema): string[] {
  const { required, properties } = schema
  if (!Array.isArray(required) || !isSchema(properties)) return []
  return required
    .map(String)
    .filter((name) => {
      const field: unknown = properties[name]
      return (
        isSchema(field) && !['examples', 'enum', 'default', 'items', 'properties'].some((key) => key in field)
      )
    })
    .filter((name) => !isSchema(properties[name]) || properties[name]['type'] !== 'boolean')
}

function lookUp(node: unknown, path: readonly string[]): unknown {
  const [next, ...rest] = path
  if (next === undefined) return node
  return typeof node === 'object' && node !== null ? lookUp(Reflect.get(node, next), rest) : undefined
}
