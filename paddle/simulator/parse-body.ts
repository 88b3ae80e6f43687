/** A request's body against the shape that Paddle gives it. */
import type { z } from 'zod'

import { invalidFields, type FieldError } from './api-refusal.ts'

/** Throws: ApiRefusal `invalid_field`, with every field that does not pass. */
export function parseBody<Schema extends z.ZodType>(schema: Schema, body: unknown): z.output<Schema> {
  const parsed = schema.safeParse(body ?? {})
  if (parsed.success) return parsed.data
  throw invalidFields(parsed.error.issues.flatMap(fieldErrors))
}

function fieldErrors(issue: z.core.$ZodIssue): FieldError[] {
  const field = fieldName(issue.path)
  if (issue.code !== 'unrecognized_keys') return [{ field, message: issue.message }]
  return issue.keys.map((key) => ({
    field: fieldName([...issue.path, key]),
    message: `additional property ${key} is not allowed`,
  }))
}

/** `items[0].price.name` */
function fieldName(path: readonly PropertyKey[]): string {
  return path.reduce<string>((name, part) => {
    if (typeof part === 'number') return `${name}[${part}]`
    return name === '' ? String(part) : `${name}.${String(part)}`
  }, '')
}
