/** The OpenAPI document, as much of it as anybody here reads. */
import type { RouteScope } from './api.ts'

export type OpenApiDocument = {
  openapi: string
  info: { title: string; version: string; description?: string }
  paths: Record<string, Record<string, Operation>>
  components: { schemas?: Record<string, JsonSchema>; responses?: Record<string, unknown> }
}

export type Operation = {
  operationId: string
  summary?: string
  tags?: string[]
  security?: Record<string, string[]>[]
  'x-scope': RouteScope
  parameters?: Parameter[]
  requestBody?: { required?: boolean; content: Record<string, { schema: JsonSchema }> }
  responses: Record<string, { $ref?: string; description?: string; content?: Record<string, unknown> }>
}

export type Parameter = {
  name: string
  in: 'path' | 'query' | 'header'
  required?: boolean
  schema: JsonSchema
}

export type JsonSchema = { [keyword: string]: unknown }
